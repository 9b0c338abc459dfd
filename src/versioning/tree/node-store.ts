import { Corrupt, type Database, faultPoint, MIB, type MigrationSet, type Transaction } from '../../kernel/index.ts'
import { Lru } from '../lru.ts'
import type { TreeHash } from '../model/index.ts'
import { decodeNode, hashNode } from './node.ts'
import type { NodeStore, StoredNode } from './types.ts'

/** Holds the inner nodes of a tree of ten million entries (16 MiB of bodies) and a good part of its leaves. */
const DEFAULT_CACHE_BYTES = 64 * MIB
/** Rows in one statement; few lengths, so that few statements are kept prepared. */
const INSERT_ROWS = [64, 8, 1] as const
const SELECT_ROWS = [256, 32, 4] as const

/** The table of tree nodes; it belongs in a database file of its own, so that a large tree being written never holds up other writes. */
export const nodeMigrations: MigrationSet = {
  floor: 'nodes',
  migrations: [
    {
      version: 1,
      up: ['CREATE TABLE node (hash BLOB PRIMARY KEY, level INTEGER NOT NULL, body BLOB NOT NULL)'],
    },
    {
      version: 2,
      up: [
        // While it has its row, nodes are being collected, and what is put is written down: it stays, whatever else is known of it.
        'CREATE TABLE node_sweep (id INTEGER PRIMARY KEY CHECK (id = 1))',
        'CREATE TABLE node_again (hash BLOB PRIMARY KEY) WITHOUT ROWID',
        // The id of the store that the nodes belong to.
        'CREATE TABLE store (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID',
      ],
    },
  ],
}

/**
 * Nodes as rows, behind a cache of at most `cacheBytes` (what a node takes in memory once taken apart). What is read is checked
 * against its hash once; a row that was damaged is mended when the same node is put again. Throws Corrupt, StorageFull.
 */
export function openNodeStore(db: Database, options: { readonly cacheBytes?: number } = {}): NodeStore {
  return new SqlNodeStore(db, options.cacheBytes ?? DEFAULT_CACHE_BYTES)
}

/** A collection that a crash ended is over: nothing more is written down for it. */
export async function endNodeSweep(db: Database): Promise<void> {
  await db.write((tx) => tx.run('DELETE FROM node_sweep'))
}

interface Row {
  readonly hash: Buffer
  readonly body: Buffer
}

interface Cached {
  readonly body: Buffer
  /** What it takes in memory once taken apart. */
  readonly weight: number
}

class SqlNodeStore implements NodeStore {
  readonly #db: Database
  readonly #cache: Lru<TreeHash, Cached>
  readonly #cacheBytes: number
  readonly #reading = new Map<TreeHash, Promise<Buffer>>()

  constructor(db: Database, cacheBytes: number) {
    this.#db = db
    this.#cacheBytes = cacheBytes
    this.#cache = new Lru(cacheBytes, ({ weight }) => weight)
  }

  get(hash: TreeHash): Promise<Buffer> {
    const cached = this.#cache.get(hash)
    if (cached !== undefined) return Promise.resolve(cached.body)
    // Many requests want the same root at once.
    const reading = this.#reading.get(hash)
    if (reading !== undefined) return reading
    const read = this.#read(hash).finally(() => this.#reading.delete(hash))
    this.#reading.set(hash, read)
    return read
  }

  async put(nodes: readonly StoredNode[]): Promise<void> {
    if (nodes.length === 0) return
    faultPoint('nodes.write')
    await this.#db.write(async (tx) => {
      if (await tx.get('SELECT 1 FROM node_sweep')) await noteAgain(tx, nodes)
      for (let start = 0; start < nodes.length; ) {
        const rows = INSERT_ROWS.find((size) => size <= nodes.length - start) ?? 1
        const params: (Buffer | number)[] = []
        for (const { hash, level, body } of nodes.slice(start, start + rows)) {
          params.push(Buffer.from(hash, 'hex'), level, body)
        }
        await tx.run(insertSql(rows), params)
        start += rows
      }
    })
    faultPoint('nodes.written')
  }

  async warm(hashes: readonly TreeHash[]): Promise<void> {
    const wanted = hashes.filter((hash) => !this.#cache.has(hash)).map((hash) => Buffer.from(hash, 'hex'))
    for (let start = 0; start < wanted.length; ) {
      const left = wanted.length - start
      const size = SELECT_ROWS.findLast((rows) => rows >= left) ?? SELECT_ROWS[0]
      const params = wanted.slice(start, start + size)
      const last = params.at(-1)!
      while (params.length < size) params.push(last)
      const rows = await this.#db.all<Row>(selectSql(size), params)
      for (const row of rows) {
        const hash = row.hash.toString('hex') as TreeHash
        if (hashNode(row.body) === hash) this.#keep(hash, row.body)
      }
      start += size
    }
  }

  async #read(hash: TreeHash): Promise<Buffer> {
    const row = await this.#db.get<Row>('SELECT body FROM node WHERE hash = ?', [Buffer.from(hash, 'hex')])
    if (row === undefined) throw new Corrupt('a tree node is missing', { hash })
    if (hashNode(row.body) !== hash) throw new Corrupt('a tree node does not match its hash', { hash })
    this.#keep(hash, row.body)
    return row.body
  }

  #keep(hash: TreeHash, body: Buffer): void {
    const weight = decodeNode(body).memoryBytes
    // Two reads of one node may cross; what is handed out already stays.
    if (weight <= this.#cacheBytes && !this.#cache.has(hash)) this.#cache.set(hash, { body, weight })
  }
}

async function noteAgain(tx: Transaction, nodes: readonly StoredNode[]): Promise<void> {
  await tx.run('INSERT OR IGNORE INTO node_again (hash) SELECT unhex(value) FROM json_each(?)', [
    JSON.stringify(nodes.map(({ hash }) => hash)),
  ])
}

function insertSql(rows: number): string {
  const values = new Array(rows).fill('(?, ?, ?)').join(', ')
  return `INSERT INTO node (hash, level, body) VALUES ${values}
    ON CONFLICT (hash) DO UPDATE SET body = excluded.body WHERE body <> excluded.body`
}

function selectSql(rows: number): string {
  return `SELECT hash, body FROM node WHERE hash IN (${new Array(rows).fill('?').join(', ')})`
}
