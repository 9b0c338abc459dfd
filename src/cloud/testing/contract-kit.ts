import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { MIN_PART_BYTES } from '../../kernel/index.ts'
import type { ObjectStore, PartUpload, UploadedPart } from '../object-store.ts'

/** What a store behind a driver can't do. Keys by name, each with the reason. */
export interface ContractLimits {
  /** Keys that the service can't hold: the driver must refuse them (StoreRejected) and say why. */
  readonly refuses?: Readonly<Record<string, string>>
  /** Keys that the service holds and the server of this test does not. */
  readonly loses?: Readonly<Record<string, string>>
}

/** Runs a check against an empty store under a title. */
export type Promised = (title: string, check: (store: ObjectStore) => Promise<void>) => void

export const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')
export const text = (value: string) => Buffer.from(value)
export const stream = (...pieces: (string | Buffer)[]) =>
  Readable.from(
    pieces.map((piece) => Buffer.from(piece)),
    { objectMode: false },
  )

export async function contentOf(store: ObjectStore, key: string): Promise<string> {
  return String(await buffer(await store.get(key)))
}

export async function removeAll(store: ObjectStore): Promise<void> {
  for (;;) {
    const { objects } = await store.list()
    if (objects.length === 0) return
    assert.deepEqual(await store.delete(objects.map(({ key }) => key)), [])
  }
}

export async function allKeys(
  store: ObjectStore,
  options: { prefix?: string; limit?: number } = {},
): Promise<string[]> {
  const keys: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await store.list({ ...options, ...(after === undefined ? {} : { after }) })
    keys.push(...page.objects.map(({ key }) => key))
    if (page.next === undefined) return keys
    assert.ok(after === undefined || Buffer.compare(Buffer.from(after), Buffer.from(page.next)) < 0)
    after = page.next
  }
}

export function inByteOrder(keys: readonly string[]): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

/** Runs the works a few at a time. */
export async function inBatches<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const AT_ONCE = 15
  for (let at = 0; at < items.length; at += AT_ONCE) {
    await Promise.all(items.slice(at, at + AT_ONCE).map(work))
  }
}

/** An object of this size in the smallest parts. */
export const ofParts = (size: number) => ({ size, partBytes: MIN_PART_BYTES })

/** A part of the smallest size. */
export const fullPart = (fill: string) => Buffer.alloc(MIN_PART_BYTES, fill)

/** Puts the parts that the store does not list, as somebody does who goes on after a crash, and returns them all. */
export async function putMissing(upload: PartUpload, bodies: readonly Buffer[]): Promise<readonly UploadedPart[]> {
  const there = await upload.listParts()
  const parts: UploadedPart[] = []
  for (const [index, body] of bodies.entries()) {
    parts.push(there.find(({ number }) => number === index + 1) ?? (await upload.putPart(index + 1, body)))
  }
  return parts
}
