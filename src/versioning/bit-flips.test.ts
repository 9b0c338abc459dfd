import assert from 'node:assert/strict'
import { cpSync, globSync, readFileSync, rmSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { Corrupt, openSqlite, PageGuard, silentLog } from '../kernel/index.ts'
import { RECORD_HEADER_BYTES } from './content/record.ts'
import {
  closeStore,
  DAMAGED,
  Dice,
  faultsHere,
  fillStore,
  flipBits,
  isFound,
  openStore,
  readAll,
  type Seen,
} from './testing/flips.ts'

/**
 * Random bits, by where they are turned over; `FAULTS=full` makes it ten thousand in pages of the metadata, in packs and in the log.
 * Those of a page of the metadata or of a record of a pack are told one by one whatever else is damaged, and are turned over many at a
 * time; all others each in a store of its own.
 */
const sizes =
  process.env['FAULTS'] === 'full'
    ? { pages: 5000, records: 4660, nodes: 600, log: 340, anywhere: 60 }
    : { pages: 150, records: 120, nodes: 8, log: 12, anywhere: 4 }
const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000)

/** A record of a pack, or what stands before the first. */
interface Piece {
  readonly sha256: string | undefined
  readonly start: number
  readonly end: number
}

describe(`a bit that flips in a store that is not running (seed ${seed})`, () => {
  let folder: string
  let whole: string
  let crashed: string
  let copy: string
  let expected: Seen
  let dice: Dice

  before(async () => {
    dice = new Dice(seed)
    folder = await mkdtemp(join(tmpdir(), 'sluice-flips-'))
    whole = join(folder, 'whole')
    crashed = join(folder, 'crashed')
    copy = join(folder, 'copy')
    await mkdir(whole)
    const store = await openStore(whole)
    await fillStore(store)
    // What a crash leaves: everything acknowledged, most of it in the log only.
    cpSync(whole, crashed, { recursive: true, filter: (file) => !file.endsWith('-shm') })
    await closeStore(store)
    const again = await openStore(whole)
    expected = await readAll(again)
    await closeStore(again)
    assert.deepEqual(await faultsHere(whole), [])
  })

  after(() => rm(folder, { recursive: true, force: true }))

  function copyOf(from: string): void {
    rmSync(copy, { recursive: true, force: true })
    cpSync(from, copy, { recursive: true })
  }

  function tell(t: TestContext, outcomes: Record<string, number>): void {
    t.diagnostic(`seed ${seed}: ${JSON.stringify(outcomes)}`)
  }

  /** Reads all of the copy. Returns what can't be read; what can is as it was. */
  async function damagedReads(where: string): Promise<readonly string[]> {
    const store = await openStore(copy)
    const seen = await readAll(store)
    await closeStore(store)
    const damaged: string[] = []
    for (const [name, value] of seen) {
      if (value === DAMAGED) damaged.push(name)
      else assert.equal(value, expected.get(name), `${where}: ${name} is served with other bytes`)
    }
    // What is not listed could not be listed.
    if (seen.size < expected.size) {
      assert.ok(
        damaged.some((name) => name.startsWith('list of') || name.startsWith('log of')),
        `${where}: something is missing without an error`,
      )
    }
    return damaged
  }

  it(`in the metadata is found by its page, told which, and none of it is served (${sizes.pages} bits)`, async (t) => {
    const file = join(copy, 'meta.sqlite')
    const outcomes = { found: 0, stores: 0 }
    while (outcomes.found < sizes.pages) {
      copyOf(whole)
      const pages = statSync(file).size / 4096
      const flips = new Map<number, number>()
      for (let i = 0; i < Math.min(pages, sizes.pages - outcomes.found); i++) {
        const bit = dice.below(pages * 32_768)
        flips.set(Math.floor(bit / 32_768) + 1, bit)
      }
      flipBits(file, flips.values())
      const { damaged } = await PageGuard.inspect(file)
      assert.deepEqual(
        damaged.map(({ page, bit }) => [page, bit]),
        [...flips].sort(([a], [b]) => a - b).map(([page, bit]) => [page, bit % 32_768]),
      )
      await assert.rejects(openStore(copy), Corrupt)
      outcomes.found += flips.size
      outcomes.stores++
    }
    tell(t, outcomes)
  })

  it(`in a pack is found by its record, and all others are served as they were (${sizes.records} bits)`, async (t) => {
    const pieces = await piecesOf(whole)
    const outcomes = { found: 0, stores: 0, unreadable: 0, readable: 0 }
    while (outcomes.found < sizes.records) {
      copyOf(whole)
      const flips = new Map<Piece, number>()
      const packs = new Map<string, number[]>()
      // Half of the pieces at most, so that it is seen that the others are served.
      const wanted = Math.min(sizes.records - outcomes.found, pieces.length / 2)
      while (flips.size < wanted) {
        const { file, piece, bit } = anyBit(pieces, dice)
        if (flips.has(piece)) continue
        flips.set(piece, bit)
        packs.set(file, [...(packs.get(file) ?? []), bit])
      }
      for (const [file, bits] of packs) flipBits(join(copy, file), bits)
      const faults = await faultsHere(copy)
      const named = new Set(faults.map(({ kind, sha256, pack }) => (kind === 'pack' ? pack : sha256)))
      for (const [file, bits] of packs) {
        const pack = file.slice(file.lastIndexOf('/') + 1, -'.pack'.length)
        for (const [piece, bit] of flips) {
          if (bits.includes(bit)) assert.ok(named.has(piece.sha256 ?? pack), `bit ${bit} of ${file} is not found`)
        }
      }
      const damaged = await damagedReads(`${flips.size} bits of packs`)
      assert.ok(damaged.every((name) => expected.has(name) && !name.startsWith('list of')))
      outcomes.found += flips.size
      outcomes.stores++
      outcomes.unreadable += damaged.length
      outcomes.readable += expected.size - damaged.length
    }
    assert.ok(outcomes.unreadable > 0 && outcomes.readable > outcomes.unreadable, JSON.stringify(outcomes))
    tell(t, outcomes)
  })

  it(`in the nodes of trees is found or harms nothing, and nothing else is served (${sizes.nodes} bits)`, async (t) => {
    const outcomes = { found: 0, harmless: 0 }
    copyOf(whole)
    for (let i = 0; i < sizes.nodes; i++) {
      for (const end of ['', '-wal', '-shm']) rmSync(join(copy, `nodes.sqlite${end}`), { force: true })
      cpSync(join(whole, 'nodes.sqlite'), join(copy, 'nodes.sqlite'))
      // The first in the name of a column and in the version of the format, which chance meets once in a thousand times.
      const rare = [readFileSync(join(copy, 'nodes.sqlite')).indexOf('body') * 8, 18 * 8]
      const bit = rare[i] ?? dice.below(statSync(join(copy, 'nodes.sqlite')).size * 8)
      flipBits(join(copy, 'nodes.sqlite'), [bit])
      await oneFlip(`bit ${bit} of nodes.sqlite`, () => foundHere(), outcomes)
    }
    assert.ok(outcomes.found >= sizes.nodes / 4, JSON.stringify(outcomes))
    tell(t, outcomes)
  })

  it(`in the log that a crash left is found, and none of it is served (${sizes.log} bits)`, async (t) => {
    copyOf(crashed)
    const log = join(copy, 'meta.sqlite-wal')
    const file = join(copy, 'meta.sqlite')
    for (let i = 0; i < sizes.log; i++) {
      const bit = dice.below(statSync(log).size * 8)
      flipBits(log, [bit])
      const { wal } = await PageGuard.inspect(file)
      assert.ok(wal, `bit ${bit} of the log is not found`)
      if (wal.flip) assert.equal(wal.flip.byte * 8 + wal.flip.bit, bit)
      // Nothing of it was changed by being refused.
      await assert.rejects(openStore(copy), Corrupt)
      flipBits(log, [bit])
    }
    assert.deepEqual(await damagedReads('the log with all bits turned back'), [])
    tell(t, { found: sizes.log })
  })

  for (const [what, from, files] of [
    ['in any file', () => whole, ['meta.sqlite', 'nodes.sqlite', 'packs/*/*.pack']],
    ['in any file after a crash', () => crashed, ['meta.sqlite', 'meta.sqlite-wal', 'packs/*/*.pack']],
  ] as const) {
    it(`${what} is found by the whole check of a stopped store, or harms nothing (${sizes.anywhere / 2} bits)`, async (t) => {
      const outcomes = { found: 0, harmless: 0 }
      for (let i = 0; i < sizes.anywhere / 2; i++) {
        copyOf(from())
        const all = files.flatMap((pattern) => globSync(pattern, { cwd: copy }))
        const file = join(copy, all[i % all.length]!)
        const bit = dice.below(statSync(file).size * 8)
        flipBits(file, [bit])
        await oneFlip(`bit ${bit} of ${file}`, () => isFound(copy), outcomes)
      }
      tell(t, outcomes)
    })
  }

  /** Is found, or nothing shows it. */
  async function oneFlip(where: string, find: () => Promise<boolean>, outcomes: { found: number; harmless: number }) {
    const found = await find()
    outcomes[found ? 'found' : 'harmless']++
    let damaged: readonly string[] | undefined
    try {
      damaged = await damagedReads(where)
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      assert.ok(found, `${where}: refused, and not found`)
    }
    if (!found) assert.deepEqual(damaged, [], `${where}: not to be read, and fsck finds nothing`)
  }

  async function foundHere(): Promise<boolean> {
    try {
      return (await faultsHere(copy)).length > 0
    } catch (error) {
      // SQLite can't open it, and says so.
      if (error instanceof Corrupt) return true
      throw error
    }
  }
})

/** All that packs are made of, by the index. */
async function piecesOf(folder: string): Promise<readonly { readonly file: string; readonly piece: Piece }[]> {
  const db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
  const rows = await db.all<{ name: string; sha256: Buffer; offset: number; length: number }>(
    'SELECT p.name, c.sha256, c."offset", c.length FROM chunk AS c JOIN pack AS p ON p.id = c.pack ORDER BY 1, 3',
  )
  await db.close()
  const pieces: { file: string; piece: Piece }[] = []
  for (const file of globSync('packs/*/*.pack', { cwd: folder })) {
    const own = rows.filter(({ name }) => file.endsWith(`${name}.pack`))
    pieces.push({ file, piece: { sha256: undefined, start: 0, end: own[0]!.offset - RECORD_HEADER_BYTES } })
    for (const { sha256, offset, length } of own) {
      const piece = { sha256: sha256.toString('hex'), start: offset - RECORD_HEADER_BYTES, end: offset + length }
      assert.equal(pieces.at(-1)?.piece.end, piece.start, 'no byte of a pack belongs to nothing')
      pieces.push({ file, piece })
    }
    assert.equal(pieces.at(-1)?.piece.end, readFileSync(join(folder, file)).length)
  }
  return pieces
}

/** Every bit of the packs is equally likely, except in pieces that were hit before. */
function anyBit(pieces: Awaited<ReturnType<typeof piecesOf>>, dice: Dice) {
  const all = pieces.reduce((sum, { piece }) => sum + piece.end - piece.start, 0)
  let at = dice.below(all * 8)
  for (const { file, piece } of pieces) {
    const bits = (piece.end - piece.start) * 8
    if (at < bits) return { file, piece, bit: piece.start * 8 + at }
    at -= bits
  }
  throw new Error('beyond the end of all packs')
}
