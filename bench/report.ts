/** Figures as a table for people, in the terminal and in docs/benchmarks.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import type { Objects, Repeated, Streams } from './figures.ts'
import type { Limits } from './limits.ts'
import type { Measured } from './measure.ts'

export interface Row {
  readonly what: string
  readonly figure: string
  readonly perCore: string
  readonly limit: string
  readonly share: string
}

const number = (value: number) => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3))
const share = (value: number) => value.toFixed(2)
const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`

const rate = (figure: Measured) => `${number(figure.perSecond)}/s, p50 ${ms(figure.p50Ms)}, p99 ${ms(figure.p99Ms)}`
const perCore = (figure: Measured) => `${number(figure.perCpuSecond)}/s`
const speed = (figure: Measured) => `${number(figure.megabytesPerSecond)} MB/s`
const speedPerCore = (figure: Measured) => `${number(figure.bytes / figure.cpuSeconds / 1e6)} MB/s`

export function objectRows(found: Objects, limits: Limits): Row[] {
  const beside = (what: string, figure: Measured, limit: Measured, name: string): Row => ({
    what,
    figure: rate(figure),
    perCore: perCore(figure),
    limit: `${name}: ${perCore(limit)} per core`,
    share: share(figure.perCpuSecond / limit.perCpuSecond),
  })
  return [
    beside('PUT 1 KiB, 64 connections', found.put, limits.rawPut, 'raw node:http'),
    {
      ...beside('PUT 1 KiB, 1 connection', found.putOne, limits.rawPutOne, 'raw node:http'),
      limit: `write and fdatasync: ${number(limits.syncsPerSecond)}/s`,
      share: share(found.putOne.perSecond / limits.syncsPerSecond),
    },
    beside('GET 1 KiB, 64 connections', found.get, limits.rawGet, 'raw node:http'),
    {
      what: 'PUT 100 KiB, 16 connections',
      figure: `${rate(found.putMiddle)}, ${speed(found.putMiddle)}`,
      perCore: `${perCore(found.putMiddle)}, ${speedPerCore(found.putMiddle)}`,
      limit: `SHA-256: ${number(limits.sha256Megabytes)} MB/s`,
      share: share(found.putMiddle.megabytesPerSecond / limits.sha256Megabytes),
    },
    {
      what: 'GET 100 KiB, 16 connections',
      figure: `${rate(found.getMiddle)}, ${speed(found.getMiddle)}`,
      perCore: `${perCore(found.getMiddle)}, ${speedPerCore(found.getMiddle)}`,
      limit: `SHA-256: ${number(limits.sha256Megabytes)} MB/s`,
      share: share(found.getMiddle.megabytesPerSecond / limits.sha256Megabytes),
    },
  ]
}

export function streamRows(found: Streams, limits: Limits, size: string): Row[] {
  const slower = Math.min(limits.md5Megabytes, limits.sha256Megabytes)
  const put = (what: string, figure: Measured): Row => ({
    what,
    figure: speed(figure),
    perCore: speedPerCore(figure),
    limit: `slower of MD5 and SHA-256: ${number(slower)} MB/s`,
    share: share(figure.megabytesPerSecond / slower),
  })
  return [
    put(`PUT ${size}, one stream, unsigned payload`, found.putUnsigned),
    put(`PUT ${size}, one stream, signed payload`, found.putSigned),
    {
      what: `GET ${size}, one stream`,
      figure: speed(found.get),
      perCore: speedPerCore(found.get),
      limit: `file to socket in node: ${speed(limits.rawFile)}`,
      share: share(found.get.megabytesPerSecond / limits.rawFile.megabytesPerSecond),
    },
  ]
}

export function listRow(found: Measured, limits: Limits): Row {
  return {
    what: 'LIST page of 1,000, 4 connections',
    figure: rate(found),
    perCore: perCore(found),
    limit: `raw node:http: ${perCore(limits.rawGet)} per core`,
    share: share(found.perCpuSecond / limits.rawGet.perCpuSecond),
  }
}

export function repeatedRow(what: string, found: Repeated, limits: Limits): Row {
  const sync = 1000 / limits.syncsPerSecond
  return {
    what,
    figure: `median ${ms(found.medianMs)}, worst ${ms(found.worstMs)}`,
    perCore: `${ms(found.cpuMs)} of CPU`,
    limit: `write and fdatasync: ${sync.toFixed(2)} ms`,
    share: `${number(found.medianMs / sync)} of them`,
  }
}

export function limitLines(limits: Limits): string[] {
  return [
    `raw node:http, PUT 1 KiB: ${rate(limits.rawPut)}; ${perCore(limits.rawPut)} per core`,
    `raw node:http, PUT 1 KiB, 1 connection: ${rate(limits.rawPutOne)}`,
    `raw node:http, GET 1 KiB: ${rate(limits.rawGet)}; ${perCore(limits.rawGet)} per core`,
    `file to socket by node's streams: ${speed(limits.rawFile)}`,
    `append of 1 KiB and fdatasync, one after the other: ${number(limits.syncsPerSecond)}/s`,
    `sequential write with one fdatasync: ${number(limits.diskWriteMegabytes)} MB/s`,
    `MD5 on one thread: ${number(limits.md5Megabytes)} MB/s`,
    `SHA-256 on one thread: ${number(limits.sha256Megabytes)} MB/s`,
  ]
}

export function machineLine(): string {
  const [cpu] = cpus()
  return `${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, ${process.platform}, Node ${process.versions.node}`
}

/** A Markdown table whose columns are padded, as the formatter of this repository wants them. */
export function table(rows: readonly Row[]): string {
  const head = ['what', 'figure', 'per CPU-second of the server', 'limit of the same run', 'share']
  const lines = [head, ...rows.map(({ what, figure, perCore, limit, share }) => [what, figure, perCore, limit, share])]
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)))
  const padded = lines.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)))
  padded.splice(
    1,
    0,
    widths.map((width) => '-'.repeat(width)),
  )
  return padded.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const [from, to] = ['<!-- bench: begin -->', '<!-- bench: end -->']

/** Replaces what stands between the markers. */
export async function writeBetweenMarkers(path: string, text: string): Promise<void> {
  const page = await readFile(path, 'utf8')
  const [start, end] = [page.indexOf(from), page.indexOf(to)]
  if (start < 0 || end < start) throw new Error(`${path} has no markers ${from} and ${to}`)
  await writeFile(path, `${page.slice(0, start + from.length)}\n\n${text}\n\n${page.slice(end)}`)
}
