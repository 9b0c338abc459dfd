import { invalidArgument } from '../codes.ts'
import { readListInput, runList, writeListV2 } from '../listing.ts'
import { readToken } from '../numbers.ts'
import { operation } from '../operation.ts'

export const listObjectsV2 = operation({
  name: 'ListObjectsV2',
  on: 'bucket',
  needs: 'read',
  reach: 'prefix',
  parameters: ['prefix', 'delimiter', 'start-after', 'continuation-token', 'fetch-owner', 'max-keys', 'encoding-type'],
  read: (request) => {
    if (request.query.get('list-type') !== '2') {
      throw invalidArgument('list-type', request.query.get('list-type') ?? '', 'There is list-type=2 only')
    }
    const token = request.query.get('continuation-token')
    const startAfter = request.query.get('start-after')
    return {
      ...readListInput(request),
      // A token that is empty is the place before the first page.
      after: token ? readToken('continuation-token', token) : (startAfter ?? ''),
      token,
      startAfter,
      fetchOwner: request.query.get('fetch-owner') === 'true',
    }
  },
  run: async (input, context) => ({ input, ...(await runList(input, context)) }),
  write: writeListV2,
})
