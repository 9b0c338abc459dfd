/**
 * `node bench/tree.ts [--objects N]`: what other sizes of nodes and other rules for their boundaries would cost, as a table. In
 * memory, but for the last column: there the same changes are made in a database, with its index, its log and its pages. N: a power of ten.
 */
import { parseArgs } from 'node:util'
import { compareShapes } from '../src/versioning/tree/testing/shapes.ts'

const { values } = parseArgs({ options: { objects: { type: 'string', default: '1000000' } } })
const objects = Number(values.objects)
const lines: (readonly string[])[] = []
for await (const cells of compareShapes(objects)) {
  lines.push(cells)
  console.error(cells.join(' | '))
}
const widths = lines[0]!.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)))
const rows = lines.map((cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
rows.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`)
console.log(`${objects.toLocaleString('en')} objects:\n\n${rows.join('\n')}`)
