import { describe, it } from 'node:test'
import type { ObjectStore } from '../object-store.ts'
import { conditions } from './contract-conditions.ts'
import { type ContractLimits, type Promised, removeAll } from './contract-kit.ts'
import { listing } from './contract-listing.ts'
import { reading } from './contract-reading.ts'
import { uploading } from './contract-uploading.ts'
import { writing } from './contract-writing.ts'

/**
 * What every driver promises, run against each. `open` gives an empty store, the same one each time; `skip` names promises that
 * the store behind a driver can't keep, each with the reason. A name there that no promise has fails the suite.
 */
export function objectStoreContract(
  name: string,
  open: () => Promise<ObjectStore>,
  skip: Readonly<Record<string, string>> = {},
  limits: ContractLimits = {},
): void {
  const unknown = new Set(Object.keys(skip))
  const promise: Promised = (title, check) => {
    unknown.delete(title)
    it(title, { skip: skip[title] ?? false }, async () => {
      const store = await open()
      try {
        await check(store)
      } finally {
        await removeAll(store)
        await store.close()
      }
    })
  }
  describe(`${name} keeps the contract of object stores`, () => {
    reading(promise)
    writing(promise)
    conditions(promise)
    listing(promise, limits)
    uploading(promise)
    if (unknown.size > 0) throw new Error(`the contract has no promises called ${[...unknown].join('; ')}`)
  })
}
