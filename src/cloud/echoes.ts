/** Of what somebody else has said; much of a page is looked at for it. */
const MAX_TOLD_CHARACTERS = 500
const MAX_READ_CHARACTERS = 4096

/** What a store has said, fit for a message: one line, since control characters could forge lines of a log or write to a terminal. */
export function told(text: string): string {
  const line = withoutEchoes(text.slice(0, MAX_READ_CHARACTERS))
    .toWellFormed()
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
  return line.length > MAX_TOLD_CHARACTERS ? `${line.slice(0, MAX_TOLD_CHARACTERS)}…` : line
}

/**
 * What a store, or somebody between, has said, without what it may have echoed of the request: a signature in a URL, a token or a
 * signature in a header. It goes into reasons that readers of a repo see, and into logs.
 */
export function withoutEchoes(text: string): string {
  return text
    .replace(/\b(sig|upload_id|(?:x-amz-)?signature|x-amz-security-token)(=|%3d)[^&\s"'<>,;]*/gi, '$1$2…')
    .replace(/\b(x-amz-security-token\\?["']?\s*:\s*\\?["']?)[^\\\s"'<>,]+/gi, '$1…')
    .replace(/\b(bearer|sharedkey(?:lite)?)(\s+|%20)[^\s"'<>,]+/gi, '$1 …')
    .replace(/\beyJ[\w-]+\.[\w.-]+/g, '…')
}
