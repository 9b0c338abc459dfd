/**
 * Summarises CSV files: count, mean, least and greatest of every numeric column of every file below /pfs/measurements, as
 * /pfs/out/summary.csv and /pfs/out/summary.json. The first line of a file names its columns.
 */
import { createReadStream } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { readCsv } from './csv.ts'

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

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
