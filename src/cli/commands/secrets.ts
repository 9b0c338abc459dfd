import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import type { Command } from 'commander'
import type { SecretJson } from '../../api/contract.ts'
import { errorMessage } from '../../kernel/index.ts'
import { apiPath } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { ago, details } from '../format.ts'
import { readHidden } from '../prompt.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'

/** As it comes from the command line; a secret part that is `-` is read from standard input. */
interface SecretOptions {
  readonly accessKey?: string
  readonly secretKey?: string
  readonly region?: string
  readonly serviceAccount?: string
  readonly account?: string
  readonly accountKey?: string
  readonly sas?: string
  readonly connectionString?: string
  readonly endpoint?: string
}

type Kind = SecretJson['kind']

const optionsOf: Readonly<Record<Kind, readonly (keyof SecretOptions)[]>> = {
  s3: ['accessKey', 'secretKey', 'region'],
  gcs: ['serviceAccount'],
  azure: ['account', 'accountKey', 'sas', 'connectionString'],
}

/** What has no more than a key file: far above any. */
const MAX_FILE_BYTES = 64 * 1024

const EXAMPLES = `
Secret parts that are left out or - are asked for, or read from standard input, so that they are in no shell history:
  sluice secret create results --access-key AKIA… --region eu-central-1
  sluice secret create minio   --access-key … --endpoint https://minio.example.com:9000
  sluice secret create google  --service-account key.json
  sluice secret create azure   --account mydata
  sluice secret create azure   --account mydata --sas -
  sluice secret create azure   --connection-string -`

export function addSecretCommands(program: Command, session: Session): void {
  const secret = program.command('secret').description('credentials of egress targets, by name')
  withParts(secret.command('create <name>'))
    .description('keep credentials under a name; the secret part is never shown again')
    .action(async (name: string, options: SecretOptions) => {
      const kind = kindOf(options)
      if (kind === undefined) {
        throw new UsageError(
          'say what it holds: --access-key (S3), --service-account (Google), or --account or --connection-string (Azure)',
        )
      }
      const parts = await readParts(session, kind, options, kind === 'azure' ? azurePart(options) : undefined)
      warn(session, await (await session.api()).post<SecretJson>('/v1/secrets', { name, kind, ...parts }))
      print(session, `secret ${name} created\n`)
    })
  withParts(secret.command('update <name>'))
    .description('give a secret a new secret part (rotation); what is not said stays, and pipelines go on with it')
    .action(async (name: string, options: SecretOptions) => {
      const api = await session.api()
      const before = await api.get<SecretJson>(apiPath`/v1/secrets/${name}`)
      const kind = kindOf(options) ?? before.kind
      const parts = await readParts(session, kind, options, partToAsk(before, options))
      warn(session, await api.put<SecretJson>(apiPath`/v1/secrets/${name}`, { kind, ...parts }))
      print(session, `secret ${name} updated\n`)
    })
  addShowCommands(secret, session)
  secret
    .command('delete <name>')
    .description('delete a secret that no pipeline uses')
    .action(async (name: string) => {
      await (await session.api()).delete(apiPath`/v1/secrets/${name}`)
    })
}

function withParts(command: Command): Command {
  return command
    .option('--access-key <id>', 'S3: access key id')
    .option('--secret-key <key>', 'S3: secret access key')
    .option('--region <region>', 'S3: region that requests are signed for')
    .option('--service-account <file>', 'Google: JSON key file of a service account; -: standard input')
    .option('--account <name>', 'Azure: name of the storage account')
    .option('--account-key <key>', 'Azure: key of the storage account')
    .option('--sas <token>', 'Azure: shared access signature, in place of the key')
    .option('--connection-string <string>', 'Azure: in place of account and key')
    .option('--endpoint <url>', "URL of the endpoint, if it is not the service's own")
    .addHelpText('after', EXAMPLES)
}

function addShowCommands(secret: Command, session: Session): void {
  withJson(secret.command('list').description('list the secrets')).action(async (options: JsonOption) => {
    const secrets = await (await session.api()).get<SecretJson[]>('/v1/secrets')
    printList(session, options, secrets, [
      ['NAME', (item) => item.name],
      ['KIND', (item) => item.kind],
      ['IDENTITY', identityOf],
      ['ENDPOINT', (item) => item.endpoint ?? '<none>'],
      ['REGION', (item) => (item.kind === 's3' && item.region) || '<none>'],
      ['EXPIRES', (item) => (item.kind === 'azure' && item.expires) || '<none>'],
      ['CREATED', (item) => ago(item.created, session.now())],
    ])
    if (!options.json) for (const item of secrets) warn(session, item)
  })
  withJson(secret.command('inspect <name>').description('show a secret, without its secret part')).action(
    async (name: string, options: JsonOption) => {
      const found = await (await session.api()).get<SecretJson>(apiPath`/v1/secrets/${name}`)
      if (options.json) return printJson(session, found)
      print(
        session,
        details([
          ['Name', found.name],
          ...ownDetails(found),
          ['Endpoint', found.endpoint ?? '<none>'],
          ['Created', ago(found.created, session.now())],
          ['Updated', ago(found.updated, session.now())],
        ]),
      )
      warn(session, found)
    },
  )
}

function identityOf(secret: SecretJson): string {
  switch (secret.kind) {
    case 's3':
      return secret.accessKeyId
    case 'gcs':
      return secret.clientEmail
    case 'azure':
      return `${secret.account} (${secret.signsWith})`
  }
}

function ownDetails(secret: SecretJson): readonly (readonly [string, string])[] {
  switch (secret.kind) {
    case 's3':
      return [
        ['Kind', 's3 (S3 and its like)'],
        ['Access key', secret.accessKeyId],
        ['Region', secret.region ?? '<none>'],
      ]
    case 'gcs':
      return [
        ['Kind', 'gcs (Google Cloud Storage)'],
        ['Service account', secret.clientEmail],
        ['Key', secret.privateKeyId ?? '<unknown>'],
      ]
    case 'azure':
      return [
        ['Kind', 'azure (Azure Blob Storage)'],
        ['Account', secret.account],
        ['Signs with', secret.signsWith],
        ['Expires', secret.expires ?? '<none>'],
      ]
  }
}

function warn(session: Session, secret: SecretJson): void {
  if (secret.warning !== undefined) note(session, `note: ${secret.warning}`)
}

/** The kind that the options are of; undefined if they say none. Throws UsageError where they are of several. */
function kindOf(options: SecretOptions): Kind | undefined {
  const kinds = (Object.keys(optionsOf) as Kind[]).filter((kind) =>
    optionsOf[kind].some((option) => options[option] !== undefined),
  )
  if (kinds.length < 2) return kinds[0]
  const given = kinds.map((kind) => flagOf(optionsOf[kind].find((option) => options[option] !== undefined)!))
  throw new UsageError(`${given.join(' and ')} are of different services: a secret is for one`)
}

function flagOf(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

type AzurePart = 'accountKey' | 'sas' | 'connectionString'

/** What an Azure secret signs with, where it is said. */
function azurePart(options: SecretOptions): AzurePart | undefined {
  return (['accountKey', 'sas', 'connectionString'] as const).find((part) => options[part] !== undefined)
}

function partToAsk(before: SecretJson, options: SecretOptions): AzurePart | undefined {
  const given = azurePart(options)
  if (given !== undefined || before.kind !== 'azure') return given
  return before.signsWith === 'account key' ? 'accountKey' : 'sas'
}

/** The body of the request. Only one part can be asked for, or come from standard input. */
async function readParts(
  session: Session,
  kind: Kind,
  options: SecretOptions,
  signsWith: AzurePart | undefined,
): Promise<Readonly<Record<string, string>>> {
  const { accessKey, region, account, endpoint } = options
  const common = present({ endpoint })
  switch (kind) {
    case 's3': {
      const secretAccessKey = await readPart(session, options.secretKey, 'Secret access key')
      return { ...common, ...present({ accessKeyId: accessKey, region }), secretAccessKey }
    }
    case 'gcs': {
      if (options.serviceAccount === undefined) {
        throw new UsageError('--service-account FILE is missing: the JSON key file of the service account')
      }
      return { ...common, serviceAccount: await readKeyFile(session, options.serviceAccount) }
    }
    case 'azure': {
      const part = signsWith ?? 'accountKey'
      const value = await readPart(session, options[part], azureQuestions[part])
      const others = present({
        accountKey: options.accountKey,
        sas: options.sas,
        connectionString: options.connectionString,
      })
      return { ...common, ...present({ account }), ...others, [part]: value }
    }
  }
}

const azureQuestions: Readonly<Record<AzurePart, string>> = {
  accountKey: 'Account key',
  sas: 'Shared access signature',
  connectionString: 'Connection string',
}

async function readPart(session: Session, given: string | undefined, what: string): Promise<string> {
  const value = given === undefined || given === '-' ? await readHidden(session, `${what}: `) : given
  if (value === '') throw new CliError(`the ${what.toLowerCase()} is empty: type it, or pipe it in`)
  return value
}

async function readKeyFile(session: Session, file: string): Promise<string> {
  if (file === '-' && session.stdin.isTTY)
    throw new CliError('pipe the key file in, or name it: --service-account FILE')
  const source: Readable = file === '-' ? session.stdin : createReadStream(file)
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of source as AsyncIterable<Buffer | string>) {
      const buffer = Buffer.from(piece)
      pieces.push(buffer)
      bytes += buffer.length
      if (bytes > MAX_FILE_BYTES) throw new CliError('it is far too long for a key file')
    }
  } catch (cause) {
    throw new CliError(`${file === '-' ? 'standard input' : file} can't be read: ${errorMessage(cause)}`, { cause })
  }
  return Buffer.concat(pieces).toString('utf8')
}

function present(values: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined))
}
