import { KIB } from '../../kernel/index.ts'
import type { Tag } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'
import { document, leaf, node } from './xml.ts'
import { malformed, readXml } from './xml-read.ts'

/** AWS: "Using object tagging", "Using cost allocation S3 bucket tags". */
export const MAX_OBJECT_TAGS = 10
export const MAX_BUCKET_TAGS = 50
const MAX_KEY_CHARACTERS = 128
const MAX_VALUE_CHARACTERS = 256

/** 50 tags of 384 characters, every one of them written as a reference. */
export const TAGGING_DOCUMENT_BYTES = 512 * KIB

/** AWS: letters, digits, spaces, and these. */
const allowed = /^[\p{L}\p{N}\p{Z}_.:/=+\-@]*$/u

/** A `Tagging` document. Throws MalformedXML, InvalidTag. */
export function readTaggingDocument(bytes: Buffer, max: number): readonly Tag[] {
  const set = readXml(bytes, 'Tagging').child('TagSet')
  if (!set) throw malformed('it has no TagSet')
  const tags = set.children('Tag').map((tag) => {
    const key = tag.child('Key')?.text
    const value = tag.child('Value')?.text
    if (key === undefined || value === undefined) throw malformed('a Tag needs Key and Value')
    return { key, value }
  })
  return checkTags(tags, max)
}

/** The header `x-amz-tagging`, encoded as a query is: `a=1&b=2`; a name alone has the value ''. */
export function readTaggingHeader(text: string | undefined): readonly Tag[] | undefined {
  if (text === undefined) return undefined
  const tags: Tag[] = []
  for (const piece of text.split('&')) {
    if (piece === '') continue
    const equals = piece.indexOf('=')
    const key = decode(equals < 0 ? piece : piece.slice(0, equals))
    tags.push({ key, value: equals < 0 ? '' : decode(piece.slice(equals + 1)) })
    // Far past what is allowed, so that the answer says so.
    if (tags.length > MAX_OBJECT_TAGS) break
  }
  return checkTags(tags, MAX_OBJECT_TAGS)
}

function decode(text: string): string {
  try {
    // Headers come as Latin-1 of their bytes.
    const bytes = text.replace(/[\x80-\xff]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
    return decodeURIComponent(bytes.replaceAll('+', '%20'))
  } catch (error) {
    const message = 'The header x-amz-tagging is not encoded as a query is: a=1&b=2, with %XX for all else'
    throw new S3Error('InvalidArgument', message, { ArgumentName: 'x-amz-tagging' }, {}, error)
  }
}

/** In the order of their keys, as AWS gives them back. */
function checkTags(tags: readonly Tag[], max: number): readonly Tag[] {
  if (tags.length > max) throw invalidTag(`There can be at most ${max} tags`)
  const seen = new Set<string>()
  for (const { key, value } of tags) {
    if (key === '' || [...key].length > MAX_KEY_CHARACTERS) {
      throw invalidTag(`The TagKey you have provided is invalid: it has 1 to ${MAX_KEY_CHARACTERS} characters`, key)
    }
    if ([...value].length > MAX_VALUE_CHARACTERS) {
      throw invalidTag(
        `The TagValue you have provided is invalid: it has up to ${MAX_VALUE_CHARACTERS} characters`,
        key,
      )
    }
    if (!allowed.test(key) || !allowed.test(value)) {
      throw invalidTag('Tags are letters, digits, spaces and _ . : / = + - @', key)
    }
    if (key.toLowerCase().startsWith('aws:')) throw invalidTag('Tags that begin with aws: are for AWS alone', key)
    if (seen.has(key)) throw invalidTag('Cannot provide multiple Tags with the same key', key)
    seen.add(key)
  }
  return [...tags].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
}

function invalidTag(message: string, key?: string): S3Error {
  return new S3Error('InvalidTag', message, key === undefined ? {} : { TagKey: key.slice(0, 255) })
}

export function taggingDocument(tags: readonly Tag[]): string {
  return document(
    'Tagging',
    node('TagSet', ...tags.map(({ key, value }) => node('Tag', leaf('Key', key), leaf('Value', value)))),
  )
}
