import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { runWords } from './cli/testing/cli.ts'
import { createLog, type KeyPair, readConfig, signRequest, systemClock } from './kernel/index.ts'
import { makeCertificate, withoutOpenssl } from './kernel/testing/certificates.ts'
import { type RunningServer, startServer } from './server.ts'

const rootKey = { accessKeyId: 'ROOTKEY', secretAccessKey: 'canary-of-the-root-key' }

async function connectTo(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  return socket
}

describe('the whole server', () => {
  let folder: string
  let settings: Record<string, string>
  let server: RunningServer
  const logged = new PassThrough()
  let log = ''
  logged.on('data', (piece: Buffer) => {
    log += String(piece)
  })

  const start = async (more: Record<string, string> = {}) => {
    const env = { ...settings, ...more }
    server = await startServer({
      config: readConfig(env, { cpus: 2, folder }),
      clock: systemClock,
      log: createLog('trace', logged),
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })
  }
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-server-'))
    settings = {
      SLUICE_DATA: join(folder, 'data'),
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_RUNNER: 'process',
      SLUICE_ACCESS_KEY_ID: rootKey.accessKeyId,
      SLUICE_SECRET_ACCESS_KEY: rootKey.secretAccessKey,
    }
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const sluice = (words: string, env: Record<string, string> = {}) =>
    runWords(words.split(' '), { folder, env: { ...settings, HOME: folder, ...env } })

  const s3 = async (key: KeyPair, method: string, path: string, ca?: Buffer) => {
    const url = server.s3Url + path
    const headers = signRequest({
      method,
      url,
      headers: {},
      bodySha256: 'UNSIGNED-PAYLOAD',
      ...key,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
    })
    const request = ca
      ? https.request(url, { method, headers, ca, agent: false })
      : http.request(url, { method, headers, agent: false })
    request.end()
    const [reply] = (await once(request, 'response')) as [http.IncomingMessage]
    return { status: reply.statusCode, text: await text(reply) }
  }

  it('keeps users, roles and temporary credentials over a restart, and no secret in its logs', async () => {
    await start()
    const created = JSON.parse((await sluice('user create ada --json')).out) as { key: KeyPair }
    const { key } = created
    const env = { AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey }
    assert.equal((await s3(key, 'PUT', '/adas')).status, 200)
    const lent = JSON.parse((await sluice('user credentials --repo adas --json', env)).out) as Required<KeyPair>
    assert.equal((await s3(lent, 'GET', '/adas')).status, 200)
    await server.close()

    await start()
    assert.equal((await s3(key, 'GET', '/adas')).status, 200)
    assert.equal((await s3(lent, 'GET', '/adas')).status, 200)
    assert.equal((await s3(lent, 'PUT', '/adas/a')).status, 403)
    await sluice('user rotate ada')
    assert.match((await s3(key, 'GET', '/adas')).text, /InvalidAccessKeyId/)
    assert.match((await s3(lent, 'GET', '/adas')).text, /InvalidToken/)
    await server.close()
    assert.ok(log.includes('Sluice is ready'))
    for (const secret of [rootKey.secretAccessKey, key.secretAccessKey, lent.secretAccessKey, lent.sessionToken]) {
      assert.ok(!log.includes(secret))
    }
  })

  it('speaks https on both ports with a certificate, which the command is told to believe', {
    skip: withoutOpenssl,
  }, async () => {
    const { certFile, keyFile } = await makeCertificate(folder, 'server')
    await assert.rejects(start({ SLUICE_TLS_CERT: certFile }), {
      code: 'InvalidConfig',
      message: /must be set together/,
    })
    await assert.rejects(start({ SLUICE_TLS_CERT: certFile, SLUICE_TLS_KEY: certFile }), { code: 'InvalidConfig' })
    await start({ SLUICE_TLS_CERT: certFile, SLUICE_TLS_KEY: keyFile })
    try {
      assert.match(server.s3Url, /^https:/)
      assert.match(server.apiUrl, /^https:/)
      assert.equal((await s3(rootKey, 'GET', '/', await readFile(certFile))).status, 200)
      const believed = { SLUICE_CA: certFile }
      assert.match((await sluice('repo list', believed)).out, /adas/)
      assert.match((await sluice('env', believed)).out, /^export AWS_ENDPOINT_URL=https:.*^export AWS_CA_BUNDLE=/ms)
      const unbelieved = await sluice('repo list')
      assert.equal(unbelieved.code, 1)
      assert.match(unbelieved.err, /certificate of https:.* is not trusted .*SLUICE_CA/)
      assert.match((await sluice('repo list', { SLUICE_CA: join(folder, 'none') })).err, /there is no such file/)
    } finally {
      // Whoever connects and says nothing does not hold up the end.
      const ports = [server.s3Url, server.apiUrl].map((url) => Number(new URL(url).port))
      const silent = await Promise.all(ports.map(connectTo))
      const closed = Promise.all(silent.map((socket) => once(socket, 'close')))
      await server.close()
      await closed
    }
  })
})
