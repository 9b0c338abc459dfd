import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { it } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { openPushing } from '../../conformance/egress/pushing.ts'
import { connect, contents, hashes } from '../../conformance/egress/s3.ts'
import { startServer } from '../../conformance/server.ts'
import { bytesNamed } from '../../conformance/support.ts'
import { mountBallastedDisk } from './small-disk.ts'

const FILE_BYTES = 6 * 1024 * 1024
const FILES = 6

it('a target that gets full fails the job and says so; with room again, the retry sends the rest', {
  timeout: 300_000,
}, async (t) => {
  const disk = await mountBallastedDisk(t, { diskMb: 64, ballastMb: 40 })
  if (!disk) return
  const target = await startServer({ folder: disk.data, environment: { SLUICE_LOG_LEVEL: 'error' } })
  const source = await openPushing([{ host: new URL(target.s3Url).host }])
  const [from, to] = [connect(source.server), connect(target)]
  t.after(async () => {
    from.destroy()
    to.destroy()
    await source.close()
    await target.kill()
    await disk.remove()
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

  await rm(disk.ballast)
  await source.sluice(['egress', 'retry', job.id])
  await source.sluice(['flush', 'input@master'])
  const retried = await source.newestJob('output')
  assert.equal(retried.state, 'success', retried.reason)
  assert.deepEqual(hashes(await contents(to, 'master.results', 'all/')), hashes(await contents(from, 'master.output')))
})
