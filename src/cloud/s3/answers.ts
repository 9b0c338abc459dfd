import { errorMessage } from '../../kernel/index.ts'
import { told } from '../echoes.ts'
import { retryAfterMs } from '../explain.ts'

/** What a store answered that is no success, whoever read it. */
export interface Answer {
  /** The store's own word; empty where it says none. */
  readonly code: string
  readonly message: string
  readonly status: number | undefined
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>
}

/** How an SDK says that it found no word of the store's, or could not read the answer at all. */
const noWord = /^(\d*|Unknown|UnknownError|Error|TypeError|SyntaxError|SdkError|ServiceException|S3ServiceException)$/

/** What the SDK threw as an answer of the store; undefined if it is none. */
export function answerOf(error: unknown): Answer | undefined {
  if (!(error instanceof Error)) return undefined
  const { $metadata, $response } = error as {
    $metadata?: { httpStatusCode?: number }
    $response?: { statusCode?: number; headers?: Readonly<Record<string, string>> }
  }
  // The response says what came; the SDK counts an error in the body of a 200 as a 503.
  const status = $metadata?.httpStatusCode ?? $response?.statusCode
  if (status === undefined) return undefined
  const headers = $response?.headers ?? {}
  const worded = !noWord.test(error.name) && !isPage(headers)
  return { code: worded ? error.name : '', message: worded ? errorMessage(error) : '', status, headers }
}

/** The answer that is not read by the SDK: a small document of XML, or what a proxy says. */
export function answerFrom(status: number, headers: NonNullable<Answer['headers']>, body: string): Answer {
  const element = (name: string) => {
    const text = new RegExp(`<${name}>([^<]{0,2000})</${name}>`).exec(body)?.[1]
    return text === undefined ? '' : unescapeXml(text).trim()
  }
  return { code: element('Code'), message: element('Message'), status, headers }
}

/** In words, with what the store itself said, so far as it is fit to be shown. */
export function said(answer: Answer): string {
  const { code, message, status } = answer
  if (code !== '') return message && message !== code ? `${told(code)}: ${told(message)}` : told(code)
  if (answer.headers && isPage(answer.headers))
    return `HTTP ${status} and a page of HTML, as a proxy or a web server says it`
  return `HTTP ${status ?? 'without a status'}`
}

/** A web page in the place of an answer: somebody else is speaking. */
export function isPage(headers: NonNullable<Answer['headers']>): boolean {
  return /^text\/html\b/i.test(header(headers, 'content-type') ?? '')
}

/** Amazon says in a header where a bucket is. */
export function regionOf({ headers = {} }: Answer): string | undefined {
  const region = header(headers, 'x-amz-bucket-region')
  return region && /^[a-z0-9-]{1,64}$/.test(region) ? region : undefined
}

/** Where a redirect points to, without what it may carry in its path. */
export function redirectOf({ headers = {} }: Answer): string | undefined {
  const location = header(headers, 'location')
  if (!location || !URL.canParse(location)) return undefined
  const { protocol, origin } = new URL(location)
  return protocol === 'https:' || protocol === 'http:' ? origin : undefined
}

/** How long it asks to be left alone. */
export function pauseOf({ headers = {} }: Answer): number | undefined {
  return retryAfterMs(header(headers, 'retry-after'), header(headers, 'date'))
}

function header(headers: NonNullable<Answer['headers']>, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function unescapeXml(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => entities[name] ?? '')
}
