import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { errorMessage } from '../kernel/index.ts'
import { CliError } from './errors.ts'

/** A specification file is written by hand; this is far above any. */
const MAX_SPEC_BYTES = 16 * 1024 * 1024

/**
 * Reads pipeline specifications: one JSON object, several one after the other, or arrays of them. Where the code is not in an image,
 * its folder (`transform.working_dir`, else the file's own) is made absolute, since the server has another one.
 */
export async function readSpecs(file: string, stdin: Readable): Promise<readonly unknown[]> {
  const folder = file === '-' ? resolve('.') : dirname(resolve(file))
  const text = await readText(file, stdin)
  const specs = parseJsonStream(text, file === '-' ? 'standard input' : file).flat(1)
  if (specs.length === 0) throw new CliError(`${file === '-' ? 'standard input' : file} holds no specification`)
  return specs.map((spec) => withFolder(spec, folder))
}

async function readText(file: string, stdin: Readable): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((cause: unknown) => {
      throw new CliError(`${file} can't be read: ${errorMessage(cause)}`, { cause })
    })
  }
  let text = ''
  for await (const piece of stdin.setEncoding('utf8') as AsyncIterable<string>) {
    text += piece
    if (text.length > MAX_SPEC_BYTES) throw new CliError('standard input is too long for a specification')
  }
  return text
}

/** The JSON values of a text, one after the other. */
export function parseJsonStream(text: string, name: string): unknown[] {
  const values: unknown[] = []
  let start = 0
  for (const end of endsOfValues(text)) {
    values.push(parseOne(text.slice(start, end), name, text.slice(0, start)))
    start = end
  }
  if (text.slice(start).trim() !== '') values.push(parseOne(text.slice(start), name, text.slice(0, start)))
  return values
}

function parseOne(text: string, name: string, before: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    const line = before.split('\n').length + (/^\s*/.exec(text)?.[0].split('\n').length ?? 1) - 1
    throw new CliError(`${name} is not JSON, in what begins at line ${line}: ${errorMessage(cause)}`, { cause })
  }
}

/** Where the top-level objects and arrays of a text end; brackets within strings do not count. */
function* endsOfValues(text: string): Generator<number> {
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const character = text[index]
    if (character === '"') index = endOfString(text, index)
    else if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') {
      depth--
      if (depth === 0) yield index + 1
    }
  }
}

function endOfString(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index++) {
    if (text[index] === '\\') index++
    else if (text[index] === '"') return index
  }
  return text.length
}

function withFolder(spec: unknown, folder: string): unknown {
  if (!isObject(spec)) return spec
  const transform = spec['transform']
  // What is no object, or has an image (whose folders are not ours), is for the server to judge as it is.
  if (!isObject(transform) || transform['image'] !== undefined) return spec
  const given = transform['working_dir']
  if (given !== undefined && typeof given !== 'string') return spec
  return { ...spec, transform: { ...transform, working_dir: resolve(folder, given ?? '.') } }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
