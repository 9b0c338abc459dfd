import { InvalidInput } from '../../kernel/index.ts'

/** No store has longer keys than 1,024 bytes; the rest is room for hosts. */
const MAX_URL_CHARACTERS = 2048

/** A target's URL as it was written, split at what all schemes have in common. */
export interface RawUrl {
  readonly text: string
  /** Lower case. */
  readonly scheme: string
  /** What follows `://`, without slashes at its end; no segment is empty, `.` or `..`. */
  readonly segments: readonly string[]
}

/** Throws InvalidInput for what can be the URL of no target whatever its scheme. */
export function splitUrl(text: string): RawUrl {
  if (text.length > MAX_URL_CHARACTERS) throw invalid(text, `is longer than ${MAX_URL_CHARACTERS} characters`)
  const match = /^([A-Za-z][A-Za-z0-9+.-]{0,30}):\/\/(.*)$/s.exec(text)
  if (!match) {
    throw invalid(
      text,
      'is not a URL: write s3://bucket/folder, s3://endpoint/bucket/folder, gs://bucket/folder or wasbs://container@account/folder',
    )
  }
  return { text, scheme: match[1]!.toLowerCase(), segments: match[2]!.replace(/\/+$/, '').split('/') }
}

/** The segments after the scheme, once it is known that the scheme is a target's. */
export function checkSegments({ text, segments }: RawUrl, bucket: 'bucket' | 'container'): void {
  const rest = segments.join('/')
  if (/[?#\s\\]/.test(rest) || !rest.isWellFormed() || /\p{Cc}/u.test(rest)) {
    throw invalid(text, 'holds a character that is not allowed: no ?, #, backslash, space or control character')
  }
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw invalid(text, rest === '' ? `names no ${bucket}` : "has an empty segment, '.' or '..' in its path")
  }
}

/** Before anything is said about the rest: what stands before an @ may be a password. */
export function refuseCredentials({ text, segments }: RawUrl): void {
  if (!segments[0]!.includes('@')) return
  throw invalid(text, 'holds credentials, which a URL must not: name a secret instead (sluice secret create NAME …)')
}

/** An error of a URL, which shows nothing of it that could be secret. */
export function invalid(text: string, what: string): InvalidInput {
  return new InvalidInput(`${clean(text)} ${what}`, { url: clean(text) })
}

/**
 * What may be shown of a URL: not the part that could be a password, no query (Azure's signatures stand there), and no control
 * characters. What stands before the @ of an Azure URL is shown where it can be a container's name.
 */
export function clean(text: string): string {
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]{0,30}:\/\//.exec(text)?.[0] ?? ''
  const [authority = '', ...path] = text
    .slice(scheme.length)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '?')
    .replace(/[?#].*$/, '?…')
    .replace(/((?:sig|secret|password|token|key)=)[^/&]*/gi, '$1…')
    .split('/')
  const shown = withoutUser(scheme, authority)
  // A key with a slash in it: what follows the slash, up to some @, is part of it.
  if (shown.includes(':') && !/(?:^|@)(?:\[[0-9a-fA-F:.]+\]|[^:]+)(?::\d{1,5})?$/.test(shown)) return `${scheme}…`
  // Cut last: the @ that tells a password must not be gone before.
  return `${scheme}${[shown, ...path].join('/')}`.slice(0, 300)
}

function withoutUser(scheme: string, authority: string): string {
  const at = authority.lastIndexOf('@')
  if (at < 0) return authority
  const user = authority.slice(0, at)
  const mayBeContainer = /^(?:wasbs?|abfss?|azblob):/i.test(scheme) && /^[A-Za-z0-9$_.-]{1,63}$/.test(user)
  return mayBeContainer ? authority : `…${authority.slice(at)}`
}
