import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Client } from './client.ts'
import { fillSecond } from './fill-second.ts'
import { fillThird } from './fill-third.ts'
import { type KeptFacts, type KeptFiles, keptKey, MIB, textOfPart } from './kept-store.ts'

const fillers = { 'version-1': fill, 'version-2': fillSecond, 'version-4': fillThird } as const

const isKept = (name: string | undefined): name is keyof typeof fillers => name !== undefined && name in fillers

/**
 * Makes a store with the code of a release, and keeps it for the tests: `node test/upgrade/make-store.ts <checkout> <name>`. The server is
 * killed in the middle of its work, so what is kept is what a crash leaves behind. See README.md beside this file.
 */
async function main(): Promise<void> {
  const [checkout, name] = process.argv.slice(2)
  if (!checkout || !isKept(name)) {
    throw new Error(`usage: node test/upgrade/make-store.ts <checkout> ${Object.keys(fillers).join('|')}`)
  }
  const keptKeys = name === 'version-1' ? /^$/ : /^secrets\.key$/
  const folder = await mkdtemp(join(tmpdir(), 'sluice-keep-'))
  const server = spawn(process.execPath, [resolve(checkout, 'src/main.ts')], {
    env: {
      ...process.env,
      SLUICE_DATA: folder,
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_RUNNER: 'process',
      SLUICE_LOG_LEVEL: 'error',
      SLUICE_BATCH_IDLE_MS: '3600000',
      SLUICE_BATCH_MAX_AGE_MS: '3600000',
      ...(name === 'version-1' ? {} : { SLUICE_ALLOW_TARGETS: '127.0.0.1:*' }),
      SLUICE_ACCESS_KEY_ID: keptKey.accessKeyId,
      SLUICE_SECRET_ACCESS_KEY: keptKey.secretAccessKey,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    const client = await Client.connect(server, folder)
    const facts = await fillers[name](client)
    server.kill('SIGKILL')
    await once(server, 'exit')
    const files: Record<string, string> = {}
    for (const path of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const relative = join(path.parentPath, path.name).slice(folder.length + 1)
      // What belongs to the process, or is made anew.
      if (!path.isFile() || /(^lock\.|-shm$|^server\.json$|^scratch\/)/.test(relative)) continue
      if (relative === 'secrets.key' && !keptKeys.test(relative)) continue
      files[relative] = (await readFile(join(folder, relative))).toString('base64')
    }
    const kept: KeptFiles<unknown> = { facts, files }
    const packed = gzipSync(JSON.stringify(kept), { level: 9 })
    await writeFile(new URL(`./${name}.json.gz`, import.meta.url), packed)
    process.stdout.write(`${name}: ${packed.length} bytes, ${Object.keys(files).join(' ')}\n`)
  } finally {
    server.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
}

async function fill(client: Client): Promise<KeptFacts> {
  const put = async (key: string, body: string | Buffer, headers?: Record<string, string>) =>
    (await client.s3('PUT', `/${key}`, body, headers)).headers.get('x-amz-version-id') ?? ''
  const finish = async (at: string) => ((await client.api('POST', `/v1/repos/${at}/finish`, {})) as { id: string }).id
  await client.s3('PUT', '/master.images')
  const versions = [
    await put('master.images/a.txt', 'one', { 'content-type': 'text/x-first', 'x-amz-meta-colour': 'blue' }),
  ]
  await put('master.images/dir/b.txt', 'b'.repeat(2000))
  await put('master.images/big.bin', Buffer.alloc(3 * MIB, 'big'))
  await put('master.images/table/_temporary/part', 'a file of a release that knew of no scratch folders')
  const first = await finish('images/branches/master')
  versions.push(await put('master.images/a.txt', 'two'))
  await client.s3('DELETE', '/master.images/dir/b.txt')
  const second = await finish('images/branches/master')
  await client.api('POST', '/v1/pipelines', {
    pipeline: { name: 'copies' },
    transform: { cmd: ['sh', '-c', 'cp /pfs/images/a.txt /pfs/out/a.txt'] },
    input: { pfs: { repo: 'images', glob: '/a.txt' } },
  })
  let output: string | undefined
  for (let attempt = 0; attempt < 100 && output === undefined; attempt++) {
    await sleep(200)
    const found = JSON.stringify(await client.api('GET', '/v1/repos/copies/commits'))
    output = /"id":"([0-9a-f]{32})"[^{}]*"state":"finished"/.exec(found)?.[1]
  }
  if (output === undefined) throw new Error('the pipeline made nothing')
  await client.api('POST', '/v1/repos/images/branches', { name: 'dev', from: second })
  await client.api('POST', '/v1/repos/images/branches/dev/start', { message: 'held open' })
  await put('dev.images/d.txt', 'written into a commit that is held open')
  const restored = (
    (await client.api('POST', '/v1/repos/images/branches/master/restore', { to: first })) as { id: string }
  ).id
  versions.push(await put('master.images/a.txt', 'three'))
  await put('master.images/c.txt', 'in the open batch')
  await client.s3('DELETE', '/master.images/big.bin')
  const upload = async (key: string) =>
    /<UploadId>([^<]+)/.exec(await (await client.s3('POST', `/${key}?uploads`)).text())![1]!
  const part = async (key: string, id: string, number: number) => {
    const path = `/${key}?partNumber=${number}&uploadId=${id}`
    return (await client.s3('PUT', path, textOfPart(number))).headers.get('etag')!
  }
  const done = await upload('master.images/done.bin')
  const etags = [await part('master.images/done.bin', done, 1), await part('master.images/done.bin', done, 2)]
  const named = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
  const complete = `<CompleteMultipartUpload>${named.join('')}</CompleteMultipartUpload>`
  await client.s3('POST', `/master.images/done.bin?uploadId=${done}`, complete)
  const open = await upload('master.images/half.bin')
  const openPart = await part('master.images/half.bin', open, 1)
  return { commits: { first, second, restored, output }, versions, uploads: { done, complete, open, openPart } }
}

await main()
