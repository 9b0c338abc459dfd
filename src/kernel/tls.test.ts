import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect } from 'node:tls'
import { InvalidConfig } from './errors.ts'
import { silentLog } from './log.ts'
import { makeCertificate, withoutOpenssl } from './testing/certificates.ts'
import { openTls, type TlsFiles } from './tls.ts'

describe('TLS', { skip: withoutOpenssl }, () => {
  let folder: string
  let one: TlsFiles
  let two: TlsFiles
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'))
    one = await makeCertificate(folder, 'one')
    two = await makeCertificate(folder, 'two')
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const refuses = (files: TlsFiles, message: RegExp) =>
    assert.rejects(openTls(files, silentLog), (error) => {
      assert.ok(error instanceof InvalidConfig)
      assert.match(error.message, message)
      return true
    })

  it('says which file is missing or wrong, and when two do not belong together', async () => {
    const none = join(folder, 'none')
    await refuses({ ...one, certFile: none }, /SLUICE_TLS_CERT=.*none can't be read/)
    await refuses({ ...one, keyFile: none }, /SLUICE_TLS_KEY=.*none can't be read/)
    await refuses({ certFile: one.keyFile, keyFile: one.keyFile }, /holds no certificate/)
    await refuses({ certFile: one.certFile, keyFile: one.certFile }, /holds no private key/)
    await refuses({ certFile: one.certFile, keyFile: two.keyFile }, /is not the key of the certificate/)
    await writeFile(none, '')
    await refuses({ certFile: none, keyFile: none }, /2 problem/)
  })

  it('serves a renewed certificate without a restart, and keeps the old one while the new can not be used', async () => {
    const files = { certFile: join(folder, 'live.crt'), keyFile: join(folder, 'live.key') }
    const install = async (from: TlsFiles, ...which: (keyof TlsFiles)[]) => {
      for (const name of which) await copyFile(from[name], files[name])
    }
    await install(one, 'certFile', 'keyFile')
    const tls = await openTls(files, silentLog)
    const server = tls.createServer({}, (_request, response) => void response.end())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const ca = await Promise.all([one, two].map(({ certFile }) => readFile(certFile)))
    const served = async () => {
      const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ca })
      await once(socket, 'secureConnect')
      const { CN } = socket.getPeerCertificate().subject
      socket.destroy()
      return CN
    }
    try {
      assert.equal(await served(), 'one')
      await install(two, 'certFile')
      await tls.reload()
      assert.equal(await served(), 'one')
      await install(two, 'keyFile')
      await tls.reload()
      assert.equal(await served(), 'two')
      await rm(files.certFile)
      await tls.reload()
      assert.equal(await served(), 'two')
    } finally {
      tls.close()
      server.close()
    }
  })
})
