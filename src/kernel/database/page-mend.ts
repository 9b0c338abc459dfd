import fs from 'node:fs'
import type { DamagedPage, PageReport } from './page-guard.ts'

/** Turns single flipped bits back, in the files of a database that nobody has open. Returns what could not be mended. */
export async function mendPages(file: string, report: PageReport): Promise<PageReport> {
  const left: DamagedPage[] = []
  const fd = fs.openSync(file, 'r+')
  try {
    for (const page of report.damaged) {
      if (page.bit === undefined) left.push(page)
      else flipOnDisk(fd, (page.page - 1) * report.pageBytes + (page.bit >> 3), page.bit & 7)
    }
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  const { wal } = report
  const rest = { checked: report.checked, pageBytes: report.pageBytes, damaged: left }
  if (wal?.flip === undefined) return { ...rest, ...(wal ? { wal } : {}) }
  const log = fs.openSync(`${file}-wal`, 'r+')
  try {
    flipOnDisk(log, wal.flip.byte, wal.flip.bit)
    fs.fsyncSync(log)
  } finally {
    fs.closeSync(log)
  }
  return rest
}

function flipOnDisk(fd: number, position: number, bit: number): void {
  const byte = Buffer.alloc(1)
  fs.readSync(fd, byte, 0, 1, position)
  byte[0] = (byte[0] ?? 0) ^ (1 << bit)
  fs.writeSync(fd, byte, 0, 1, position)
}
