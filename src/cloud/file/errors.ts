import { Corrupt, errnoOf, errorMessage } from '../../kernel/index.ts'
import { ObjectNotFound, StoreDenied, StoreError, StoreFull, StoreRejected, StoreUnreachable } from '../object-store.ts'

/** Runs it, and turns what the file system says into the stores' own vocabulary. Aborts pass as they are. */
export async function translated<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw translate(error)
  }
}

export function translate(error: unknown): unknown {
  if (error instanceof StoreError || error instanceof Corrupt) return error
  switch (errnoOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new ObjectNotFound('there is no such object', { what: 'object' }, error)
    case 'ENOSPC':
    case 'EDQUOT':
      return new StoreFull('the file system is full', {}, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StoreDenied('the file system does not allow it', {}, error)
    case 'ENAMETOOLONG':
    case 'EFBIG':
      return new StoreRejected('the file system can not hold this object', {}, error)
    case 'EIO':
    case 'EMFILE':
    case 'ENFILE':
    case 'ESTALE':
    case 'ETIMEDOUT':
      return new StoreUnreachable(`the file system failed: ${errorMessage(error)}`, {}, error)
    default:
      return error
  }
}
