/**
 * Summarises CSV files: count, mean, least and greatest of every numeric column of every file below /pfs/measurements, as
 * /pfs/out/summary.csv and /pfs/out/summary.json. The first line of a file names its columns.
 *
 * It is one file on purpose: a change to a file that `cmd` names makes everything run again, a change to one that is only imported
 * does not.
 */
import { createReadStream } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

const pfs = process.env['SLUICE_PFS'] ?? '/pfs'
const inputFolder = join(pfs, 'measurements')
const outputFolder = join(pfs, 'out')

interface Summary {
  readonly file: string
  readonly column: string
  readonly count: number
  readonly mean: number
  readonly min: number
  readonly max: number
}

/** What is known of a column so far; `numeric` ends at the first cell that holds something else than a number. */
interface Column {
  readonly name: string
  numeric: boolean
  count: number
  mean: number
  min: number
  max: number
}

/** Decimal notation only: `Number` alone would also take `0x10` and blanks. */
const decimal = /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/

function add(column: Column, cell: string): void {
  if (cell.trim() === '' || !column.numeric) return
  if (!decimal.test(cell)) {
    column.numeric = false
    return
  }
  const value = Number(cell)
  column.count++
  // Welford's running mean: the sum of a long column of large numbers would lose digits.
  column.mean += (value - column.mean) / column.count
  column.min = Math.min(column.min, value)
  column.max = Math.max(column.max, value)
}

async function summarise(file: string): Promise<Summary[]> {
  let columns: Column[] | undefined
  const text = createReadStream(join(inputFolder, file), { encoding: 'utf8' })
  for await (const { cells, line } of readCsv(text)) {
    if (columns === undefined) {
      const names = cells.map((name, i) => (i === 0 ? name.replace(/^\uFEFF/, '') : name).trim())
      columns = names.map((name) => ({ name, numeric: true, count: 0, mean: 0, min: Infinity, max: -Infinity }))
      continue
    }
    if (cells.length !== columns.length) {
      throw new Error(`line ${line} has ${cells.length} cells, the first line has ${columns.length}`)
    }
    for (const [i, column] of columns.entries()) add(column, cells[i] ?? '')
  }
  return (columns ?? [])
    .filter((column) => column.numeric && column.count > 0)
    .map(({ name, count, mean, min, max }) => ({ file, column: name, count, mean, min, max }))
}

function toCsv(rows: readonly Summary[]): string {
  const quote = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  const lines = rows.map((row) => [quote(row.file), quote(row.column), row.count, row.mean, row.min, row.max].join(','))
  return ['file,column,count,mean,min,max', ...lines, ''].join('\n')
}

async function listCsvFiles(): Promise<string[]> {
  const found = await readdir(inputFolder, { recursive: true, withFileTypes: true })
  return found
    .filter((item) => item.isFile() && item.name.toLowerCase().endsWith('.csv'))
    .map((item) => relative(inputFolder, join(item.parentPath, item.name)))
    .sort()
}

async function main(): Promise<void> {
  const rows: Summary[] = []
  for (const file of await listCsvFiles()) {
    const found = await summarise(file).catch((error: unknown) => {
      throw new Error(`${file}: ${error instanceof Error ? error.message : error}`)
    })
    console.log(`${file}: ${found.length} numeric columns`)
    rows.push(...found)
  }
  await writeFile(join(outputFolder, 'summary.csv'), toCsv(rows))
  await writeFile(join(outputFolder, 'summary.json'), `${JSON.stringify(rows, null, 2)}\n`)
}

export interface Row {
  readonly cells: readonly string[]
  /** Where it begins, from 1. */
  readonly line: number
}

/** A cell longer than this is most likely a quote that was never closed, or no CSV at all. */
const maxCellLength = 1_000_000

/**
 * Reads CSV as RFC 4180 has it: cells in quotes may hold commas, line breaks and doubled quotes; lines end in LF or CRLF. Works
 * on text as it comes, so that a file of any size needs little memory.
 */
export async function* readCsv(text: AsyncIterable<string>): AsyncGenerator<Row> {
  let cells: string[] = []
  let cell = ''
  let line = 1
  let startLine = 1
  let inQuotes = false
  let afterQuote = false
  let pendingReturn = false

  const add = (char: string) => {
    cell += char
    if (cell.length > maxCellLength)
      throw new Error(`line ${startLine}: a cell is longer than ${maxCellLength} characters`)
  }

  for await (const piece of text) {
    for (const char of piece) {
      if (inQuotes && char !== '"') {
        add(char)
        if (char === '\n') line++
        continue
      }
      if (pendingReturn && char !== '\n') throw new Error(`line ${line}: a CR that no LF follows`)
      pendingReturn = false
      if (char === '"') {
        if (inQuotes) {
          inQuotes = false
          afterQuote = true
        } else if (afterQuote) {
          cell += '"'
          inQuotes = true
          afterQuote = false
        } else if (cell === '') inQuotes = true
        else throw new Error(`line ${line}: a quote inside a cell that does not begin with one`)
      } else if (char === ',') {
        cells.push(cell)
        cell = ''
        afterQuote = false
      } else if (char === '\n') {
        cells.push(cell)
        if (cells.length > 1 || cell !== '' || afterQuote) yield { cells, line: startLine }
        cells = []
        cell = ''
        afterQuote = false
        startLine = ++line
      } else if (char === '\r') pendingReturn = true
      else if (afterQuote) throw new Error(`line ${line}: text after the closing quote of a cell`)
      else add(char)
    }
  }
  if (inQuotes) throw new Error(`line ${startLine}: a quoted cell does not end`)
  if (pendingReturn) throw new Error(`line ${line}: a CR that no LF follows`)
  cells.push(cell)
  if (cells.length > 1 || cell !== '' || afterQuote) yield { cells, line: startLine }
}

if (import.meta.main) {
  try {
    await main()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
