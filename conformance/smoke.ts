/**
 * `node conformance/smoke.ts [ENTRY]`: starts an entry of the server (`dist/main.js` unless said otherwise) and goes once through
 * what needs more than the main module: worker threads, the fold, a pipeline, the command line, a clean end.
 */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { repository, startServer } from './server.ts'
import { bytesNamed, runProgram } from './support.ts'

const entry = process.argv[2] ?? 'dist/main.js'
const cli = entry.startsWith('dist/') ? 'dist/cli/main.js' : 'bin/sluice.js'
const base = await mkdtemp(join(tmpdir(), 'sluice-smoke-'))
const folder = join(base, 'data')
await mkdir(folder)
const server = await startServer({ folder, entry })
const s3 = new S3Client({
  endpoint: server.s3Url,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: server.credentials,
})
const sluice = async (...args: string[]) => {
  const ran = await runProgram(process.execPath, [join(repository, cli), ...args], {
    environment: server.clientEnvironment,
    folder: base,
  })
  assert.equal(ran.code, 0, `sluice ${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
  return ran.stdout
}
const read = async (Bucket: string, Key: string) => {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

try {
  const large = bytesNamed('smoke', 20 * 1024 * 1024)
  await s3.send(new CreateBucketCommand({ Bucket: 'master.smoke' }))
  await s3.send(new PutObjectCommand({ Bucket: 'master.smoke', Key: 'small', Body: 'small' }))
  await s3.send(new PutObjectCommand({ Bucket: 'master.smoke', Key: 'large', Body: large }))
  const pfs = '$' + '{SLUICE_PFS:-/pfs}'
  const spec = {
    pipeline: { name: 'copy' },
    transform: { cmd: ['sh', '-c', `cp "${pfs}"/smoke/* "${pfs}"/out/`], working_dir: base },
    input: { pfs: { repo: 'smoke', glob: '/*' } },
  }
  await writeFile(join(base, 'spec.json'), JSON.stringify(spec))
  await sluice('pipeline', 'create', '-f', join(base, 'spec.json'))
  await sluice('flush', 'smoke@master')
  const [commit] = JSON.parse(await sluice('commit', 'list', 'smoke', '--json')) as { id: string }[]
  assert.ok((await read(`${commit?.id}.smoke`, 'large')).equals(large))
  assert.ok((await read(`${commit?.id}.copy`, 'large')).equals(large))
  assert.equal((await read('master.copy', 'small')).toString(), 'small')
  s3.destroy()
  await server.stop()
  console.log(`smoke: ${entry} works`)
} catch (error) {
  console.error(server.output())
  throw error
} finally {
  if (!server.ended) await server.kill()
  await rm(base, { recursive: true, force: true })
}
