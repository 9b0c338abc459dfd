import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { followGuide } from '../shared/guides.ts'
import { type Bench, bytesNamed, missingTool, openBench } from '../support.ts'

const noCurl = await missingTool('curl', ['--aws-sigv4', 'aws:amz:us-east-1:s3', '--version'])

describe('curl', { skip: noCurl }, () => {
  let bench: Bench
  let signed: string[] = []
  let unsigned: string[] = []
  before(async () => {
    bench = await openBench()
    const { accessKeyId, secretAccessKey } = bench.server.credentials
    signed = ['-sS', '--aws-sigv4', 'aws:amz:us-east-1:s3', '--user', `${accessKeyId}:${secretAccessKey}`]
    unsigned = [...signed, '-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD']
    await bench.ok('curl', [...unsigned, '--fail-with-body', '-X', 'PUT', url('master.web')])
  })
  after(() => bench?.close())

  const url = (path: string) => `${bench.server.s3Url}/${path}`
  const status = async (args: string[]) =>
    bench.ok('curl', [...args, '-o', join(bench.folder, 'answer'), '-w', '%{http_code}'])
  const answer = () => readFile(join(bench.folder, 'answer'), 'utf8')

  it('does what its guide says', () => followGuide(bench, 'curl'))

  it('puts, gets, heads and deletes a file', async () => {
    await writeFile(join(bench.folder, 'note'), 'by curl')
    await bench.ok('curl', [...unsigned, '--fail', '-T', 'note', url('master.web/note')])
    assert.equal(await bench.ok('curl', [...unsigned, '--fail', url('master.web/note')]), 'by curl')
    const head = await bench.ok('curl', [...unsigned, '--fail', '-I', url('master.web/note')])
    assert.match(head, /^content-length: 7\r$/im)
    assert.match(head, /^x-sluice-commit: [0-9a-f]{32}\r$/im)
    assert.equal(await bench.ok('curl', [...unsigned, '--fail', '-r', '3-', url('master.web/note')]), 'curl')
    assert.equal(await status([...unsigned, '-X', 'DELETE', url('master.web/note')]), '204')
    assert.equal(await status([...unsigned, url('master.web/note')]), '404')
    assert.match(await answer(), /<Code>NoSuchKey<\/Code>/)
  })

  it('sends a large file that waits for 100 Continue, and one of unknown length is refused', async () => {
    const large = bytesNamed('curl', 8 * 1024 * 1024)
    await writeFile(join(bench.folder, 'large'), large)
    await bench.ok('curl', [
      ...unsigned,
      '--fail',
      '-H',
      'Expect: 100-continue',
      '-T',
      'large',
      url('master.web/large'),
    ])
    await bench.ok('curl', [...unsigned, '--fail', '-o', 'back', url('master.web/large')])
    assert.ok((await readFile(join(bench.folder, 'back'))).equals(large))
    assert.equal(
      await bench.ok('curl', [...unsigned, '-T', '-', '-o', 'answer', '-w', '%{http_code}', url('master.web/piped')], {
        input: 'x',
      }),
      '411',
    )
  })

  it('refuses before the body when the secret is wrong', async () => {
    const wrong = signed.map((word) =>
      word.startsWith(bench.server.credentials.accessKeyId)
        ? `${bench.server.credentials.accessKeyId}:wrong-wrong-wrong`
        : word,
    )
    const args = [...wrong, '-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD', '-H', 'Expect: 100-continue']
    assert.equal(await status([...args, '-T', join(bench.folder, 'large'), url('master.web/intruder')]), '403')
    assert.match(await answer(), /<Code>SignatureDoesNotMatch<\/Code>/)
    assert.equal(await status([...unsigned, url('master.web/intruder')]), '404')
  })

  it('gets nothing without a signature', async () => {
    for (const [method, path] of [
      ['GET', ''],
      ['GET', 'master.web/large'],
      ['PUT', 'master.web/x'],
      ['DELETE', 'master.web/large'],
    ] as const) {
      assert.equal(await status(['-sS', '-X', method, url(path)]), '403', `${method} ${path}`)
    }
    assert.equal(await status([...unsigned, '-I', url('master.web/large')]), '200')
  })

  it('flushes by one signed POST or GET and reads a line for each thing that ends', async () => {
    for (const method of ['POST', 'GET']) {
      const said = await bench.ok('curl', [...unsigned, '--fail-with-body', '-X', method, url('master.web?flush=')])
      const lines = said
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
      assert.ok(lines.length >= 1, said)
      assert.ok(said.includes('verdict'), said)
    }
  })

  it('asks for the log of a branch', async () => {
    const log = JSON.parse(
      await bench.ok('curl', [...unsigned, '--fail', url('master.web/.sluice/log.json')]),
    ) as unknown
    assert.match(JSON.stringify(log), /[0-9a-f]{32}/)
  })

  it('answers a health check without a key on the API port, and tells nothing else', async () => {
    assert.equal(await status(['-sS', `${bench.server.apiUrl}/healthz`]), '200')
    assert.ok(!(await answer()).includes(bench.server.credentials.secretAccessKey))
    assert.match(await status(['-sS', `${bench.server.apiUrl}/v1/repos`]), /^40[13]$/)
  })
})
