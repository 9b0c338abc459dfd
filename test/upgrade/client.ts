import type { ChildProcess } from 'node:child_process'
import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { signRequest } from '../../src/kernel/index.ts'
import { keptKey } from './kept-store.ts'

/** What fills a store that is to be kept: both endpoints of its server. Throws for every answer that is not a success. */
export class Client {
  /** Of the S3 endpoint. */
  readonly s3Url: string
  readonly #apiUrl: string

  constructor(urls: { s3Url: string; apiUrl: string }) {
    this.s3Url = urls.s3Url
    this.#apiUrl = urls.apiUrl
  }

  static async connect(server: ChildProcess, folder: string): Promise<Client> {
    for (let attempt = 0; attempt < 300 && server.exitCode === null; attempt++) {
      const text = await readFile(join(folder, 'server.json'), 'utf8').catch(() => undefined)
      if (text) return new Client(JSON.parse(text) as { s3Url: string; apiUrl: string })
      await sleep(100)
    }
    throw new Error('the server did not start')
  }

  async s3(
    method: string,
    path: string,
    body?: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return this.#send(method, this.s3Url + path, body, headers)
  }

  async api(method: string, path: string, body?: unknown): Promise<unknown> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const response = await this.#send(method, this.#apiUrl + path, text, { 'content-type': 'application/json' })
    const answer = await response.text()
    return response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(answer) : answer
  }

  /** Bytes to the API; what it tells of its work, when that is done. */
  async upload(path: string, body: Buffer): Promise<string> {
    const headers = { 'content-type': 'application/octet-stream' }
    return (await this.#send('POST', this.#apiUrl + path, body, headers)).text()
  }

  async #send(method: string, url: string, body: string | Buffer | undefined, given: Record<string, string>) {
    const { host: _host, ...headers } = signRequest({
      method,
      url,
      headers: given,
      bodySha256: hash('sha256', body ?? '', 'hex'),
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      ...keptKey,
    })
    const response = await fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
    })
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`)
    return response
  }
}
