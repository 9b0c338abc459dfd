import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type Bench, bytesNamed, openBench, sha256 } from '../support.ts'
import { connect, contents, hashes } from './s3.ts'

/** Without a sandbox there is no /pfs; then the runner says where it is instead. In the shell of the user code. */
const pfs = '$' + '{SLUICE_PFS:-/pfs}'

describe('egress from one Sluice to another', () => {
  let target: Bench
  let source: Bench
  let to: S3Client
  let from: S3Client
  before(async () => {
    target = await openBench()
    source = await openBench({ SLUICE_ALLOW_TARGETS: new URL(target.server.s3Url).host })
    to = connect(target.server)
    from = connect(source.server)
    await to.send(new CreateBucketCommand({ Bucket: 'master.mirror' }))
    await from.send(new CreateBucketCommand({ Bucket: 'master.input' }))
    await put('small', Buffer.from('small'))
    await put('dir/empty', Buffer.alloc(0))
    await put('dir/gone later', Buffer.from('for now'))
    await put('large', bytesNamed('large', 20 * 1024 * 1024))
    await put('ü+%/日本', Buffer.from('odd name'))
    const { accessKeyId, secretAccessKey } = target.server.credentials
    const keys = ['--access-key', accessKeyId, '--secret-key', secretAccessKey, '--endpoint', target.server.s3Url]
    await source.sluice(['secret', 'create', 'second', ...keys])
    await createPipeline(`s3://${new URL(target.server.s3Url).host}/master.mirror/results`)
  })
  after(async () => {
    from?.destroy()
    to?.destroy()
    await source?.close()
    await target?.close()
  })

  const put = (Key: string, Body: Buffer) => from.send(new PutObjectCommand({ Bucket: 'master.input', Key, Body }))
  const flush = () => source.sluice(['flush', 'input@master'])

  /** Copies its input as it is: what arrives at the target can be compared with what was written at the source. */
  async function createPipeline(url: string): Promise<void> {
    const code = join(source.folder, 'code')
    await mkdir(code)
    const spec = {
      pipeline: { name: 'output' },
      transform: {
        cmd: ['sh', '-c', `cp -R "${pfs}/input/." "${pfs}/out/"`],
        working_dir: code,
      },
      input: { pfs: { repo: 'input', glob: '/' } },
      egress: { URL: url, secret: 'second' },
    }
    await writeFile(join(source.folder, 'spec.json'), JSON.stringify(spec))
    await source.sluice(['pipeline', 'create', '-f', join(source.folder, 'spec.json')])
  }

  it('pushes the results byte for byte', { timeout: 100_000 }, async () => {
    await flush()
    const written = hashes(await contents(from, 'master.input'))
    assert.equal(Object.keys(written).length, 5)
    assert.deepEqual(hashes(await contents(to, 'master.mirror', 'results/')), written)
  })

  it('pushes only the file that changed and deletes the one that is gone, and nothing that is not its own', async () => {
    await to.send(new PutObjectCommand({ Bucket: 'master.mirror', Key: 'results/not ours', Body: 'stays' }))
    const before = await contents(to, 'master.mirror', 'results/')
    await put('small', Buffer.from('changed'))
    await from.send(new DeleteObjectCommand({ Bucket: 'master.input', Key: 'dir/gone later' }))
    await flush()
    const after = await contents(to, 'master.mirror', 'results/')
    const written = hashes(await contents(from, 'master.input'))
    assert.deepEqual(hashes(after), { ...written, 'not ours': sha256(Buffer.from('stays')) })
    const touched = [...after]
      .filter(([path, { changed }]) => changed !== before.get(path)?.changed)
      .map(([path]) => path)
    assert.deepEqual(touched, ['small'])
  })

  it('fails the job with the reason when the target refuses, and goes on when it does not', async () => {
    await source.sluice([
      'secret',
      'create',
      'wrong',
      '--access-key',
      'NOBODY',
      '--secret-key',
      'nothing-that-works',
      '--endpoint',
      target.server.s3Url,
    ])
    const spec = {
      pipeline: { name: 'refused' },
      transform: { cmd: ['sh', '-c', `echo x > "${pfs}/out/x"`] },
      input: { pfs: { repo: 'input', glob: '/' } },
      egress: { URL: `s3://${new URL(target.server.s3Url).host}/master.mirror/refused`, secret: 'wrong' },
    }
    await writeFile(join(source.folder, 'refused.json'), JSON.stringify(spec))
    await source.sluice(['pipeline', 'create', '-f', join(source.folder, 'refused.json')])
    const said = await source.fails(process.execPath, ['bin/sluice.js', 'flush', 'input@master'], {
      folder: join(import.meta.dirname, '../..'),
    })
    assert.match(said, /refused/)
    assert.equal((await contents(to, 'master.mirror', 'refused/')).size, 0)
  })
})
