import { tarOf } from '../../src/versioning/testing/tar.ts'
import type { Client } from './client.ts'
import type { ThirdFacts } from './kept-store.ts'

/** Some 5 MiB in which no two places are alike, and that take little room in the repository. */
export const rows = Buffer.from(
  Array.from({ length: 100_000 }, (_, row) => `${String(row).padStart(12, '0').repeat(4)}\n`).join(''),
)

/** Fills a store by what came with the third release. Its last writes are in open batches when it is killed. */
export async function fillThird(client: Client): Promise<ThirdFacts> {
  const idOf = (answer: unknown) => (answer as { id: string }).id
  const put = (path: string, body: string | Buffer) => client.s3('PUT', `/${path}`, body)
  const finish = async (branch: string) =>
    idOf(await client.api('POST', `/v1/repos/images/branches/${branch}/finish`, {}))
  const graph = (branch: string, verb: string, body: unknown) =>
    client.api('POST', `/v1/repos/images/branches/${branch}/${verb}`, body)
  const commitOf = (answer: unknown) => idOf((answer as { commit: unknown }).commit)

  await client.s3('PUT', '/master.images')
  await put('master.images/a.txt', 'one')
  await put('master.images/both.txt', 'base')
  await put('master.images/dir/b.txt', 'b'.repeat(2000))
  const first = await finish('master')

  // Large enough for many chunks; the second version shares all but the first of them with the first.
  await put('master.images/big.bin', rows)
  await finish('master')
  await put('master.images/big.bin', Buffer.concat([Buffer.from('put before it'), rows]))
  const second = await finish('master')

  await client.api('POST', '/v1/repos/images/branches', { name: 'dev', from: first })
  await put('dev.images/dev.txt', 'on another branch')
  await put('dev.images/both.txt', 'theirs')
  await finish('dev')
  await put('master.images/both.txt', 'ours')
  const before = await finish('master')
  const merged = commitOf(
    await graph('master', 'merge', { from: 'dev', resolve: { paths: { 'both.txt': 'theirs' } }, message: 'merged' }),
  )
  await put('master.images/a.txt', 'a mistake')
  const mistake = await finish('master')
  const reverted = commitOf(await graph('master', 'revert', { commit: mistake }))
  await client.api('POST', '/v1/repos/images/tags', { name: 'v1', at: merged, message: 'shipped' })
  await client.api('POST', '/v1/repos/images/branches', { name: 'left', from: merged })
  await graph('left', 'move', { to: first })
  await client.api('POST', '/v1/repos/images/branches', { name: 'guarded', from: first })
  await client.api('PUT', '/v1/repos/images/branches/guarded/protection', { protected: true })
  await graph('dev', 'files/move', { from: 'dir/', to: 'moved/' })
  await client.upload(
    '/v1/repos/images/branches/dev/import?prefix=imported/',
    tarOf({ name: 'i.txt', body: 'from an archive' }),
  )

  await put('master.images/secret/key.txt', 'that should not have been here')
  await finish('master')
  await client.api('POST', '/v1/repos/images/purges', { path: 'secret/', prefix: true, reason: 'a leaked key' })
  await client.api('PUT', '/v1/repos/images/retention', { keepCommits: 100 })
  await client.api('POST', '/v1/gc', { graceSeconds: 0 })

  const { headers } = await put('master.images/a.txt', 'two')
  await put('master.images/c.txt', 'in the open batch')
  return {
    commits: { first, second, before, merged, mistake, reverted },
    version: headers.get('x-amz-version-id') ?? '',
  }
}
