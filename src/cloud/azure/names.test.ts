import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { StoreRejected } from '../object-store.ts'
import { checkBlobName, decodeMetadata, encodeMetadata, encodeMetadataName } from './names.ts'

describe('names at Azure', () => {
  it('are refused, by name and with the reason, where Azure would take them for another', () => {
    for (const [name, reason] of [
      ['a\\b', /backslash/],
      ['a\tb', /control/],
      ['a\u0085b', /control/],
      ['a\uffffb', /control/],
      ['a.', /end with a dot/],
      ['a./b', /end with a dot/],
      ['..', /end with a dot/],
      ['a/../b', /end with a dot/],
      ['a//b', /empty/],
      ['a/', /empty/],
      ['/a', /empty/],
      [Array.from({ length: 255 }, () => 'a').join('/'), /254 segments/],
      ['x'.repeat(1025), /1024 bytes/],
    ] as const) {
      assert.throws(
        () => checkBlobName(name),
        (error) => error instanceof StoreRejected && reason.test(error.message),
        name,
      )
    }
    for (const name of ['a', '.hidden', 'a..b/c', 'a b', ' a ', 'ä/日本/🎈', '%2e%2e/%', '...a', 'a:b|c*d?e#f"g<h>']) {
      checkBlobName(name)
    }
  })

  it('turn the facts of a push into identifiers that can be read', () => {
    assert.equal(encodeMetadataName('sluice-commit'), 'sluice_commit')
    assert.equal(encodeMetadataName('sluice-sha256'), 'sluice_sha256')
  })

  it('of metadata come back as they were, and so do values', () => {
    const names = fc.oneof(
      fc.string({ minLength: 1, unit: 'binary' }),
      fc.string({ minLength: 1, unit: fc.constantFrom('-', '_', '5', 'f', 'a', 'Z', 'ü', '2') }),
    )
    fc.assert(
      fc.property(fc.dictionary(names, fc.string({ unit: 'binary' })), (given) => {
        // A lone surrogate is no text, and becomes the replacement character in any header.
        const metadata = Object.fromEntries(
          Object.entries(given).map(([name, value]) => [name.toWellFormed(), value.toWellFormed()]),
        )
        const encoded = encodeMetadata(metadata)
        for (const [name, value] of Object.entries(encoded)) {
          assert.match(name, /^[A-Za-z_][A-Za-z0-9_]*$/)
          assert.match(value, /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/)
        }
        assert.deepEqual(decodeMetadata(encoded), metadata)
      }),
      { numRuns: 500 },
    )
  })
})
