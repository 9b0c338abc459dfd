import fs from 'node:fs'

/** An open file. Positions and lengths are in bytes. Errors are Node's, with their `code`. */
export interface OpenFile {
  /** Where it can be read directly as well. */
  readonly descriptor?: number
  /** Writes the buffers one after the other from `position`; returns how many bytes were written, which may be fewer. */
  write(buffers: readonly Buffer[], position: number): Promise<number>
  /** Fills `into` from `position`; returns how many bytes there were. */
  read(into: Buffer, position: number): Promise<number>
  /** The data and the length are on the disk when it resolves. */
  datasync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/**
 * The disk as packs use it, and nothing more: the place where tests make it fail, fill up or forget. `create` fails if the file is
 * there. What was created or removed is on the disk after `syncFolder` of its folder.
 */
export interface FileLayer {
  open(path: string, mode: 'create' | 'read' | 'write'): Promise<OpenFile>
  /** Makes one folder; false if it was there. */
  makeFolder(path: string): Promise<boolean>
  syncFolder(path: string): Promise<void>
  remove(path: string): Promise<void>
}

const openFlags = {
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
  read: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
} as const

/** Turns a callback call into a promise; FileHandle would cost an object and a finaliser more per file. */
function call<Result = void>(start: (done: (error: Error | null, result?: Result) => void) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result as Result)))
  })
}

class NodeFile implements OpenFile {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  get descriptor(): number {
    return this.#fd
  }

  write(buffers: readonly Buffer[], position: number): Promise<number> {
    const [first] = buffers
    if (buffers.length === 1 && first)
      return call<number>((done) => fs.write(this.#fd, first, 0, first.length, position, done))
    return call<number>((done) => fs.writev(this.#fd, buffers, position, done))
  }

  read(into: Buffer, position: number): Promise<number> {
    return call<number>((done) => fs.read(this.#fd, into, 0, into.length, position, done))
  }

  datasync(): Promise<void> {
    return call((done) => fs.fdatasync(this.#fd, done))
  }

  truncate(length: number): Promise<void> {
    return call((done) => fs.ftruncate(this.#fd, length, done))
  }

  async size(): Promise<number> {
    return (await call<fs.Stats>((done) => fs.fstat(this.#fd, done))).size
  }

  close(): Promise<void> {
    return call((done) => fs.close(this.#fd, done))
  }
}

const OWNER_ONLY = 0o600

/** The real disk. */
export const nodeFiles: FileLayer = {
  async open(path, mode) {
    return new NodeFile(await call<number>((done) => fs.open(path, openFlags[mode], OWNER_ONLY, done)))
  },
  async makeFolder(path) {
    try {
      await call((done) => fs.mkdir(path, 0o700, done))
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
  },
  async syncFolder(path) {
    const fd = await call<number>((done) => fs.open(path, fs.constants.O_RDONLY, done))
    try {
      await call((done) => fs.fsync(fd, done))
    } finally {
      await call((done) => fs.close(fd, done))
    }
  },
  remove: (path) => call((done) => fs.unlink(path, done)),
}
