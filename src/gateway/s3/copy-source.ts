import { parseRequestUrl } from '../../kernel/index.ts'
import { isControlPath, type Path } from '../../versioning/index.ts'
import { type Bucket, parseBucket, readKey } from './addressing.ts'
import { S3Error } from './codes.ts'
import { evaluateConditions, preconditionFailed, type ReadConditions, readConditions } from './conditions.ts'
import { type FoundEntry, findEntry, readVersionId, type VersionClaim } from './find-entry.ts'
import type { Context } from './operation.ts'
import { type RequestHeaders, splitPath } from './request.ts'

export interface CopySource {
  readonly bucket: Bucket
  readonly path: Path
  readonly version: VersionClaim | undefined
  readonly conditions: ReadConditions | undefined
}

/** `x-amz-copy-source`: `/bucket/key?versionId=…`, percent-encoded, with or without the first slash. */
export function readCopySource(headers: RequestHeaders): CopySource {
  const text = headers['x-amz-copy-source'] ?? ''
  // It is decoded by the same function as the request's own path: what is authorised below is what is read.
  const url = decodeSource(text, 'x-amz-copy-source')
  const { bucketName, keyText } = splitPath(url.path)
  if (bucketName === '' || keyText === '') throw invalidSource()
  if (isControlPath(keyText)) {
    throw new S3Error('InvalidRequest', 'The documents of the control folder can not be copied: GET them')
  }
  let version: VersionClaim | undefined
  for (const [name, value] of url.query) {
    if (name !== 'versionId' || version) throw invalidSource()
    version = readVersionId(value)
  }
  return {
    bucket: parseBucket(bucketName),
    path: readKey(keyText),
    version,
    conditions: readConditions(headers, 'x-amz-copy-source-'),
  }
}

/** The source's entry, if the caller may read it and its conditions hold. */
export async function openCopySource(source: CopySource, context: Context): Promise<FoundEntry> {
  const { bucket, path, version } = source
  // A version that is named by its id can be of any branch.
  await context.admit('read', bucket.repo, { branch: version ? undefined : bucket.name, path })
  const found = await findEntry(context, source.bucket, source.path, source.version).catch(noMarkerCopy)
  const verdict = evaluateConditions(source.conditions, found.entry)
  if (verdict.kind === 'failed') throw preconditionFailed(`x-amz-copy-source-${verdict.condition}`)
  if (verdict.kind === 'notModified') throw preconditionFailed('x-amz-copy-source-If-None-Match')
  return found
}

function noMarkerCopy(error: unknown): never {
  if (!(error instanceof S3Error) || error.code !== 'MethodNotAllowed') throw error
  throw new S3Error(
    'InvalidRequest',
    'The source of a copy request may not specifically refer to a delete marker by version id.',
  )
}

/** `x-amz-copy-source` and `x-amz-rename-source`: a path and its query, percent-encoded, with or without the first slash. */
export function decodeSource(text: string, header: string): ReturnType<typeof parseRequestUrl> {
  try {
    // AWS: a plus in this header is a space, unlike in a path. s5cmd sends one for a space; the others write %2B for a plus.
    const spaced = text.replaceAll('+', '%20')
    return parseRequestUrl(spaced.startsWith('/') ? spaced : `/${spaced}`)
  } catch (error) {
    throw new S3Error('InvalidArgument', `${header} must be percent-encoded UTF-8`, { ArgumentName: header }, {}, error)
  }
}

function invalidSource(): S3Error {
  return new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey', {
    ArgumentName: 'x-amz-copy-source',
  })
}
