import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import fc from 'fast-check'

/** `FAULTS=full` is the size of the continuous run; without it a property ends after about two seconds, however slow the machine. */
const TIME_LIMIT_MS = process.env['FAULTS'] === 'full' ? 60_000 : 2_000
/** So many are tried in any case: how fast the machine is decides nothing. */
const MIN_INPUTS = 20
/** Set `FUZZ_SEED` to what a failure printed to have the same inputs again. */
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff)
/** No input may keep the thread busy for longer: a server has one, for everybody. Time of its CPU, which other processes don't change. */
const MAX_BUSY_MICROSECONDS = 1_000_000

/** Tries inputs, some in any case and then until the time is over, or one fails; it is then made smaller and shown with the seed. */
export async function fuzz<Input>(
  t: TestContext,
  inputs: fc.Arbitrary<Input>,
  attempt: (input: Input) => Promise<void> | void,
): Promise<void> {
  let tried = 0
  const property = fc.asyncProperty(inputs, async (input) => {
    tried++
    const before = process.threadCpuUsage()
    await attempt(input)
    const { user, system } = process.threadCpuUsage(before)
    assert.ok(user + system < MAX_BUSY_MICROSECONDS, `it took ${(user + system) / 1e6} s of the CPU`)
  })
  t.diagnostic(`FUZZ_SEED=${seed}`)
  await fc.assert(property, { seed, numRuns: MIN_INPUTS })
  await fc.assert(property, {
    seed,
    numRuns: 10_000_000,
    interruptAfterTimeLimit: TIME_LIMIT_MS,
    markInterruptAsFailure: false,
  })
  t.diagnostic(`${tried} inputs`)
}

/** Text with pieces in it that parsers stumble over. */
export const oddText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...[
          '/',
          '//',
          '.',
          '..',
          '/../',
          '%2e',
          '%2E%2F',
          '%5C',
          '\\',
          '%',
          '%zz',
          '%00',
          '%0d%0a',
          '+',
          ' ',
          '?',
          '&',
          '=',
        ],
        ...[
          ';',
          ',',
          '"',
          "'",
          '<',
          '>',
          '&amp;',
          '&#0;',
          '\u0000',
          '\r\n',
          '\t',
          '\u007f',
          '\u0085',
          '\ufeff',
          '\u2028',
        ],
        ...[
          'ü',
          '😀',
          '\ud83d',
          'e\u0301',
          '__proto__',
          'constructor',
          '.sluice',
          '.sluice/commit',
          'master.images',
          'tx-a',
        ],
        ...[
          '-1',
          '0',
          '1',
          '00000000',
          '4294967296',
          '9007199254740993',
          '1e9',
          'NaN',
          'true',
          'null',
          '*',
          '""',
          'W/"x"',
        ],
      ),
      fc.string({ unit: 'binary', maxLength: 6 }),
      fc.string({ maxLength: 12 }),
    ),
    { maxLength: 8 },
  )
  .map((pieces) => pieces.join(''))

/** The same bytes with some changed, left out, doubled or put in. */
export function mutated(original: Buffer): fc.Arbitrary<Buffer> {
  const edit = fc.record({
    at: fc.nat({ max: Math.max(0, original.length - 1) }),
    remove: fc.nat({ max: 20 }),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
      oddText.map((text) => Buffer.from(text)),
      fc.nat({ max: Math.max(0, original.length - 1) }).map((from) => original.subarray(from, from + 50)),
    ),
  })
  return fc.array(edit, { minLength: 0, maxLength: 4 }).map((edits) => {
    let bytes = original
    for (const { at, remove, insert } of edits) {
      bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)])
    }
    return bytes
  })
}
