import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3'
import { MAX_DELETE_KEYS } from '../../kernel/index.ts'
import { shownKey } from '../key-rules.ts'
import { isMissingObject, StoreError, StoreRejected } from '../object-store.ts'
import type { S3Connection } from './connection.ts'
import { explain } from './errors.ts'

interface Failure {
  readonly key: string
  readonly error: StoreError
}

/** XML 1.0 has no way to write these; a carriage return it changes. */
const notInXml = /[\p{Cc}\ufffe\uffff]/u

/** A thousand keys at a time; answers what could not be deleted, key by key. */
export async function deleteKeys(to: S3Connection, keys: readonly string[]): Promise<readonly Failure[]> {
  const failures: Failure[] = []
  const plain = keys.filter((key) => !notInXml.test(key))
  for (const key of keys.filter((key) => notInXml.test(key))) failures.push(...(await deleteOne(to, key)))
  for (let at = 0; at < plain.length; at += MAX_DELETE_KEYS) {
    failures.push(...(await deleteMany(to, plain.slice(at, at + MAX_DELETE_KEYS))))
  }
  return failures
}

async function deleteOne(to: S3Connection, key: string): Promise<readonly Failure[]> {
  const input = { Bucket: to.target.bucket, Key: to.fullKey(key) }
  try {
    await to.again(() => to.client.send(new DeleteObjectCommand(input)))
    return []
  } catch (error) {
    if (isMissingObject(error)) return []
    if (error instanceof StoreRejected) return [{ key, error }]
    throw error
  }
}

/** What the store says may go better later is asked for again, as whole requests are. */
async function deleteMany(to: S3Connection, keys: readonly string[]): Promise<readonly Failure[]> {
  const failed: Failure[] = []
  let left = keys
  let unlucky: readonly Failure[] = []
  try {
    await to.again(async () => {
      unlucky = []
      const failures = await deleteOnce(to, left)
      failed.push(...failures.filter(({ error }) => !error.retryable))
      unlucky = failures.filter(({ error }) => error.retryable)
      left = unlucky.map(({ key }) => key)
      if (unlucky[0]) throw unlucky[0].error
    })
  } catch (error) {
    if (!(error instanceof StoreError && unlucky.some((failure) => failure.error === error))) throw error
  }
  return [...failed, ...unlucky]
}

async function deleteOnce(to: S3Connection, keys: readonly string[]): Promise<readonly Failure[]> {
  const byFullKey = new Map(keys.map((key) => [to.fullKey(key), key]))
  const answer = await to.client.send(
    new DeleteObjectsCommand({
      Bucket: to.target.bucket,
      Delete: { Quiet: true, Objects: [...byFullKey.keys()].map((Key) => ({ Key })) },
    }),
  )
  return (answer.Errors ?? [])
    .filter(({ Code }) => Code !== 'NoSuchKey')
    .map(({ Key = '', Code = '', Message = '' }) => ({
      key: byFullKey.get(Key) ?? refuseKey(Key),
      error: explain({ code: Code, message: Message, status: statusOf(Code) }, to.place),
    }))
}

/** What fails is asked for again: that must be what was asked for before. */
function refuseKey(key: string): never {
  throw new StoreRejected(`the store answers about ${shownKey(key)}, which it was not asked to delete`)
}

/** An entry has no status of its own. What is no fault of the store's is the request's. */
function statusOf(code: string): number {
  return /^(Internal|Service)/.test(code) ? 500 : 400
}
