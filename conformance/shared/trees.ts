/** Folders of files for clients that copy folders, and what came back of them. */
import { globSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { bytesNamed, sha256 } from '../support.ts'

/** Keys that were seen to break a signature, an XML answer or an encoding somewhere; each is a valid file name on Linux. */
export const ODD_NAMES: readonly string[] = [
  'with space',
  'plus+sign',
  '100%',
  '%2F',
  'größe/ß',
  'quote"s\'',
  'a&b<c>',
  '日本語/😀',
  'semi;colon?q=1',
  'tilde~(paren)*!',
  'at@equals=comma,dollar$',
  'hash#[brackets]{braces}',
  '.hidden',
]

/** `count` small files over `folders` folders, the same for the same name. */
export async function writeFolder(folder: string, count: number, folders = 5): Promise<void> {
  for (let n = 0; n < count; n++) {
    const path = join(folder, `d${n % folders}`, `f${n}`)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, bytesNamed(path, 10 + n * 7))
  }
}

/** One file for each of {@link ODD_NAMES}, which holds its name. */
export async function writeOddNames(folder: string, names: readonly string[] = ODD_NAMES): Promise<void> {
  for (const name of names) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, name)
  }
}

/** Path to SHA-256, sorted by path: two folders with the same files are deeply equal. */
export async function filesIn(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of globSync('**/{*,.*}', { cwd: folder }).sort()) {
    const path = join(folder, name)
    if ((await stat(path)).isFile()) found[name] = sha256(await readFile(path))
  }
  return found
}
