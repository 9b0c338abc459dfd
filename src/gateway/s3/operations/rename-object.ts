import type { FileEntry } from '../../../versioning/index.ts'
import { isControlPath, type Path } from '../../../versioning/index.ts'
import { readKey } from '../addressing.ts'
import { invalidArgument, S3Error } from '../codes.ts'
import {
  evaluateConditions,
  preconditionFailed,
  type ReadConditions,
  readConditions,
  readRenameConditions,
} from '../conditions.ts'
import { decodeSource } from '../copy-source.ts'
import { findEntry, orElse } from '../find-entry.ts'
import { operation } from '../operation.ts'
import type { ObjectRequest } from '../request.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'

const SOURCE = 'x-amz-rename-source'
/** A source that is replaced again and again is looked at as often as this: each time another writer got through. */
const MAX_TRIES = 20

/**
 * AWS has it for directory buckets; here for every branch. The new key is a version, the old one gets a delete marker, both in one
 * transaction, and no content is read or moved.
 */
export const renameObject = operation({
  name: 'RenameObject',
  on: 'object',
  needs: 'write',
  read: (request) => {
    const { bucket, key, headers } = request
    refuseUnsupportedHeaders(headers)
    const source = readRenameSource(request)
    if (source === key)
      throw new S3Error('InvalidRequest', 'The source and the destination of a rename are the same key')
    for (const path of [source, key]) {
      if (!path.endsWith('/')) continue
      throw new S3Error('InvalidRequest', 'A key that ends in / can not be renamed: rename the objects below it')
    }
    const token = headers['x-amz-client-token']
    if (token !== undefined && !/^[\x21-\x7e]{1,64}$/.test(token)) {
      throw invalidArgument('x-amz-client-token', '', 'It must be 1 to 64 printable ASCII characters')
    }
    return {
      bucket,
      path: key,
      source,
      token,
      sourceConditions: readConditions(headers, `${SOURCE}-`),
      conditions: readRenameConditions(headers),
    }
  },
  run: async ({ bucket, path, source, token, sourceConditions, conditions }, context) => {
    await context.admit('write', bucket.repo, { branch: bucket.name, path: source })
    const at = await context.branch(bucket)
    if (token !== undefined && (await context.versioning.renamed(at, { token, from: source, path }))) return
    for (let attempt = 1; ; attempt++) {
      const { entry } = await findEntry(context, bucket, source, undefined)
      const done = context.versioning.rename(at, {
        source: checked(entry, sourceConditions),
        path,
        author: context.caller.name,
        ...(conditions ? { conditions } : {}),
        ...(token === undefined ? {} : { token }),
      })
      const result = await (attempt < MAX_TRIES ? done.catch(orElse('BranchMoved', undefined)) : done)
      if (result) return
    }
  },
  write: () => ({ status: 200, headers: {} }),
})

function checked(entry: FileEntry, conditions: ReadConditions | undefined): FileEntry {
  const verdict = evaluateConditions(conditions, entry)
  if (verdict.kind === 'go') return entry
  throw preconditionFailed(`${SOURCE}-${verdict.kind === 'failed' ? verdict.condition : 'If-None-Match'}`)
}

/** The key, percent-encoded, by itself or as `/<this bucket>/<key>`. Another bucket's it can't be. */
function readRenameSource({ bucket, headers }: ObjectRequest): Path {
  const text = headers[SOURCE]
  if (text === undefined || text === '') throw invalidArgument(SOURCE, '', 'Rename Source must name the key to rename')
  const { path, query } = decodeSource(text, SOURCE)
  if (query.length > 0) {
    throw invalidArgument(SOURCE, '', 'Rename Source is a key without parameters: the current version is renamed')
  }
  const own = `/${bucket.text}/`
  const named = text.startsWith('/') && path.startsWith(own)
  const key = readKey(named ? path.slice(own.length) : path.slice(1))
  if (isControlPath(key)) throw new S3Error('AccessDenied', 'The documents of the control folder can not be renamed')
  return key
}
