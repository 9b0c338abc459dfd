import type { KeyObject } from 'node:crypto'
import { hmacHex, type Scope, scopeText } from './signing-key.ts'

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/**
 * The signatures of a body that is sent in signed chunks: each covers the chunk's SHA-256 and the signature before it, beginning
 * with that of the request. (AWS: "Signature calculations for the Authorization header: transferring payload in multiple chunks".)
 */
export class ChunkChain {
  #previous: string
  readonly #key: KeyObject
  readonly #dateTime: string
  readonly #scope: string

  constructor(key: KeyObject, dateTime: string, scope: Scope, seedSignature: string) {
    this.#key = key
    this.#dateTime = dateTime
    this.#scope = scopeText(scope)
    this.#previous = seedSignature
  }

  /** The signature that the next chunk must carry, by the hex SHA-256 of its bytes. */
  chunk(sha256Hex: string): string {
    return this.#next(`AWS4-HMAC-SHA256-PAYLOAD\n${this.#head()}\n${EMPTY_SHA256}\n${sha256Hex}`)
  }

  /** The signature of the trailers, by the hex SHA-256 of `name:value\n` of each. */
  trailer(sha256Hex: string): string {
    return this.#next(`AWS4-HMAC-SHA256-TRAILER\n${this.#head()}\n${sha256Hex}`)
  }

  #head(): string {
    return `${this.#dateTime}\n${this.#scope}\n${this.#previous}`
  }

  #next(stringToSign: string): string {
    this.#previous = hmacHex(this.#key, stringToSign)
    return this.#previous
  }
}
