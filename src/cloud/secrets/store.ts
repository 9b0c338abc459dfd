import { type Clock, type Database, DomainError, InvalidInput, type SecretBox } from '../../kernel/index.ts'
import type { Credentials } from '../credentials.ts'
import { SERVICES } from '../urls/hint.ts'
import type { OpenSecret, SecretInfo } from './info.ts'
import { checkSecretInput, checkSecretParts } from './input.ts'
import type { CheckedSecret, SecretDetails, SecretInput, SecretKind, SecretParts } from './parts.ts'

/** Credentials for targets, by name. They are sealed (AES-256-GCM) under a key that is a file of the data folder, not in the database. */
export interface SecretStore {
  /** Throws InvalidInput that lists what is wrong; SecretExists. */
  create(input: SecretInput): Promise<SecretInfo>
  /**
   * Gives a secret new parts (rotation): the next push signs with them. Kind, endpoint and storage account stay what they were,
   * since specs were checked against them; a region that is not given stays too. Throws InvalidInput, SecretNotFound.
   */
  update(input: SecretInput): Promise<SecretInfo>
  /** In order of name. */
  list(): Promise<readonly SecretInfo[]>
  /** Throws SecretNotFound. */
  inspect(name: string): Promise<SecretInfo>
  /** Throws SecretNotFound. */
  delete(name: string): Promise<void>
  /** Throws SecretNotFound; Corrupt if it was sealed under another key. */
  open(name: string): Promise<OpenSecret>
}

/** There is no secret of this name. */
export class SecretNotFound extends DomainError {
  readonly code = 'SecretNotFound'
  constructor(name: string) {
    super(`there is no secret ${JSON.stringify(name)}: make it with sluice secret create NAME (--help says how)`, {
      name,
    })
  }
}

/** There is a secret of this name already. */
export class SecretExists extends DomainError {
  readonly code = 'SecretExists'
  constructor(name: string) {
    super(`secret ${name} exists already: sluice secret update ${name} gives it another secret part`, { name })
  }
}

interface SecretRow {
  readonly name: string
  readonly kind: SecretKind
  readonly identity: string
  readonly sealed: Buffer
  readonly endpoint: string | null
  readonly region: string | null
  readonly details: string
  readonly created_ms: number
  readonly updated_ms: number
}

/** Opens the secrets in `db`, which `box` keeps closed. */
export function openSecretStore(options: {
  readonly db: Database
  readonly box: SecretBox
  readonly clock: Clock
}): SecretStore {
  const { db, box, clock } = options
  const find = (name: string, on: Pick<Database, 'get'> = db) => findSecret(on, name)
  const rowOf = (name: string, checked: CheckedSecret, createdMs: number): SecretRow => ({
    name,
    kind: checked.kind,
    identity: checked.identity,
    sealed: box.seal(checked.sealed, sealedWith(checked.kind, name, checked.identity)),
    endpoint: checked.endpoint ?? null,
    region: checked.region ?? null,
    details: JSON.stringify(checked.details),
    created_ms: createdMs,
    updated_ms: clock.now(),
  })
  return {
    async create(input) {
      const row = rowOf(input.name, checkSecretInput(input), clock.now())
      const added = await db.write((tx) =>
        tx.run(
          `INSERT INTO secret (name, kind, identity, sealed, endpoint, region, details, created_ms, updated_ms)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
          [
            row.name,
            row.kind,
            row.identity,
            row.sealed,
            row.endpoint,
            row.region,
            row.details,
            row.created_ms,
            row.updated_ms,
          ],
        ),
      )
      if (added === 0) throw new SecretExists(input.name)
      return infoOf(row)
    },
    async update({ name, ...parts }) {
      return db.write(async (tx) => {
        const before = await find(name, tx)
        const checked = checkSecretParts(completed(parts, before))
        refuseMove(before, checked)
        const row = rowOf(name, { ...checked, ...endpointOf(before) }, before.created_ms)
        await tx.run(
          'UPDATE secret SET identity = ?, sealed = ?, region = ?, details = ?, updated_ms = ? WHERE name = ?',
          [row.identity, row.sealed, row.region, row.details, row.updated_ms, name],
        )
        return infoOf(row)
      })
    },
    async list() {
      return (await db.all<SecretRow>('SELECT * FROM secret ORDER BY name')).map(infoOf)
    },
    async inspect(name) {
      return infoOf(await find(name))
    },
    async delete(name) {
      const gone = await db.write((tx) => tx.run('DELETE FROM secret WHERE name = ?', [name]))
      if (gone === 0) throw new SecretNotFound(name)
    },
    open: (name) => openKeptSecret(db, box, name),
  }
}

async function findSecret(db: Pick<Database, 'get'>, name: string): Promise<SecretRow> {
  const row = await db.get<SecretRow>('SELECT * FROM secret WHERE name = ?', [name])
  if (!row) throw new SecretNotFound(name)
  return row
}

/** A secret of a database that is only read. Throws SecretNotFound; Corrupt if it was sealed under another key. */
export async function openKeptSecret(db: Pick<Database, 'get'>, box: SecretBox, name: string): Promise<OpenSecret> {
  const row = await findSecret(db, name)
  const secret = box.open(row.sealed, sealedWith(row.kind, name, row.identity), `secret ${name}`)
  const info = infoOf(row)
  return { info, credentials: credentialsOf(info, secret) }
}

/** A secret that is kept nowhere: of its parts, as they are given. Throws InvalidInput that lists what is wrong. */
export function secretOfParts(name: string, parts: SecretParts, nowMs: number): OpenSecret {
  const { kind, identity, sealed, endpoint, region, details } = checkSecretParts(parts)
  const info = infoOf({
    name,
    kind,
    identity,
    sealed: Buffer.alloc(0),
    endpoint: endpoint ?? null,
    region: region ?? null,
    details: JSON.stringify(details),
    created_ms: nowMs,
    updated_ms: nowMs,
  })
  return { info, credentials: credentialsOf(info, sealed) }
}

/** What is not given anew stays, except the secret part. */
function completed(parts: SecretParts, before: SecretRow): SecretParts {
  const kind = parts.kind ?? before.kind
  switch (kind) {
    case 's3':
      return { accessKeyId: before.identity, region: before.region ?? undefined, ...given(parts), kind }
    case 'gcs':
      return { ...given(parts), kind }
    case 'azure':
      return {
        ...(parts.connectionString === undefined ? { account: before.identity } : {}),
        ...given(parts),
        kind,
      }
  }
}

function given(parts: SecretParts): SecretParts {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined))
}

function endpointOf({ endpoint }: SecretRow): { endpoint?: string } {
  return endpoint === null ? {} : { endpoint }
}

/** Pipelines refer to a secret by its name, and their URLs were checked against where it belongs. */
function refuseMove(before: SecretRow, after: CheckedSecret): void {
  const problems: string[] = []
  if (after.kind !== before.kind) {
    problems.push(`it is for ${SERVICES[before.kind]}, these parts are for ${SERVICES[after.kind]}`)
  } else {
    const isOwn = after.named !== undefined && after.endpoint === undefined && before.endpoint === undefined
    const named = after.named ?? after.endpoint
    if (named !== undefined && named !== before.endpoint && !isOwn) {
      problems.push(`its endpoint stays ${before.endpoint ?? "the service's own"}`)
    }
    if (after.kind === 'azure' && after.identity !== before.identity) {
      problems.push(`its storage account stays ${before.identity}`)
    }
  }
  if (problems.length === 0) return
  throw new InvalidInput(`secret ${before.name} can't be moved: ${problems.join('; ')}; make another secret`, {
    problems,
  })
}

function infoOf(row: SecretRow): SecretInfo {
  const details = JSON.parse(row.details) as SecretDetails
  const common = {
    name: row.name,
    ...endpointOf(row),
    createdMs: row.created_ms,
    updatedMs: row.updated_ms,
  }
  switch (row.kind) {
    case 's3':
      return {
        ...common,
        kind: 's3',
        accessKeyId: row.identity,
        ...(row.region === null ? {} : { region: row.region }),
      }
    case 'gcs': {
      const { privateKeyId } = details
      return { ...common, kind: 'gcs', clientEmail: row.identity, ...(privateKeyId ? { privateKeyId } : {}) }
    }
    case 'azure': {
      const { signsWith = 'account key', expiresMs } = details
      return {
        ...common,
        kind: 'azure',
        account: row.identity,
        signsWith,
        ...(expiresMs === undefined ? {} : { expiresMs }),
      }
    }
  }
}

function credentialsOf(info: SecretInfo, secret: string): Credentials {
  switch (info.kind) {
    case 's3': {
      const { kind, accessKeyId, region } = info
      return { kind, accessKeyId, secretAccessKey: secret, ...(region === undefined ? {} : { region }) }
    }
    case 'gcs': {
      const { kind, clientEmail, privateKeyId } = info
      return { kind, clientEmail, privateKey: secret, ...(privateKeyId === undefined ? {} : { privateKeyId }) }
    }
    case 'azure': {
      const { kind, account, signsWith } = info
      return { kind, account, signWith: signsWith === 'account key' ? { accountKey: secret } : { sas: secret } }
    }
  }
}

/** A sealed value only opens in its own row. */
function sealedWith(kind: SecretKind, name: string, identity: string): Buffer {
  return Buffer.from(JSON.stringify([kind, name, identity]))
}
