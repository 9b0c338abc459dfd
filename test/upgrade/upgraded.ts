/** A kept store under this release, over both of its endpoints. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { type KeyPair, readConfig, signRequest, silentLog, systemClock } from '../../src/kernel/index.ts'
import { type RunningServer, startServer } from '../../src/server.ts'
import { versioningMigrations } from '../../src/versioning/index.ts'
import { keptKey, textOfPart } from './kept-store.ts'

/**
 * Lets processes of this release die while they take `folder` to version `to` of the schema, of which nothing is to stay, or all:
 * one for each number of statements that `after` makes of how many the migration has.
 */
export async function dieWhileMigrating(folder: string, to: number, after: (all: number) => number[]): Promise<void> {
  for (const runs of after(versioningMigrations.migrations[to - 1]!.up.length)) {
    const script = new URL('./crash-migration.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [script, join(folder, 'meta.sqlite'), String(Math.floor(runs))], {
      stdio: 'inherit',
    })
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    assert.equal(signal, 'SIGKILL', `after ${runs} statements`)
  }
}

/** A server on the folder, and a client of it; batches are only sealed when asked for. */
export class Upgraded {
  readonly #server: RunningServer

  private constructor(server: RunningServer) {
    this.#server = server
  }

  static async start(folder: string): Promise<Upgraded> {
    const env = {
      SLUICE_DATA: folder,
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_RUNNER: 'process',
      SLUICE_BATCH_IDLE_MS: '3600000',
      SLUICE_BATCH_MAX_AGE_MS: '86400000',
      SLUICE_ACCESS_KEY_ID: keptKey.accessKeyId,
      SLUICE_SECRET_ACCESS_KEY: keptKey.secretAccessKey,
    }
    const server = await startServer({
      config: readConfig(env, { cpus: 2, folder: dirname(folder) }),
      clock: systemClock,
      log: silentLog,
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })
    return new Upgraded(server)
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  s3(method: string, path: string, body?: string | Buffer, key: KeyPair = keptKey): Promise<Response> {
    return send(method, `${this.#server.s3Url}/${path}`, body, key)
  }

  api(method: string, path: string, body?: string): Promise<Response> {
    return send(method, this.#server.apiUrl + path, body, keptKey)
  }

  /** What a GET answers: a text, or the status of a refusal. */
  async textOf(path: string, key?: KeyPair): Promise<string | number> {
    const response = await this.s3('GET', path, undefined, key)
    return response.ok ? response.text() : response.status
  }

  async bytesOf(path: string): Promise<Buffer> {
    return Buffer.from(await (await this.s3('GET', path)).arrayBuffer())
  }

  async keysOf(bucket: string): Promise<readonly (string | undefined)[]> {
    const listing = await (await this.s3('GET', `${bucket}?list-type=2`)).text()
    return [...listing.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key]) => key)
  }

  /** The versions of `images/a.txt` are these and no others, the oldest first, and hold one, two and three. */
  async assertVersions(versions: readonly string[]): Promise<void> {
    const listing = await (await this.s3('GET', 'images?versions&prefix=a.txt')).text()
    const listed = [...listing.matchAll(/<VersionId>([^<]+)<\/VersionId>/g)].map(([, version]) => version)
    assert.deepEqual(listed, versions.toReversed())
    const texts = versions.map((version) => this.textOf(`images/a.txt?versionId=${version}`))
    assert.deepEqual(await Promise.all(texts), ['one', 'two', 'three'])
  }

  /** `images/half.bin`, of which the older release had the first part, gets its second and is completed. */
  async completeHalf({ open, openPart }: { readonly open: string; readonly openPart: string }): Promise<void> {
    const part = await this.s3('PUT', `images/half.bin?partNumber=2&uploadId=${open}`, textOfPart(2))
    const parts = [openPart, part.headers.get('etag')].map(
      (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    )
    const document = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
    assert.equal((await this.s3('POST', `images/half.bin?uploadId=${open}`, document)).status, 200)
    const bytes = await this.bytesOf('images/half.bin')
    assert.ok(bytes.equals(Buffer.concat([textOfPart(1), textOfPart(2)])))
  }
}

function send(method: string, url: string, body: string | Buffer | undefined, key: KeyPair): Promise<Response> {
  const { host: _host, ...headers } = signRequest({
    method,
    url,
    headers: {},
    bodySha256: hash('sha256', body ?? '', 'hex'),
    region: 'us-east-1',
    service: 's3',
    now: new Date(),
    ...key,
  })
  return fetch(url, {
    method,
    headers,
    ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
  })
}
