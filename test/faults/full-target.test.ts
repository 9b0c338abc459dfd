import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { openPushing } from '../../conformance/egress/pushing.ts'
import { connect, contents, hashes } from '../../conformance/egress/s3.ts'
import { startServer } from '../../conformance/server.ts'
import { bytesNamed } from '../../conformance/support.ts'
import { mountSmallDisk } from './small-disk.ts'

const DISK_MB = 64
const BALLAST_MB = 40
const FILE_BYTES = 6 * 1024 * 1024
const FILES = 6

it('a target that gets full fails the job and says so; with room again, the retry sends the rest', {
  timeout: 300_000,
}, async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'sluice-full-target-'))
  const disk = await mountSmallDisk(join(base, 'disk'), DISK_MB)
  if ('reason' in disk) {
    await rm(base, { recursive: true, force: true })
    return t.skip(disk.reason)
  }
  t.diagnostic(`on ${disk.kind}`)
  const folder = join(disk.folder, 'data')
  const ballast = join(disk.folder, 'ballast')
  await mkdir(folder)
  await writeFile(ballast, Buffer.alloc(BALLAST_MB * 1024 * 1024, 1))
  const target = await startServer({ folder, environment: { SLUICE_LOG_LEVEL: 'error' } })
  const source = await openPushing([{ host: new URL(target.s3Url).host }])
  const [from, to] = [connect(source.server), connect(target)]
  t.after(async () => {
    from.destroy()
    to.destroy()
    await source.close()
    await target.kill()
    await disk.remove()
    await rm(base, { recursive: true, force: true })
  })
  await to.send(new CreateBucketCommand({ Bucket: 'master.results' }))
  await from.send(new CreateBucketCommand({ Bucket: 'master.input' }))
  for (let n = 0; n < FILES; n++)
    await from.send(new PutObjectCommand({ Bucket: 'master.input', Key: `${n}`, Body: bytesNamed(`${n}`, FILE_BYTES) }))
  const { accessKeyId, secretAccessKey } = target.credentials
  const options = ['--access-key', accessKeyId, '--endpoint', target.s3Url]
  await source.keepSecret('small', { options, input: secretAccessKey })
  const URL_ = `s3://${new URL(target.s3Url).host}/master.results/all`
  await source.createPipeline('output', { URL: URL_, secret: 'small' })

  const flushed = await source.sluiceFails(['flush', 'input@master'])
  assert.match(flushed, /full/)
  const job = await source.newestJob('output')
  assert.equal(job.state, 'failure')
  assert.match(job.reason ?? '', /full/)

  await rm(ballast)
  await source.sluice(['egress', 'retry', job.id])
  await source.sluice(['flush', 'input@master'])
  const retried = await source.newestJob('output')
  assert.equal(retried.state, 'success', retried.reason)
  assert.deepEqual(hashes(await contents(to, 'master.results', 'all/')), hashes(await contents(from, 'master.output')))
})
