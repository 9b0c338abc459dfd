import {
  type Clock,
  type Database,
  DomainError,
  InvalidInput,
  type MigrationSet,
  type SecretBox,
} from '../kernel/index.ts'
import { parseEndpoint } from './target-url.ts'

/** The tables of secrets, for `migrate`. */
export const cloudMigrations: MigrationSet = {
  floor: 'cloud',
  migrations: [
    {
      version: 1,
      up: [
        `CREATE TABLE secret (
          name TEXT PRIMARY KEY,
          kind TEXT NOT NULL CHECK (kind = 's3'),
          access_key_id TEXT NOT NULL,
          sealed BLOB NOT NULL,
          endpoint TEXT,
          region TEXT,
          created_ms INTEGER NOT NULL
        ) STRICT`,
      ],
    },
  ],
}

/** What anybody may see of a secret. */
export interface SecretInfo {
  readonly name: string
  readonly kind: 's3'
  readonly accessKeyId: string
  /** `http(s)://host[:port]`: the only place that this secret is ever used for; undefined: where the URL says. */
  readonly endpoint?: string
  readonly region?: string
  readonly createdMs: number
}

/** The whole of it, for the driver that signs with it. Never logged, never answered. */
export interface OpenSecret extends SecretInfo {
  readonly secretAccessKey: string
}

/** A secret as it is given: the only time that its key is in the clear. */
export interface SecretInput {
  readonly name: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly endpoint?: string
  readonly region?: string
}

/** Credentials for targets, by name. They are sealed (AES-256-GCM) under a key that is a file of the data folder, not in the database. */
export interface SecretStore {
  /** Throws InvalidInput that lists what is wrong; SecretExists. */
  create(input: SecretInput): Promise<SecretInfo>
  /** In order of name. */
  list(): Promise<readonly SecretInfo[]>
  /** Throws SecretNotFound. */
  inspect(name: string): Promise<SecretInfo>
  /** Throws SecretNotFound. */
  delete(name: string): Promise<void>
  /** Throws SecretNotFound; Corrupt if it was sealed under another key. */
  open(name: string): Promise<OpenSecret>
}

/** There is no such secret. */
export class SecretNotFound extends DomainError {
  readonly code = 'SecretNotFound'
  constructor(name: string) {
    super(
      `there is no secret ${JSON.stringify(name)}: make it with sluice secret create NAME --access-key … --secret-key … [--endpoint URL]`,
      { name },
    )
  }
}

/** There is a secret of this name already. */
export class SecretExists extends DomainError {
  readonly code = 'SecretExists'
  constructor(name: string) {
    super(`secret ${name} exists already; delete it first to replace it`, { name })
  }
}

interface SecretRow {
  readonly name: string
  readonly kind: 's3'
  readonly access_key_id: string
  readonly sealed: Buffer
  readonly endpoint: string | null
  readonly region: string | null
  readonly created_ms: number
}

/** Opens the secrets in `db`, which `box` keeps closed. */
export function openSecretStore(options: {
  readonly db: Database
  readonly box: SecretBox
  readonly clock: Clock
}): SecretStore {
  const { db, box, clock } = options
  const find = async (name: string): Promise<SecretRow> => {
    const row = await db.get<SecretRow>('SELECT * FROM secret WHERE name = ?', [name])
    if (!row) throw new SecretNotFound(name)
    return row
  }
  return {
    async create(input) {
      const { name, accessKeyId, secretAccessKey, endpoint, region } = checkInput(input)
      const sealed = box.seal(secretAccessKey, sealedWith(name, accessKeyId))
      const createdMs = clock.now()
      const added = await db.write((tx) =>
        tx.run(
          `INSERT INTO secret (name, kind, access_key_id, sealed, endpoint, region, created_ms)
           VALUES (?, 's3', ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
          [name, accessKeyId, sealed, endpoint ?? null, region ?? null, createdMs],
        ),
      )
      if (added === 0) throw new SecretExists(name)
      return {
        name,
        kind: 's3',
        accessKeyId,
        createdMs,
        ...(endpoint ? { endpoint } : {}),
        ...(region ? { region } : {}),
      }
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
    async open(name) {
      const row = await find(name)
      const secretAccessKey = box.open(row.sealed, sealedWith(name, row.access_key_id), `secret ${name}`)
      return { ...infoOf(row), secretAccessKey }
    },
  }
}

function infoOf(row: SecretRow): SecretInfo {
  return {
    name: row.name,
    kind: row.kind,
    accessKeyId: row.access_key_id,
    createdMs: row.created_ms,
    ...(row.endpoint === null ? {} : { endpoint: row.endpoint }),
    ...(row.region === null ? {} : { region: row.region }),
  }
}

function checkInput(input: SecretInput): SecretInput {
  const problems: string[] = []
  if (!/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/.test(input.name)) {
    problems.push(
      'its name is 1 to 63 lower-case letters, digits, dots, dashes and underscores, with a letter or digit at both ends',
    )
  }
  // It travels in an HTTP header.
  if (!/^[\x21-\x7e]{1,256}$/.test(input.accessKeyId))
    problems.push('its access key is 1 to 256 printable characters without spaces')
  if (!/^(?=\S)[^\p{Cc}]{1,1024}(?<=\S)$/u.test(input.secretAccessKey)) {
    problems.push('its secret key is 1 to 1024 characters without line breaks, and without spaces at its ends')
  }
  if (input.region && !/^[a-z0-9-]{1,64}$/.test(input.region)) problems.push('its region is written like eu-central-1')
  if (problems.length > 0) throw new InvalidInput(`the secret can't be made: ${problems.join('; ')}`, { problems })
  const endpoint = input.endpoint ? parseEndpoint(input.endpoint) : undefined
  const { name, accessKeyId, secretAccessKey, region } = input
  return { name, accessKeyId, secretAccessKey, ...(endpoint ? { endpoint } : {}), ...(region ? { region } : {}) }
}

/** A sealed value only opens in its own row. */
function sealedWith(name: string, accessKeyId: string): Buffer {
  return Buffer.from(JSON.stringify(['s3', name, accessKeyId]))
}
