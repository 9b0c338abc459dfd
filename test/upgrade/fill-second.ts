import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from './client.ts'
import { keptKey, MIB, type SecondFacts, textOfPart } from './kept-store.ts'

const TRIES = 150

/** Fills a store by what the second release could do. Its last writes are in open batches when it is killed. */
export async function fillSecond(client: Client): Promise<SecondFacts> {
  const put = async (key: string, body: string | Buffer, headers?: Record<string, string>) =>
    (await client.s3('PUT', `/${key}`, body, headers)).headers.get('x-amz-version-id') ?? ''
  const idOf = (answer: unknown) => (answer as { id: string }).id
  const finish = async (at: string) => idOf(await client.api('POST', `/v1/repos/${at}/finish`, {}))
  const until = async <T>(look: () => Promise<T | undefined>, what: string): Promise<T> => {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const found = await look()
      if (found !== undefined) return found
      await sleep(200)
    }
    throw new Error(`${what} did not come`)
  }

  await client.s3('PUT', '/master.images')
  await client.s3('PUT', '/master.target')
  const one = await put('master.images/a.txt', 'one', { 'x-amz-tagging': 'colour=blue', 'x-amz-meta-made': 'first' })
  await put('master.images/dir/b.txt', 'b'.repeat(2000))
  await put('master.images/big.bin', Buffer.alloc(3 * MIB, 'big'))
  const first = await finish('images/branches/master')
  const gone = await put('master.images/a.txt', 'a version that is deleted')
  const two = await put('master.images/a.txt', 'two')
  await client.s3('DELETE', `/master.images/a.txt?versionId=${gone}`)
  await client.s3('DELETE', '/master.images/dir/b.txt')
  const second = await finish('images/branches/master')

  // A transaction that is finished and merged with what came onto the branch meanwhile, and one that stays open.
  await client.s3('PUT', '/tx-load.master.images')
  await put('tx-load.master.images/loaded.txt', 'written in a transaction')
  await put('master.images/beside.txt', 'written beside it')
  const transaction = idOf(
    await client.api('POST', '/v1/repos/images/branches/master/transactions/load/finish', { message: 'loaded' }),
  )
  await client.s3('PUT', '/tx-open.master.images')
  await put('tx-open.master.images/unfinished.txt', 'in an open transaction')

  await client.api('POST', '/v1/repos/images/branches', { name: 'dev', from: second })
  await put('dev.images/dev.txt', 'on another branch')
  const dev = await finish('images/branches/dev')
  const restored = idOf(await client.api('POST', '/v1/repos/images/branches/dev/restore', { to: first }))

  await client.api('POST', '/v1/pipelines', {
    pipeline: { name: 'copies' },
    transform: { cmd: ['sh', '-c', 'cp /pfs/images/a.txt /pfs/out/a.txt'] },
    input: { pfs: { repo: 'images', glob: '/a.txt' } },
  })
  const output = await until(async () => {
    const found = JSON.stringify(await client.api('GET', '/v1/repos/copies/commits'))
    return /"id":"([0-9a-f]{32})"[^{}]*"state":"finished"/.exec(found)?.[1]
  }, 'the output')

  // Pushed to a bucket of its own, as to any other.
  await client.api('POST', '/v1/secrets', { name: 'own', ...keptKey })
  const host = new URL(client.s3Url).host
  const asked = (await client.api('POST', '/v1/egress', {
    commit: `images@${first}`,
    egress: { URL: `s3://${host}/master.target/pushed`, secret: 'own' },
  })) as { egress: { id: string } }
  await until(async () => {
    const { state } = (await client.api('GET', `/v1/egress/${asked.egress.id}`)) as { state: string }
    return state === 'success' ? state : undefined
  }, 'the egress')

  const { key } = (await client.api('POST', '/v1/users', { name: 'anna' })) as { key: Record<string, string> }
  await client.api('PUT', '/v1/repos/images/roles/anna', { role: 'reader' })

  const three = await put('master.images/a.txt', 'three')
  await put('master.images/c.txt', 'in the open batch')
  await put('master.images/table/_temporary/part', 'a scratch file')
  const upload = await (await client.s3('POST', '/master.images/half.bin?uploads')).text()
  const open = /<UploadId>([^<]+)/.exec(upload)![1]!
  const part = await client.s3('PUT', `/master.images/half.bin?partNumber=1&uploadId=${open}`, textOfPart(1))
  return {
    commits: { first, second, restored, transaction, dev, output },
    versions: [one, two, three],
    hidden: gone,
    uploads: { open, openPart: part.headers.get('etag')! },
    egress: asked.egress.id,
    user: { name: 'anna', accessKeyId: key['accessKeyId']!, secretAccessKey: key['secretAccessKey']! },
  }
}
