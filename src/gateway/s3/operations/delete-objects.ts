import { MAX_DELETE_KEYS, MIB, unreachable } from '../../../kernel/index.ts'
import {
  type BranchAddress,
  isControlPath,
  type Path,
  type VersionDelete,
  type VersionDeleteResult,
  type VersionName,
  type WriteConditions,
} from '../../../versioning/index.ts'
import { type Bucket, readKey } from '../addressing.ts'
import { S3Error } from '../codes.ts'
import { isMetByNothing, readDeleteETag } from '../conditions.ts'
import { controlFolderReadOnly } from '../control-keys.ts'
import { shownVersion, versionText } from '../entry-headers.ts'
import { toS3Error } from '../errors.ts'
import { invalidVersionId, readVersionName } from '../find-entry.ts'
import { isFromJob, noteJobDeletes } from '../job-deletes.ts'
import { type Context, operation } from '../operation.ts'
import { document, leaf, node } from '../xml.ts'
import { malformed, readXml, type XmlElement } from '../xml-read.ts'
import { isMarkerInstead } from './delete-object.ts'

interface Wish {
  readonly key: string
  readonly path?: Path
  /** Without one the key is deleted, which leaves a delete marker. */
  readonly version?: VersionName
  readonly conditions?: WriteConditions
  /** Why it can't even be tried. */
  readonly refused?: S3Error
}

type Outcome =
  | {
      readonly kind: 'deleted'
      readonly key: string
      /** What was asked for. */
      readonly version: VersionName | undefined
      /** The delete marker that was made, or deleted. */
      readonly marker: string | undefined
    }
  | { readonly kind: 'error'; readonly key: string; readonly error: S3Error }

export const deleteObjects = operation({
  name: 'DeleteObjects',
  on: 'bucket',
  needs: 'write',
  reach: 'keys',
  // 1,000 keys of 1,024 bytes, every one of them written as a reference.
  documentBytes: 8 * MIB,
  read: ({ bucket, headers }, bytes) => {
    const root = readXml(bytes, 'Delete')
    const objects = root.children('Object')
    if (objects.length === 0 || objects.length > MAX_DELETE_KEYS)
      throw malformed(`it must name 1 to ${MAX_DELETE_KEYS} objects`)
    return {
      bucket,
      quiet: root.child('Quiet')?.text.trim() === 'true',
      fromJob: isFromJob(headers),
      wishes: objects.map(readWish),
    }
  },
  run: async ({ bucket, quiet, fromJob, wishes: asked }, context) => {
    const wishes = asked.map((wish) => refuseForeign(wish, bucket, context))
    const at = await context.branch(bucket)
    const possible = wishes.flatMap(({ path, version, conditions, refused }) =>
      path === undefined || refused
        ? []
        : [{ path, ...(version ? { version } : {}), ...(conditions ? { conditions } : {}) }],
    )
    const results = possible.length === 0 ? [] : await deleteAll(context, at, possible)
    if (fromJob) {
      const deleted = results.map((result, index) => ({
        path: possible[index]!.path,
        existed: result.kind === 'deleted' && result.result.existed,
      }))
      noteJobDeletes(context, at, deleted)
    }
    let next = 0
    const outcomes: Outcome[] = []
    for (const wish of wishes) {
      const { key, path, refused } = wish
      if (refused || path === undefined) {
        if (refused) outcomes.push({ kind: 'error', key, error: refused })
        continue
      }
      const result = results[next++]!
      const marked = result.kind === 'refused' && (await isMarkerInstead(context, at, path, result.error.data))
      outcomes.push(marked ? { kind: 'error', key, error: conditionError({}) } : outcomeOf(wish, result))
    }
    return { quiet, outcomes }
  },
  write: ({ quiet, outcomes }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    body: document('DeleteResult', ...outcomes.map((outcome) => writeOutcome(outcome, quiet))),
  }),
})

/** Most lists name no version: those go with the other writes that are waiting. */
async function deleteAll(
  { versioning, caller }: Context,
  at: BranchAddress,
  deletes: readonly VersionDelete[],
): Promise<readonly VersionDeleteResult[]> {
  const named = deletes.some(({ version }) => version !== undefined)
  return named ? versioning.versions.delete(at, deletes, caller.name) : versioning.deleteMany(at, deletes, caller.name)
}

function outcomeOf({ key, version, conditions }: Wish, result: VersionDeleteResult): Outcome {
  switch (result.kind) {
    case 'deleted':
      return { kind: 'deleted', key, version, marker: shownVersion(result.result, result.result) }
    case 'hidden':
      return { kind: 'deleted', key, version, marker: result.marker && version ? versionText(version) : undefined }
    case 'absent':
      return { kind: 'deleted', key, version, marker: undefined }
    case 'refused': {
      const { data } = result.error
      if (isMetByNothing(conditions, data)) return { kind: 'deleted', key, version, marker: undefined }
      return { kind: 'error', key, error: conditionError(data) }
    }
    default:
      return unreachable(result)
  }
}

/** A key that is bound to a prefix may delete below it only; one that is bound to a branch no version by its id, as elsewhere. */
function refuseForeign(wish: Wish, bucket: Bucket, context: Context): Wish {
  const branch = wish.version === undefined ? bucket.name : undefined
  if (context.may('write', bucket.repo, { branch, path: wish.key })) return wish
  return { ...wish, refused: new S3Error('AccessDenied', 'The credentials are not for this key.') }
}

function readWish(object: XmlElement): Wish {
  const key = object.child('Key')?.text ?? ''
  try {
    if (key === '') throw malformed('an Object without Key')
    if (isControlPath(key)) throw controlFolderReadOnly()
    const version = readVersion(object.child('VersionId')?.text)
    const conditions = readConditions(object)
    return { key, path: readKey(key), ...(version ? { version } : {}), ...(conditions ? { conditions } : {}) }
  } catch (error) {
    const refused = toS3Error(error)
    if (refused.code === 'MalformedXML') throw refused
    return { key, refused }
  }
}

function readVersion(text: string | undefined): VersionName | undefined {
  const version = text === undefined ? undefined : readVersionName(text)
  if (text !== undefined && version === undefined) throw invalidVersionId('VersionId', text)
  return version
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
  return node(
    'Deleted',
    leaf('Key', outcome.key),
    leaf('VersionId', outcome.version === undefined ? undefined : versionText(outcome.version)),
    outcome.marker === undefined ? '' : leaf('DeleteMarker', true) + leaf('DeleteMarkerVersionId', outcome.marker),
  )
}
