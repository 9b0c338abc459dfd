import { createHash } from 'node:crypto'
import { systemClock } from '../../kernel/index.ts'
import type { ObjectStore } from '../object-store.ts'
import { openS3Store } from '../s3/s3-store.ts'
import type { S3Target } from '../target.ts'
import { createTargetGuard, type TargetGuard } from '../target-guard.ts'
import { type AskedRequest, type Reply, type ScriptedServer, startScriptedServer } from './scripted-server.ts'

export const testCredentials = { accessKeyId: 'AKIATEST', secretAccessKey: 'a secret that never shows' }

/** A store at the endpoint, that tries soon and gives up soon. */
export function openAt(
  endpoint: string,
  options: { guard?: TargetGuard; attempts?: number; asHost?: boolean; folder?: string } = {},
) {
  const { folder = '' } = options
  const target: S3Target = { kind: 's3', endpoint, bucket: 'bucket', folder, url: 's3://bucket', identity: 'b' }
  return openS3Store({
    target,
    credentials: options.asHost ? undefined : testCredentials,
    region: undefined,
    guard: options.guard ?? createTargetGuard({ allowTargets: ['127.0.0.1:*'] }),
    clock: systemClock,
    random: () => 0.5,
    retry: { attempts: options.attempts ?? 3, firstDelayMs: 1, maxDelayMs: 2 },
    timeouts: { connectMs: 2_000, idleMs: 250 },
  })
}

/** Runs the check against a store whose server answers so. */
export async function withServer(
  reply: (request: AskedRequest, number: number) => Reply,
  check: (store: ObjectStore, server: ScriptedServer) => Promise<void>,
  attempts?: number,
): Promise<void> {
  const server = await startScriptedServer(reply)
  const store = openAt(`http://127.0.0.1:${server.port}`, attempts === undefined ? {} : { attempts })
  try {
    await check(store, server)
  } finally {
    await store.close()
    await server.close()
  }
}

const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')
/** What a store says that has taken a body. */
export const taken = ({ body }: AskedRequest): Reply => ({ headers: { etag: `"${md5(body)}"` } })
export const errorDocument = (code: string, message = 'said so') =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`
export const xml = (status: number, code: string, headers: Record<string, string> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/xml', ...headers },
  body: errorDocument(code),
})
/** What a proxy, or a network that wants to be paid first, says. */
export const page = (status: number): Reply => ({
  status,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: '<!doctype html><html><body><h1>Sign in to the network</h1></body></html>',
})
/** A body of one byte, which goes by the SDK as the first of a store and by a way of its own after that. */
export const putOne = (store: ObjectStore) => store.put('k', Buffer.from('x'), 1)
