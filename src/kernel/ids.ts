import { randomBytes } from 'node:crypto'

declare const brand: unique symbol

/** A string (or other primitive) that can't be swapped for another kind by mistake. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** 32 lower-case hex digits from the system's random source. Nothing orders by id. */
export function randomHexId(): string {
  return randomBytes(16).toString('hex')
}

/** Makes ids of requests: sixteen characters, which are where the process began, and a count. */
export function requestIds(): () => string {
  const prefix = randomHexId().slice(0, 8).toUpperCase()
  let count = 0
  return () => {
    count = (count + 1) % 0x1_0000_0000
    return prefix + count.toString(16).toUpperCase().padStart(8, '0')
  }
}
