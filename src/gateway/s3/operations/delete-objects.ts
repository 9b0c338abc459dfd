import { MAX_DELETE_KEYS, MIB } from '../../../kernel/index.ts'
import { isControlPath, type Path, type WriteConditions } from '../../../versioning/index.ts'
import { readKey } from '../addressing.ts'
import { S3Error } from '../codes.ts'
import { isMetByNothing, readDeleteETag } from '../conditions.ts'
import { controlFolderReadOnly } from '../control-keys.ts'
import { versionText } from '../entry-headers.ts'
import { toS3Error } from '../errors.ts'
import { operation } from '../operation.ts'
import { document, leaf, node } from '../xml.ts'
import { malformed, readXml, type XmlElement } from '../xml-read.ts'

interface Wish {
  readonly key: string
  readonly path?: Path
  readonly conditions?: WriteConditions
  /** Why it can't even be tried. */
  readonly refused?: S3Error
}

type Outcome =
  | { readonly kind: 'deleted'; readonly key: string; readonly version: string | undefined }
  | { readonly kind: 'error'; readonly key: string; readonly error: S3Error }

export const deleteObjects = operation({
  name: 'DeleteObjects',
  on: 'bucket',
  needs: 'write',
  // 1,000 keys of 1,024 bytes, every one of them written as a reference.
  documentBytes: 8 * MIB,
  read: ({ bucket }, bytes) => {
    const root = readXml(bytes, 'Delete')
    const objects = root.children('Object')
    if (objects.length === 0 || objects.length > MAX_DELETE_KEYS)
      throw malformed(`it must name 1 to ${MAX_DELETE_KEYS} objects`)
    return { bucket, quiet: root.child('Quiet')?.text.trim() === 'true', wishes: objects.map(readWish) }
  },
  run: async ({ bucket, quiet, wishes }, context) => {
    const at = await context.branch(bucket)
    const possible = wishes.flatMap(({ path, conditions, refused }) =>
      path === undefined || refused ? [] : [{ path, ...(conditions ? { conditions } : {}) }],
    )
    const results = possible.length === 0 ? [] : await context.versioning.deleteMany(at, possible, context.caller.name)
    let next = 0
    const outcomes = wishes.map(({ key, conditions, refused }): Outcome => {
      if (refused) return { kind: 'error', key, error: refused }
      const result = results[next++]
      if (result?.kind === 'deleted') return { kind: 'deleted', key, version: versionText(result.result.version) }
      const failure = result?.error.data ?? {}
      if (isMetByNothing(conditions, failure)) return { kind: 'deleted', key, version: undefined }
      return { kind: 'error', key, error: conditionError(failure) }
    })
    return { quiet, outcomes }
  },
  write: ({ quiet, outcomes }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    body: document('DeleteResult', ...outcomes.map((outcome) => writeOutcome(outcome, quiet))),
  }),
})

function readWish(object: XmlElement): Wish {
  const key = object.child('Key')?.text ?? ''
  try {
    if (key === '') throw malformed('an Object without Key')
    if (isControlPath(key)) throw controlFolderReadOnly()
    if (object.child('VersionId')) {
      throw new S3Error('NotImplemented', 'Deleting a version is not implemented yet: delete the key without VersionId')
    }
    const conditions = readConditions(object)
    return { key, path: readKey(key), ...(conditions ? { conditions } : {}) }
  } catch (error) {
    const refused = toS3Error(error)
    if (refused.code === 'MalformedXML') throw refused
    return { key, refused }
  }
}

function readConditions(object: XmlElement): WriteConditions | undefined {
  const etag = object.child('ETag')?.text
  const size = object.child('Size')?.text
  const time = object.child('LastModifiedTime')?.text
  if (etag === undefined && size === undefined && time === undefined) return undefined
  const modifiedMs = time === undefined ? undefined : Date.parse(time)
  if (size !== undefined && !/^\d{1,15}$/.test(size)) throw malformed('a Size that is no number')
  if (modifiedMs !== undefined && Number.isNaN(modifiedMs)) throw malformed('a LastModifiedTime that is no time')
  return {
    ...(etag === undefined ? {} : { ifMatch: readDeleteETag(etag) }),
    ...(size === undefined ? {} : { ifMatchSize: Number(size) }),
    ...(modifiedMs === undefined ? {} : { ifMatchModifiedMs: modifiedMs }),
  }
}

function conditionError(data: Readonly<Record<string, unknown>>): S3Error {
  return data['missing'] === true
    ? new S3Error('NoSuchKey', 'The specified key does not exist.')
    : new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold')
}

function writeOutcome(outcome: Outcome, quiet: boolean): string {
  if (outcome.kind === 'error') {
    return node(
      'Error',
      leaf('Key', outcome.key),
      leaf('Code', outcome.error.code),
      leaf('Message', outcome.error.message),
    )
  }
  if (quiet) return ''
  const marker =
    outcome.version === undefined ? '' : leaf('DeleteMarker', true) + leaf('DeleteMarkerVersionId', outcome.version)
  return node('Deleted', leaf('Key', outcome.key), marker)
}
