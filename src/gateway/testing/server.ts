import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { S3Client } from '@aws-sdk/client-s3'
import { rootKeyRing, type SignInput, signRequest, silentLog, systemClock } from '../../kernel/index.ts'
import { openTestStore, type TestStore, type TestStoreOptions } from '../../versioning/testing/store.ts'
import { createGateway, type GatewayOptions } from '../gateway.ts'

export const testKey = { accessKeyId: 'SLUICETESTKEY', secretAccessKey: 'a secret that is long enough' }

/** A gateway over a real store, listening on a port of its own. */
export interface TestServer {
  readonly store: TestStore
  readonly http: Server
  readonly port: number
  readonly origin: string
  readonly s3: S3Client
  /** Signed by the root key and sent; `path` is raw: `/bucket/key?query`. */
  send(method: string, path: string, options?: SendOptions): Promise<Response>
  sign(method: string, path: string, options?: SendOptions): Record<string, string>
  close(): Promise<void>
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly bodySha256?: string
  readonly now?: Date
  readonly key?: Pick<SignInput, 'accessKeyId' | 'secretAccessKey' | 'sessionToken'>
}

interface TestServerOptions extends TestStoreOptions, Partial<GatewayOptions> {
  /** What the gateway gets besides, made of the store. */
  readonly prepare?: (store: TestStore) => Promise<Partial<GatewayOptions>>
}

export async function startTestServer({ prepare, ...options }: TestServerOptions = {}): Promise<TestServer> {
  const store = await openTestStore(options)
  const prepared = await prepare?.(store)
  const { server, close } = createGateway({
    versioning: store.versioning,
    keys: rootKeyRing(testKey),
    config: { region: undefined, apiPort: 30601, logLevel: 'silent' },
    clock: systemClock,
    log: silentLog,
    ...options,
    ...prepared,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const origin = `http://127.0.0.1:${port}`
  const s3 = new S3Client({
    endpoint: origin,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: testKey,
    maxAttempts: 1,
  })
  const sign: TestServer['sign'] = (method, path, { headers = {}, bodySha256 = 'UNSIGNED-PAYLOAD', now, key } = {}) =>
    signRequest({
      method,
      url: origin + path,
      headers,
      bodySha256,
      region: 'us-east-1',
      service: 's3',
      now: now ?? new Date(),
      ...(key ?? testKey),
    })
  return {
    store,
    http: server,
    port,
    origin,
    s3,
    sign,
    send: (method, path, sendOptions = {}) => {
      const { host: _host, ...headers } = sign(method, path, sendOptions)
      return fetch(origin + path, {
        method,
        headers,
        redirect: 'manual',
        ...(sendOptions.body === undefined ? {} : { body: sendOptions.body as string | Uint8Array<ArrayBuffer> }),
      })
    },
    close: async () => {
      s3.destroy()
      await close()
      await store.close()
    },
  }
}
