import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { systemClock } from '../kernel/index.ts'
import type { Credentials } from './credentials.ts'
import { StoreDenied } from './object-store.ts'
import { openTargetStore } from './open-target.ts'
import { createTargetGuard } from './target-guard.ts'
import { parseTargetUrl } from './target-url.ts'
import type { SecretHint } from './urls/hint.ts'

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const accountKey = Buffer.alloc(64, 7).toString('base64')
const all: Readonly<Record<Credentials['kind'], Credentials>> = {
  s3: { kind: 's3', accessKeyId: 'id', secretAccessKey: 'secret' },
  gcs: {
    kind: 'gcs',
    clientEmail: 'x@project.iam.gserviceaccount.com',
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  },
  azure: { kind: 'azure', account: 'acc', signWith: { accountKey } },
}
const urls = { s3: 's3://bucket/dir', gcs: 'gs://bucket/dir', azure: 'wasb://container@acc/dir' } as const
const kinds = ['s3', 'gcs', 'azure'] as const

describe('a target of any kind', () => {
  let server: http.Server
  let port: number
  let asked = 0
  before(async () => {
    server = http
      .createServer((_request, response) => {
        asked++
        response.writeHead(404).end()
      })
      .listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  })
  after(() => {
    server.closeAllConnections()
    server.close()
  })

  const hintOf = (kind: Credentials['kind'], host: string): SecretHint => ({
    kind,
    account: kind === 'azure' ? 'acc' : undefined,
    endpoint: `http://${host}:${port}${kind === 'azure' ? '/acc' : ''}`,
  })
  const openAt = (kind: Credentials['kind'], host: string, allowTargets: readonly string[]) =>
    openTargetStore(parseTargetUrl(urls[kind], hintOf(kind, host)), all[kind], {
      guard: createTargetGuard({ allowTargets }),
      clock: systemClock,
      random: Math.random,
    })

  for (const kind of kinds) {
    it(`reaches no closed address that is not allowed: ${kind}`, async () => {
      for (const host of ['127.0.0.1', 'localhost']) {
        const store = await openAt(kind, host, [])
        try {
          asked = 0
          await assert.rejects(store.head('key'), (error) => {
            assert.ok(error instanceof StoreDenied, String(error))
            assert.match(error.message, new RegExp(`SLUICE_ALLOW_TARGETS=${host}:${port}`))
            return true
          })
          assert.equal(asked, 0)
        } finally {
          await store.close()
        }
      }
    })

    it(`is opened by the driver of its kind: ${kind}`, async () => {
      const store = await openAt(kind, '127.0.0.1', [`127.0.0.1:${port}`])
      try {
        assert.equal(store.url, parseTargetUrl(urls[kind], hintOf(kind, '127.0.0.1')).url)
        asked = 0
        // What a bare 404 means differs; that it was asked is what counts.
        await store.head('key').catch(() => undefined)
        assert.ok(asked > 0)
      } finally {
        await store.close()
      }
    })

    it(`takes no credentials of another service: ${kind}`, async () => {
      const parts = { guard: createTargetGuard({ allowTargets: [] }), clock: systemClock, random: Math.random }
      for (const other of kinds.filter((each) => each !== kind)) {
        await assert.rejects(openTargetStore(parseTargetUrl(urls[kind]), all[other], parts), {
          code: 'StoreRejected',
          message: /^the credentials for .* are for .*, not for /,
        })
      }
    })
  }
})
