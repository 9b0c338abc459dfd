import { InvalidInput } from '../kernel/index.ts'

const MAX_PATTERN = 1_024

/**
 * Which files a manifest lists: `*` is any run of characters but `/`, `?` is one, `**` is any run, `/` too, and as a whole segment
 * also none at all. A pattern without `**` also takes what is below a folder that it matches, as the globs of inputs do. Throws
 * InvalidInput.
 */
export function parseManifestGlob(pattern: string): (path: string) => boolean {
  if (pattern === '' || pattern.length > MAX_PATTERN) {
    throw new InvalidInput(`a glob has 1 to ${MAX_PATTERN} characters: "/orders/*"`)
  }
  const odd = /[[\]{}()\\!]/.exec(pattern)
  if (odd) throw new InvalidInput(`${odd[0]} means nothing in a manifest's glob: only *, ** and ? do; ? matches it`)
  const rooted = pattern.startsWith('/') ? pattern.slice(1) : pattern
  if (rooted === '') return () => true
  if (rooted.includes('**')) return (path) => matches(rooted, path)
  const depth = rooted.split('/').length
  return (path) => {
    const segments = path.split('/')
    return segments.length >= depth && matches(rooted, segments.slice(0, depth).join('/'))
  }
}

/** Wildcards without going back: pattern length × path length at most, so that no pattern takes long. */
function matches(pattern: string, text: string): boolean {
  // One row of the usual table: which prefixes of the text the pattern so far can have matched.
  let reached = new Uint8Array(text.length + 1)
  reached[0] = 1
  for (let at = 0; at < pattern.length; at++) {
    const next = new Uint8Array(text.length + 1)
    const sign = pattern[at]
    if (sign === '*') {
      const isAny = pattern[at + 1] === '*'
      // As in the globs of inputs, `**/` is any number of folders, none too: it can end before any name.
      const isFolders = isAny && pattern[at + 2] === '/' && (at === 0 || pattern[at - 1] === '/')
      at += isFolders ? 2 : isAny ? 1 : 0
      for (let i = 0, open = 0; i <= text.length; i++) {
        // A plain star can not step over a slash.
        if (!isAny && i > 0 && text[i - 1] === '/') open = 0
        if (reached[i]) open = 1
        next[i] = isFolders && !reached[i] && text[i - 1] !== '/' ? 0 : open
      }
    } else {
      for (let i = 0; i < text.length; i++) {
        if (reached[i] && (sign === '?' ? text[i] !== '/' : sign === text[i])) next[i + 1] = 1
      }
    }
    reached = next
  }
  return reached[text.length] === 1
}
