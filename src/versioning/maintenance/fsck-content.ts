import { join } from 'node:path'
import { errorMessage } from '../../kernel/index.ts'
import { Manifest, PackInspector } from '../content/index.ts'
import type { Content, TreeHash } from '../model/index.ts'
import type { FsckRun } from './fsck-run.ts'
import { NodeSet } from './node-set.ts'

/** Contents asked for in one statement. */
const AT_ONCE = 1000
/** Damaged chunks and contents remembered; beyond, paths of the rest are not looked for. */
const MAX_SUSPECTS = 500_000
/** Pack files kept open for reading manifests. */
const OPEN_PACKS = 16
/** As the reader of contents. */
const MAX_DEPTH = 8

/** What an entry says of its content. */
export interface ContentClaim {
  readonly content: Content
  readonly size: number
}

interface Row {
  readonly sha256: Buffer
  readonly pack: number
  readonly name: string | null
  readonly offset: number
  readonly length: number
  readonly doomed: 0 | 1
}

/** Something that seems damaged, and why. `claim`: found by what refers to it, and not by its record. */
export interface Suspect {
  readonly reason: string
  readonly claim?: ContentClaim
}

export function packPath(folder: string, name: string): string {
  return join(folder, name.slice(0, 2), `${name}.pack`)
}

/** Whether contents can be read: by the index of chunks, by what was found out about packs, and through their manifests. */
export class ContentCheck {
  /** By SHA-256 in hex: chunks whose record is damaged or not where it should be, and contents that can't be read, with the reason. */
  readonly suspects = new Map<string, Suspect>()
  /** Packs that do not begin as a pack does. */
  readonly headless = new Set<string>()
  readonly #run: FsckRun
  readonly #sound = new NodeSet(2 ** 20)
  readonly #packs = new Map<string, PackInspector | undefined>()

  constructor(run: FsckRun) {
    this.#run = run
  }

  suspect(sha256: string, suspect: Suspect): void {
    if (this.suspects.size < MAX_SUSPECTS && !this.suspects.has(sha256)) this.suspects.set(sha256, suspect)
  }

  /** What seemed lost may have been written anew, or be wanted no more, since. */
  async reconsider(): Promise<void> {
    for (const [sha256, { claim }] of [...this.suspects]) {
      if (!claim) continue
      this.suspects.delete(sha256)
      const [reason] = await this.faultsOf([claim])
      if (reason !== undefined) this.suspects.set(sha256, { reason, claim })
    }
  }

  /** Why each can't be read; undefined where it can. Their manifests are read, their other chunks only looked up. */
  async faultsOf(claims: readonly ContentClaim[], depth = 0): Promise<readonly (string | undefined)[]> {
    const faults: (string | undefined)[] = []
    for (let at = 0; at < claims.length; at += AT_ONCE) {
      for (const fault of await this.#faultsOfSome(claims.slice(at, at + AT_ONCE), depth)) faults.push(fault)
      await this.#run.pace()
    }
    return faults
  }

  async #faultsOfSome(claims: readonly ContentClaim[], depth: number): Promise<readonly (string | undefined)[]> {
    const hashes = claims.map(({ content }) => (content.kind === 'inline' ? '' : content.sha256.toString('hex')))
    const rows = await this.#rowsOf(hashes.filter((hash) => hash !== ''))
    const faults: (string | undefined)[] = []
    for (const [index, { content, size }] of claims.entries()) {
      const hash = hashes[index] ?? ''
      if (content.kind === 'inline') {
        faults.push(
          content.bytes.length === size ? undefined : `${content.bytes.length} bytes stand in it, not ${size}`,
        )
        continue
      }
      const row = rows.get(hash)
      const known = this.suspects.get(hash)
      if (row === undefined) faults.push('no pack is known to hold it')
      else if (known !== undefined) faults.push(known.reason)
      else if (row.doomed) faults.push('it is marked as unused, and goes with the next garbage collection')
      else if (content.kind === 'manifest') faults.push(await this.#faultOfManifest(hash, row, size, depth))
      else faults.push(row.length === size ? undefined : `it has ${row.length} bytes, not ${size}`)
    }
    return faults
  }

  async #rowsOf(hashes: readonly string[]): Promise<ReadonlyMap<string, Row>> {
    if (hashes.length === 0) return new Map()
    const rows = await this.#run.db.all<Row>(
      `SELECT c.sha256, c.pack, p.name, c."offset", c.length,
              EXISTS (SELECT 1 FROM doomed_chunk AS d WHERE d.sha256 = c.sha256) AS doomed FROM json_each(?) AS wanted
       CROSS JOIN chunk AS c ON c.sha256 = unhex(wanted.value) LEFT JOIN pack AS p ON p.id = c.pack`,
      [JSON.stringify(hashes)],
    )
    return new Map(rows.map((row) => [row.sha256.toString('hex'), row]))
  }

  async #faultOfManifest(hash: string, row: Row, size: number, depth: number): Promise<string | undefined> {
    const known = hash as TreeHash
    if (this.#sound.has(known)) return undefined
    if (depth === MAX_DEPTH) return 'its lists of pieces refer to one another without end'
    const data = row.name === null ? undefined : this.#open(row.name)?.data(row)
    if (data === undefined) return 'its list of pieces is damaged'
    let manifest: Manifest
    try {
      manifest = new Manifest(data)
    } catch (error) {
      return errorMessage(error)
    }
    if (manifest.size !== size) return `its pieces come to ${manifest.size} bytes, not ${size}`
    const pieces = Array.from({ length: manifest.count }, (_, index) => manifest.entry(index))
    for (const [index, fault] of (await this.faultsOf(pieces, depth + 1)).entries()) {
      if (fault === undefined) continue
      const piece = pieces[index] as ContentClaim
      const { content } = piece
      if (content.kind !== 'inline') this.suspect(content.sha256.toString('hex'), { reason: fault, claim: piece })
      const name = content.kind === 'inline' ? '' : `, ${content.sha256.toString('hex')}`
      return `its piece ${index + 1} of ${pieces.length}${name}: ${fault}`
    }
    this.#sound.add(known)
    return undefined
  }

  #open(name: string): PackInspector | undefined {
    const open = this.#packs.get(name)
    if (open) return open
    if (this.#packs.size >= OPEN_PACKS) this.close()
    const pack = PackInspector.open(packPath(this.#run.packsFolder, name))
    this.#packs.set(name, pack)
    return pack
  }

  close(): void {
    for (const pack of this.#packs.values()) pack?.close()
    this.#packs.clear()
  }
}
