/** `node scripts/s3-table.ts`: writes the tables of docs/s3.md again, from the registry that requests are routed by. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RegisteredRoute, registry } from '../src/gateway/index.ts'

const page = join(import.meta.dirname, '../docs/s3.md')
const begin = '<!-- made by scripts/s3-table.ts: begin -->'
const end = '<!-- made by scripts/s3-table.ts: end -->'
/** The registry has them, and they are not AWS's: the text of the page says what they are. */
const ours = new Set(['Flush', 'Preflight'])
const paths = { service: '/', bucket: '/bucket', object: '/bucket/key' } as const

function requestOf({ method, on, parameters, header }: RegisteredRoute): string {
  const names = Object.entries(parameters)
    // The JS SDK says by it which operation it means; others leave it out.
    .filter(([name]) => name !== 'x-id')
    .map(([name, value]) => (value === true ? name : `${name}=${value}`))
  const query = names.length > 0 ? `?${names.join('&')}` : ''
  return `${method} ${paths[on]}${query}${header === undefined ? '' : ` with ${header}`}`
}

/** Its columns are as wide as the formatter of the repository makes them. */
function table(...all: readonly (readonly string[])[]): string[] {
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  const [head = '', ...lines] = all.map(line)
  return [head, line(widths.map((width) => '-'.repeat(width))), ...lines]
}

/** Every operation of AWS, in three tables: what is there, what is there in part, and what answers 501. */
function s3Tables(): string {
  const operations = registry.filter(({ name }) => !ours.has(name)).sort((a, b) => (a.name < b.name ? -1 : 1))
  const whole = operations.filter(({ operation }) => operation && operation.partly === undefined)
  const partly = operations.filter(({ operation }) => operation?.partly !== undefined)
  const absent = operations.filter(({ operation }) => operation === undefined)
  const row = (route: RegisteredRoute) => [route.name, `\`${requestOf(route)}\``]
  return [
    `## Implemented: ${whole.length} of ${operations.length}`,
    '',
    ...table(['operation', 'request'], ...whole.map(row)),
    '',
    `## Partly implemented: ${partly.length}`,
    '',
    'What is not there is refused, and the refusal says so.',
    '',
    ...table(['operation', 'request', 'but'], ...partly.map((route) => [...row(route), route.operation?.partly ?? ''])),
    '',
    `## Not implemented, 501: ${absent.length}`,
    '',
    ...table(['operation', 'request'], ...absent.map(row)),
  ].join('\n')
}

/** The page with its tables as they are now. */
export function s3Page(text: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`docs/s3.md has lost its marks ${begin} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n\n${s3Tables()}\n\n${text.slice(to)}`
}

if (import.meta.main) writeFileSync(page, s3Page(readFileSync(page, 'utf8')))
