import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Database, migrate, openSqlite, silentLog } from '../../../kernel/index.ts'
import type { StagedContent } from '../../content-store.ts'
import { type Content, type ContentOptions, collectedSchema, contentSchema, openContent } from '../index.ts'

/** A folder of its own with a database, in which a content store is opened, closed and looked at. */
export class StoreFolder {
  readonly folder: string
  readonly db: Database

  private constructor(folder: string, db: Database) {
    this.folder = folder
    this.db = db
  }

  static async make(): Promise<StoreFolder> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-content-'))
    const db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
    await migrate(db, [{ floor: 'content', migrations: [{ version: 1, up: [...contentSchema, ...collectedSchema] }] }])
    return new StoreFolder(folder, db)
  }

  open(options: Partial<ContentOptions> = {}): Promise<Content> {
    return openContent({ folder: join(this.folder, 'packs'), db: this.db, log: silentLog, ...options })
  }

  async publish(content: Content, ...staged: readonly StagedContent[]): Promise<void> {
    await this.db.write((tx) =>
      content.publish(
        tx,
        staged.flatMap(({ chunks }) => chunks),
      ),
    )
  }

  async packFiles(): Promise<readonly string[]> {
    const names = await readdir(join(this.folder, 'packs'), { recursive: true })
    return names.filter((name) => name.endsWith('.pack')).map((name) => join(this.folder, 'packs', name))
  }

  packRows(): Promise<readonly { name: string; state: string }[]> {
    return this.db.all('SELECT name, state FROM pack ORDER BY id')
  }

  /** Changes one pack file in place. */
  async damage(path: string, change: (bytes: Buffer) => Buffer): Promise<void> {
    await writeFile(path, change(await readFile(path)))
  }

  async remove(): Promise<void> {
    await this.db.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Stores a body through a writer, in pieces as a socket gives them. */
export async function store(content: Content, body: Buffer, expectedBytes = body.length): Promise<StagedContent> {
  const writer = content.writer({ expectedBytes })
  for (let at = 0; at < body.length; at += 65_536) await writer.write(body.subarray(at, at + 65_536))
  return writer.finish()
}

export async function readAll(content: Content, staged: StagedContent, range?: { start: number; end: number }) {
  const pieces: Buffer[] = []
  for await (const piece of content.read(staged.content, range)) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
