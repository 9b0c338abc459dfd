import { readListInput, runList, writeListV1 } from '../listing.ts'
import { operation } from '../operation.ts'

export const listObjects = operation({
  name: 'ListObjects',
  on: 'bucket',
  needs: 'read',
  reach: 'prefix',
  parameters: ['prefix', 'delimiter', 'marker', 'max-keys', 'encoding-type'],
  read: (request) => {
    const marker = request.query.get('marker') ?? ''
    return { ...readListInput(request), after: marker, marker }
  },
  run: async (input, context) => ({ input, ...(await runList(input, context)) }),
  write: writeListV1,
})
