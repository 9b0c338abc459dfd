/**
 * Reads CSV as RFC 4180 has it: cells in quotes may hold commas, line breaks and doubled quotes; lines end in LF or CRLF. Works
 * on text as it comes, so that a file of any size needs little memory.
 */
export interface Row {
  readonly cells: readonly string[]
  /** Where it begins, from 1. */
  readonly line: number
}

/** A cell longer than this is most likely a quote that was never closed, or no CSV at all. */
const maxCellLength = 1_000_000

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
