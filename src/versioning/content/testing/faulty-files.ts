import { type FileLayer, nodeFiles, type OpenFile } from '../files.ts'

export type FaultyCall = 'open' | 'write' | 'datasync' | 'truncate' | 'syncFolder'

export interface FaultyFiles extends FileLayer {
  /** Asked before each call; an error is thrown instead of the call, a number is how many bytes a write takes at most. */
  fault: ((call: FaultyCall) => NodeJS.ErrnoException | number | undefined) | undefined
  /** Calls that got through, by name. */
  readonly calls: Readonly<Record<FaultyCall, number>>
  /** Files open now. */
  readonly openFiles: number
}

export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}

/** The real disk with faults on request. */
export function faultyFiles(): FaultyFiles {
  return new Faulty()
}

class Faulty implements FaultyFiles {
  fault: FaultyFiles['fault']
  readonly calls = { open: 0, write: 0, datasync: 0, truncate: 0, syncFolder: 0 }
  openFiles = 0

  #ask(call: FaultyCall): number {
    const fault = this.fault?.(call)
    if (fault instanceof Error) throw fault
    this.calls[call]++
    return fault ?? Number.POSITIVE_INFINITY
  }

  async open(path: string, mode: 'create' | 'read' | 'write'): Promise<OpenFile> {
    this.#ask('open')
    const file = await nodeFiles.open(path, mode)
    this.openFiles++
    return {
      write: async (buffers, position) => {
        const most = this.#ask('write')
        if (most === Number.POSITIVE_INFINITY) return file.write(buffers, position)
        return file.write([Buffer.concat(buffers).subarray(0, most)], position)
      },
      read: (into, position) => file.read(into, position),
      size: () => file.size(),
      datasync: async () => {
        this.#ask('datasync')
        await file.datasync()
      },
      truncate: async (length) => {
        this.#ask('truncate')
        await file.truncate(length)
      },
      close: async () => {
        this.openFiles--
        await file.close()
      },
    }
  }

  makeFolder = nodeFiles.makeFolder
  remove = nodeFiles.remove

  async syncFolder(path: string): Promise<void> {
    this.#ask('syncFolder')
    await nodeFiles.syncFolder(path)
  }
}
