import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'

export const MIB = 1024 * 1024

/** The root key of the stores that are kept. */
export const keptKey = { accessKeyId: 'KEPTSTORE', secretAccessKey: 'known-to-everybody' }

/** What was told to the client that filled the store. */
export interface KeptFacts {
  /** By their ids: of `images@master`, and what the pipeline made of the second. */
  readonly commits: {
    readonly first: string
    readonly second: string
    readonly restored: string
    readonly output: string
  }
  /** The ids of the versions of `a.txt`, the oldest first. */
  readonly versions: readonly string[]
  readonly uploads: {
    readonly done: string
    readonly complete: string
    readonly open: string
    readonly openPart: string
  }
}

/** What was told to the client that filled the store of the second release. */
export interface SecondFacts {
  readonly commits: {
    readonly first: string
    readonly second: string
    readonly restored: string
    readonly transaction: string
    readonly dev: string
    readonly output: string
  }
  /** The ids of the versions of `a.txt` that are left, the oldest first, and of the one that was deleted by its id. */
  readonly versions: readonly string[]
  readonly hidden: string
  readonly uploads: { readonly open: string; readonly openPart: string }
  readonly egress: string
  readonly user: { readonly name: string; readonly accessKeyId: string; readonly secretAccessKey: string }
}

/** What was told to the client that filled the store of the third release. */
export interface ThirdFacts {
  /** Of `images@master`: `second` holds what follows from large files, `before` is the first parent of `merged`. */
  readonly commits: {
    readonly first: string
    readonly second: string
    readonly before: string
    readonly merged: string
    readonly mistake: string
    readonly reverted: string
  }
  /** The id of the newest version of `a.txt`. */
  readonly version: string
}

/** A data folder, as it is kept. */
export interface KeptFiles<Facts> {
  readonly facts: Facts
  /** By their paths, in base64. */
  readonly files: Readonly<Record<string, string>>
}

export function textOfPart(number: number): Buffer {
  return number === 1 ? Buffer.alloc(5 * MIB, 'part 1 ') : Buffer.from(`part ${number}`)
}

/** Lays out a kept store in a folder. */
export async function layOut<Facts = KeptFacts>(name: string, folder: string): Promise<Facts> {
  const packed = await readFile(new URL(`./${name}.json.gz`, import.meta.url))
  const { facts, files } = JSON.parse(gunzipSync(packed).toString()) as KeptFiles<Facts>
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), Buffer.from(content, 'base64'))
  }
  return facts
}
