import { invalidArgument } from '../codes.ts'
import { readListInput, runList, writeListV2 } from '../listing.ts'
import { readToken } from '../numbers.ts'
import { operation } from '../operation.ts'

export const listObjectsV2 = operation({
  name: 'ListObjectsV2',
  on: 'bucket',
  needs: 'read',
  parameters: ['prefix', 'delimiter', 'start-after', 'continuation-token', 'fetch-owner', 'max-keys', 'encoding-type'],
  read: (request) => {
    if (request.query.get('list-type') !== '2') {
      throw invalidArgument('list-type', request.query.get('list-type') ?? '', 'There is list-type=2 only')
    }
    const token = request.query.get('continuation-token')
    if (token === '') throw invalidArgument('continuation-token', '', 'The continuation token provided is incorrect')
    const startAfter = request.query.get('start-after')
    return {
      ...readListInput(request),
      after: token === undefined ? (startAfter ?? '') : readToken('continuation-token', token),
      token,
      startAfter,
      fetchOwner: request.query.get('fetch-owner') === 'true',
    }
  },
  run: async (input, context) => ({ input, ...(await runList(input, context)) }),
  write: writeListV2,
})
