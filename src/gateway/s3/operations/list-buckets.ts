import { parseBucket } from '../addressing.ts'
import { invalidArgument } from '../codes.ts'
import { ownerElement } from '../listing.ts'
import { readToken, writeToken } from '../numbers.ts'
import { operation } from '../operation.ts'
import { document, leaf, node, xmlTime } from '../xml.ts'

/** AWS: max-buckets is 1 to 10,000. */
const MAX_BUCKETS = 10_000

export const listBuckets = operation({
  name: 'ListBuckets',
  on: 'service',
  needs: 'known',
  parameters: ['max-buckets', 'prefix', 'continuation-token', 'bucket-region'],
  read: ({ query }) => {
    const token = query.get('continuation-token')
    return {
      maxBuckets: readMaxBuckets(query.get('max-buckets')),
      prefix: query.get('prefix') ?? '',
      after: token ? readToken('continuation-token', token) : undefined,
      region: query.get('bucket-region'),
    }
  },
  run: async (input, context) => {
    const branches = await context.versioning.listBranches()
    const region = context.region ?? 'us-east-1'
    const { after } = input
    const wanted = branches
      .filter(({ bucket }) => bucket.startsWith(input.prefix) && (after === undefined || bucket > after))
      .filter(({ repo, bucket }) => context.may('read', repo, { branch: parseBucket(bucket).name, outside: true }))
      .sort((a, b) => (a.bucket < b.bucket ? -1 : 1))
    const elsewhere = input.region !== undefined && input.region !== region
    return { input, region, buckets: elsewhere ? [] : wanted, owner: context.caller }
  },
  write: ({ input, region, buckets, owner }) => {
    const page = buckets.slice(0, input.maxBuckets)
    const last = page.at(-1)
    return {
      status: 200,
      headers: { 'Content-Type': 'application/xml' },
      body: document(
        'ListAllMyBucketsResult',
        ownerElement(owner),
        node(
          'Buckets',
          ...page.map(({ bucket, createdMs }) =>
            node(
              'Bucket',
              leaf('Name', bucket),
              leaf('CreationDate', xmlTime(createdMs)),
              leaf('BucketRegion', region),
            ),
          ),
        ),
        leaf('ContinuationToken', last && buckets.length > page.length ? writeToken(last.bucket) : undefined),
        leaf('Prefix', input.prefix === '' ? undefined : input.prefix),
      ),
    }
  },
})

function readMaxBuckets(text: string | undefined): number {
  if (text === undefined || text === '') return MAX_BUCKETS
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= MAX_BUCKETS) return number
  throw invalidArgument('max-buckets', text.slice(0, 100), `max-buckets must be a number from 1 to ${MAX_BUCKETS}`)
}
