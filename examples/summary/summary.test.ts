import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type Row, readCsv } from './summary.ts'

async function parse(text: string, pieceLength = text.length): Promise<Row[]> {
  async function* pieces() {
    for (let at = 0; at < text.length; at += Math.max(1, pieceLength))
      yield text.slice(at, at + Math.max(1, pieceLength))
  }
  const rows: Row[] = []
  for await (const row of readCsv(pieces())) rows.push(row)
  return rows
}

async function summarise(files: Readonly<Record<string, string>> | 'the data of the example') {
  const pfs = await mkdtemp(join(tmpdir(), 'sluice-summary-'))
  after(() => rm(pfs, { recursive: true }))
  await mkdir(join(pfs, 'out'))
  const input = join(pfs, 'measurements')
  if (typeof files === 'string') await cp(join(import.meta.dirname, 'data'), input, { recursive: true })
  else {
    await mkdir(input)
    for (const [name, text] of Object.entries(files)) await writeFile(join(input, name), text)
  }
  const { exitCode, stderr } = await new Promise<{ exitCode: unknown; stderr: string }>((resolve) => {
    const code = join(import.meta.dirname, 'summary.ts')
    execFile(process.execPath, [code], { env: { ...process.env, SLUICE_PFS: pfs } }, (error, _stdout, stderr) => {
      resolve({ exitCode: error ? error.code : 0, stderr })
    })
  })
  const read = async (name: string) => readFile(join(pfs, 'out', name), 'utf8')
  return { exitCode, stderr, read, written: await readdir(join(pfs, 'out')) }
}

describe('the summary example', () => {
  it('gives count, mean, least and greatest of every numeric column of every file', async () => {
    const { exitCode, stderr, read } = await summarise('the data of the example')
    assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: '' })
    assert.equal(
      await read('summary.csv'),
      [
        'file,column,count,mean,min,max',
        'harbour.csv,temperature,3,11,8.5,13',
        'harbour.csv,wind,2,3.55,3.1,4',
        'hill.csv,temperature,3,7,4,9.5',
        'hill.csv,wind,3,7.5,6,9',
        '',
      ].join('\n'),
    )
    const [first] = JSON.parse(await read('summary.json'))
    assert.deepEqual(first, { file: 'harbour.csv', column: 'temperature', count: 3, mean: 11, min: 8.5, max: 13 })
  })

  it('leaves columns out that hold anything but numbers, and other files', async () => {
    const { read } = await summarise({ 'a.csv': '\uFEFFid,mixed,hex\r\n1,2,0x10\r\n3,two,0x11\r\n', 'notes.txt': 'x' })
    assert.equal(await read('summary.csv'), 'file,column,count,mean,min,max\na.csv,id,2,2,1,3\n')
  })

  it('writes an empty table of no files', async () => {
    const { read } = await summarise({})
    assert.equal(await read('summary.csv'), 'file,column,count,mean,min,max\n')
  })

  it('fails and names the file and the line when a line has too few cells', async () => {
    const { exitCode, stderr, written } = await summarise({ 'a.csv': 'x,y\n1,2\n3\n' })
    assert.deepEqual(
      { exitCode, stderr, written },
      { exitCode: 1, stderr: 'a.csv: line 3 has 1 cells, the first line has 2\n', written: [] },
    )
  })
})

describe('readCsv', () => {
  const text = 'a,"b ""x"", y",\r\n"two\nlines",,3\n\n"",last,line'
  const rows = [
    { cells: ['a', 'b "x", y', ''], line: 1 },
    { cells: ['two\nlines', '', '3'], line: 2 },
    { cells: ['', 'last', 'line'], line: 5 },
  ]

  it('reads quotes, line breaks in them, CRLF, empty cells and a last line without an end', async () => {
    assert.deepEqual(await parse(text), rows)
  })

  it('reads the same however the text is cut into pieces', async () => {
    for (let length = 1; length < text.length; length++) assert.deepEqual(await parse(text, length), rows)
  })

  for (const [what, wrong, message] of [
    ['a quote that does not end', 'a\n"b\nc', /line 2: a quoted cell does not end/],
    ['text after a closing quote', '"a"b\n', /line 1: text after the closing quote/],
    ['a quote inside a plain cell', 'a"b\n', /line 1: a quote inside a cell/],
    ['a cell without end', 'x'.repeat(1_000_001), /line 1: a cell is longer than 1000000 characters/],
    ['a lone CR', 'a\rb\n', /line 1: a CR that no LF follows/],
  ] as const) {
    it(`refuses ${what} and names the line`, async () => {
      await assert.rejects(parse(wrong), message)
    })
  }
})
