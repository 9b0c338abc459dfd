import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

describe('sluice env', () => {
  it("prints the root key and the server's addresses, for a shell", async () => {
    const out = await cli.ok('env')
    assert.match(out, /^export AWS_ACCESS_KEY_ID=SLUICETEST$/m)
    assert.match(out, /^export AWS_ENDPOINT_URL=http:\/\/127\.0\.0\.1:9$/m)
    assert.match(out, /^export AWS_REGION=us-east-1$/m)
    assert.match(out, new RegExp(`^export SLUICE_API_URL=${cli.stack.url}$`, 'm'))
  })

  it('needs no server, and says the defaults of one that is not running', async () => {
    const data = join(cli.folder, 'stopped')
    await mkdir(data)
    const key = { accessKeyId: 'AK', secretAccessKey: "it's $ecret" }
    await writeFile(join(data, 'root-key.json'), JSON.stringify(key))
    const { code, out } = await cli.run(['env'], { env: { SLUICE_DATA: data } })
    assert.equal(code, 0)
    assert.match(out, /AWS_ENDPOINT_URL=http:\/\/127\.0\.0\.1:30600$/m)
    assert.match(out, /AWS_SECRET_ACCESS_KEY='it'\\''s \$ecret'$/m)
    assert.ok(!out.includes('SLUICE_API_URL'))
  })

  it("is this folder's, though the shell still has another server's", async () => {
    const out = await cli.ok('env')
    const { code, out: again } = await cli.run(['env'], { env: { SLUICE_API_URL: 'http://127.0.0.1:1' } })
    assert.deepEqual([code, again], [0, out])
  })

  it('writes a profile that commands then sign with', async () => {
    await cli.ok('env', '--profile', 'mine')
    assert.equal((await stat(join(cli.folder, '.aws/credentials'))).mode & 0o777, 0o600)
    // The data cli.folder is hidden, so that the key can only be the profile's.
    const env = { AWS_PROFILE: 'mine', SLUICE_API_URL: cli.stack.url, SLUICE_DATA: join(cli.folder, 'none') }
    assert.equal((await cli.run(['repo', 'list'], { env })).code, 0)
    const other = await cli.run(['repo', 'list'], { env: { ...env, AWS_PROFILE: 'other' } })
    assert.equal(other.code, 1)
    assert.match(other.err, /AWS_PROFILE names the profile other/)
  })

  it('names in the profile of an https server what its certificate is believed by', async () => {
    const data = join(cli.folder, 'tls')
    await mkdir(data)
    await writeFile(join(data, 'root-key.json'), JSON.stringify({ accessKeyId: 'AK', secretAccessKey: 'secret' }))
    const urls = { s3Url: 'https://127.0.0.1:9', apiUrl: 'https://127.0.0.1:9' }
    await writeFile(join(data, 'server.json'), JSON.stringify({ ...urls, pid: process.pid }))
    const ca = join(cli.folder, 'ca.pem')
    const { code } = await cli.run(['env', '--profile', 'tls'], { env: { SLUICE_DATA: data, SLUICE_CA: ca } })
    assert.equal(code, 0)
    const config = await readFile(join(cli.folder, '.aws/config'), 'utf8')
    assert.ok(config.slice(config.indexOf('[profile tls]')).includes(`ca_bundle = ${ca}`))
  })

  it('says which of http and https was meant, where the server speaks the other', async () => {
    const url = cli.stack.url.replace('http:', 'https:')
    const tls = await cli.run(['repo', 'list'], { env: { SLUICE_API_URL: url } })
    assert.ok(
      tls.err.includes(`does not speak https: set SLUICE_API_URL to where the server runs, perhaps ${cli.stack.url}`),
    )
    // What a server with a certificate does with a request that is no TLS.
    const closing = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end()))
    closing.listen(0, '127.0.0.1')
    await once(closing, 'listening')
    const { port } = closing.address() as AddressInfo
    try {
      const plain = await cli.run(['repo', 'list'], { env: { SLUICE_API_URL: `http://127.0.0.1:${port}` } })
      assert.ok(plain.err.includes(`if the server has a certificate, it is https://127.0.0.1:${port}`), plain.err)
    } finally {
      closing.close()
    }
  })

  it('says what to do where there is no key, and prints nothing that a shell would run', async () => {
    const { code, out, err } = await cli.run(['env'], { env: { SLUICE_DATA: join(cli.folder, 'none') } })
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, /npm start/)
  })
})
