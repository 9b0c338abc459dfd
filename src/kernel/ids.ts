import { randomBytes } from 'node:crypto'

declare const brand: unique symbol

/** A string (or other primitive) that can't be swapped for another kind by mistake. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** 32 lower-case hex digits from the system's random source. Nothing orders by id. */
export function randomHexId(): string {
  return randomBytes(16).toString('hex')
}
