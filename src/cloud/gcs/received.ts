import { StoreError, StoreRejected, StoreUnreachable } from '../object-store.ts'
import { type GcsConnection, query } from './connection.ts'
import type { Resource } from './resource.ts'

/** What is known of the bytes that were sent. */
export interface Sent {
  readonly size: number
  /** Hex, of all of them; undefined: not known of all. */
  readonly crc32c?: string | undefined
  /** Hex, of all of them. */
  readonly md5?: string | undefined
  /** Hex, what the caller says that they should be. */
  readonly said?: string | undefined
}

/**
 * Compares what the store holds with what was sent. The service compares too, and first; this is for what lies between. An
 * object that is another is removed, if it is still the current one. Throws StoreUnreachable if other bytes arrived, and
 * StoreRejected if they are not what the caller said.
 */
export async function checkReceived(to: GcsConnection, resource: Resource, sent: Sent): Promise<void> {
  const arrived = resource.size === sent.size && isSame(resource.crc32c, sent.crc32c) && isSame(resource.md5, sent.md5)
  const { crc32c, md5, size } = resource
  if (!arrived) {
    const removed = await remove(to, resource)
    throw new StoreUnreachable(`the store received other bytes than were sent; ${removed}`, { size, crc32c, md5 })
  }
  if (!isSame(sent.md5 ?? resource.md5, sent.said)) {
    throw new StoreRejected(`the content is not what its MD5 says; ${await remove(to, resource)}`, { md5 })
  }
}

/** Where one of the two is not known there is nothing to compare. */
function isSame(one: string | undefined, other: string | undefined): boolean {
  return one === undefined || other === undefined || one === other.toLowerCase()
}

/** Says in words whether it did: this is about what failed before. */
export async function remove(to: GcsConnection, { name, generation }: Resource): Promise<string> {
  try {
    await to.again({
      method: 'DELETE',
      path: to.path(name) + query({ ifGenerationMatch: generation }),
      subject: 'object',
    })
    return 'the object was removed'
  } catch (error) {
    if (error instanceof StoreError) return `the object could not be removed (${error.message})`
    throw error
  }
}
