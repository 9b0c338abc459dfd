import { createHmac, randomBytes } from 'node:crypto'
import { InvalidInput } from '../errors.ts'
import { MAX_GRANTS, MAX_SESSION_MS, MAX_SESSION_TOKEN_CHARACTERS, MIN_SESSION_MS } from '../limits.ts'
import type { SecretBox } from '../secret-box.ts'
import { isAllowed, needOfRole } from './authorize.ts'
import { AccessDenied, type AccessKey, type Grant } from './model.ts'

/** What temporary credentials are made of; all three parts are needed to sign with them. */
export interface TemporaryCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly expiresMs: number
}

/** What a token says, once it has opened. */
interface Claims {
  /** Of the temporary key itself. */
  readonly id: string
  /** The key that made it, and its user: without them it ends. */
  readonly parent: string
  readonly user: string
  readonly expiresMs: number
  readonly grants?: readonly Grant[]
}

/** The binding of a sealed text to its use: a sealed secret is never taken for a token, nor the other way round. */
const tokenContext = Buffer.from('sluice session token 1')
const base64url = /^[A-Za-z0-9_-]+$/
/** Tokens that were opened lately. */
const MAX_OPENED = 1000

/**
 * Temporary credentials. Nothing of them is stored: the token is their claims, encrypted and authenticated under the key of the data
 * folder, and the secret follows from the token and from the secret of the key that made them. They survive a restart, and end when
 * their time is over, or that key is gone or has another secret.
 */
export class TemporaryKeys {
  readonly #box: SecretBox
  readonly #secretKey: Buffer
  readonly #opened = new Map<string, Claims>()

  constructor(box: SecretBox) {
    this.#box = box
    this.#secretKey = box.derive('sluice session secrets 1')
  }

  /** Throws AccessDenied for what `key` may not do itself, InvalidInput. */
  mint(
    key: AccessKey,
    input: { readonly grants?: readonly Grant[]; readonly forMs: number },
    nowMs: number,
  ): TemporaryCredentials {
    const { grants, forMs } = input
    if (key.temporary !== undefined) {
      throw new AccessDenied('temporary credentials can not make others: use the key that they were made with')
    }
    if (!Number.isInteger(forMs) || forMs < MIN_SESSION_MS || forMs > MAX_SESSION_MS) {
      throw new InvalidInput(
        `temporary credentials last from ${MIN_SESSION_MS / 60_000} minute(s) to ${MAX_SESSION_MS / 3_600_000} hours`,
      )
    }
    for (const { repo, role } of grants ?? []) {
      if (isAllowed(key, needOfRole[role], repo)) continue
      throw new AccessDenied(
        `key ${key.accessKeyId} is not ${role} of repo ${repo} itself, so it can't hand that out`,
        {
          need: needOfRole[role],
          repo,
        },
      )
    }
    if (grants?.length === 0 || (grants?.length ?? 0) > MAX_GRANTS) {
      throw new InvalidInput(`temporary credentials are bound to 1 to ${MAX_GRANTS} places, or to none at all`)
    }
    const claims: Claims = {
      id: `SLUICETMP${randomBytes(8).toString('hex').toUpperCase()}`,
      parent: key.accessKeyId,
      user: key.canonicalId,
      expiresMs: nowMs + forMs,
      ...(grants ? { grants } : {}),
    }
    const sessionToken = this.#box.seal(JSON.stringify(claims), tokenContext).toString('base64url')
    if (sessionToken.length > MAX_SESSION_TOKEN_CHARACTERS) {
      throw new InvalidInput('the prefixes are too long together for a session token: bind it to fewer places')
    }
    return {
      accessKeyId: claims.id,
      secretAccessKey: this.#secretOf(sessionToken, key),
      sessionToken,
      expiresMs: claims.expiresMs,
    }
  }

  /** The key that the token stands for; undefined unless it was made here for `accessKeyId` and its maker is still there. */
  async find(
    accessKeyId: string,
    sessionToken: string,
    findParent: (accessKeyId: string) => Promise<AccessKey | undefined>,
  ): Promise<AccessKey | undefined> {
    const claims = this.#open(sessionToken)
    if (claims?.id !== accessKeyId) return undefined
    const parent = await findParent(claims.parent)
    if (parent?.canonicalId !== claims.user) return undefined
    return {
      ...parent,
      accessKeyId,
      secretAccessKey: this.#secretOf(sessionToken, parent),
      temporary: { expiresMs: claims.expiresMs, ...(claims.grants ? { grants: claims.grants } : {}) },
    }
  }

  #open(sessionToken: string): Claims | undefined {
    const known = this.#opened.get(sessionToken)
    if (known) return known
    if (sessionToken.length > MAX_SESSION_TOKEN_CHARACTERS || !base64url.test(sessionToken)) return undefined
    const text = this.#box.tryOpen(Buffer.from(sessionToken, 'base64url'), tokenContext)
    if (text === undefined) return undefined
    const claims = JSON.parse(text) as Claims
    for (const oldest of this.#opened.keys()) {
      if (this.#opened.size < MAX_OPENED) break
      this.#opened.delete(oldest)
    }
    this.#opened.set(sessionToken, claims)
    return claims
  }

  /** A token has no line end, so that the two can't be cut in another way. */
  #secretOf(sessionToken: string, parent: Pick<AccessKey, 'secretAccessKey'>): string {
    return createHmac('sha256', this.#secretKey)
      .update(`${sessionToken}\n${parent.secretAccessKey}`)
      .digest('base64url')
  }
}
