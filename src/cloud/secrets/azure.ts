import { defaultAzureEndpoint, isAccountName, parseAzureEndpoint } from '../urls/azure.ts'
import { readEndpoint } from './endpoint.ts'
import type { CheckedSecret, SecretParts } from './parts.ts'

/** https://learn.microsoft.com/azure/storage/common/storage-use-azurite: the one account of the emulator, whose key is public. */
const EMULATOR = {
  account: 'devstoreaccount1',
  accountKey: 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
  endpoint: 'http://127.0.0.1:10000/devstoreaccount1',
}

interface AccountParts {
  readonly account?: string | undefined
  readonly accountKey?: string | undefined
  readonly sas?: string | undefined
  readonly endpoint?: string | undefined
}

/** Reads the parts of a secret for Azure; what is wrong is added to `problems`, and never says what a part was. */
export function readAzure(parts: SecretParts, problems: string[]): CheckedSecret | undefined {
  const given = parts.connectionString === undefined ? parts : fromConnectionString(parts, problems)
  if (given === undefined) return undefined
  const { account, accountKey, sas } = given
  if (account === undefined || !isAccountName(account)) {
    problems.push('its account is the name of a storage account: 3 to 24 lower-case letters and digits')
  }
  if ((accountKey === undefined) === (sas === undefined)) {
    problems.push(
      'it has either an account key or a shared access signature (or a connection string that has one of them)',
    )
  }
  if (accountKey !== undefined && !isKey(accountKey))
    problems.push('its account key is not as Azure shows it: base64, 88 characters as a rule')
  const signature = sas === undefined ? undefined : readSignature(sas, problems)
  if (account === undefined || !isAccountName(account)) return undefined
  const named = readEndpoint(given.endpoint, problems, (text) => parseAzureEndpoint(text, account))
  // What it is anyway is not said again.
  const endpoint = named === defaultAzureEndpoint(account) ? undefined : named
  const common = {
    kind: 'azure',
    identity: account,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(named === undefined ? {} : { named }),
  } as const
  if (accountKey !== undefined) return { ...common, sealed: accountKey, details: { signsWith: 'account key' } }
  if (signature === undefined) return undefined
  const { text, expiresMs } = signature
  return {
    ...common,
    sealed: text,
    details: { signsWith: 'shared access signature', ...(expiresMs === undefined ? {} : { expiresMs }) },
  }
}

function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{20,}={0,2}$/.test(text) && text.length <= 1024 && text.length % 4 === 0
}

/** What may stand in a connection string and says nothing about blobs. */
const irrelevant = new Set(['queueendpoint', 'tableendpoint', 'fileendpoint', 'blobsecondaryendpoint'])

/** https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string */
function fromConnectionString(parts: SecretParts, problems: string[]): AccountParts | undefined {
  const { connectionString = '', endpoint, ...others } = parts
  const doubled = (['account', 'accountKey', 'sas'] as const).filter((part) => others[part] !== undefined)
  if (doubled.length > 0) problems.push(`a connection string goes without ${doubled.join(' and ')}`)
  const fields = new Map<string, string>()
  for (const field of connectionString.trim().split(';')) {
    if (field.trim() === '') continue
    const at = field.indexOf('=')
    const name = field.slice(0, Math.max(at, 0)).trim().toLowerCase()
    if (!connectionFields.has(name) && !irrelevant.has(name)) {
      problems.push('its connection string has a part that is not known; copy it as a whole from the portal')
      return undefined
    }
    fields.set(name, field.slice(at + 1).trim())
  }
  const ofEmulator = fields.get('usedevelopmentstorage')
  if (ofEmulator !== undefined) {
    if (ofEmulator.toLowerCase() !== 'true' || fields.size > 1) {
      problems.push('its connection string names the emulator: write UseDevelopmentStorage=true alone')
      return undefined
    }
    return { ...EMULATOR, endpoint: endpoint ?? EMULATOR.endpoint }
  }
  const named = fields.get('blobendpoint')
  const account = fields.get('accountname') ?? accountOf(named)
  const sas = fields.get('sharedaccesssignature')
  const accountKey = fields.get('accountkey')
  return { account, accountKey, sas, endpoint: endpoint ?? named ?? fromSuffix(account, fields) }
}

const connectionFields = new Set([
  'usedevelopmentstorage',
  'defaultendpointsprotocol',
  'accountname',
  'accountkey',
  'sharedaccesssignature',
  'endpointsuffix',
  'blobendpoint',
])

/** The account of an endpoint that begins or ends with it. */
function accountOf(endpoint: string | undefined): string | undefined {
  return endpoint === undefined
    ? undefined
    : (/^https?:\/\/[^/]+\/([a-z0-9]{3,24})\/?$/i.exec(endpoint)?.[1] ??
        /^https?:\/\/([a-z0-9]{3,24})\.(?:z\d+\.)?blob\./i.exec(endpoint)?.[1])
}

function fromSuffix(account: string | undefined, fields: ReadonlyMap<string, string>): string | undefined {
  const suffix = fields.get('endpointsuffix')
  if (account === undefined || suffix === undefined) return undefined
  return `${fields.get('defaultendpointsprotocol') ?? 'https'}://${account}.blob.${suffix}`
}

/**
 * A shared access signature as a query without its `?`, and its end.
 * https://learn.microsoft.com/rest/api/storageservices/create-service-sas, …/create-account-sas
 */
function readSignature(text: string, problems: string[]): { text: string; expiresMs?: number } | undefined {
  const query = text.trim().replace(/^\?/, '')
  const before = problems.length
  if (!/^[\x21-\x7e]{1,4096}$/.test(query) || /[#?]/.test(query)) {
    problems.push('its shared access signature is not a query: copy the SAS token, which begins with sv= or ?sv=')
    return undefined
  }
  const fields = new URLSearchParams(query)
  if (!fields.get('sig')) problems.push('its shared access signature has no sig=: copy the whole of the SAS token')
  const permissions = fields.get('sp')
  if (permissions !== null && !permissions.includes('w')) {
    problems.push(
      'its shared access signature allows no writing: make one with read, write, delete, list and create (racwdl)',
    )
  }
  if (fields.get('sr') === 'b') problems.push('its shared access signature is for one blob: make one for the container')
  if (fields.has('ss') && !fields.get('ss')?.includes('b')) {
    problems.push('its shared access signature is not for the blob service: make one with ss=b')
  }
  if (fields.has('srt') && !fields.get('srt')?.includes('o')) {
    problems.push('its shared access signature is not for objects: make one with srt=sco')
  }
  const end = fields.get('se')
  const expiresMs = end === null ? undefined : Date.parse(end)
  if (expiresMs !== undefined && Number.isNaN(expiresMs)) {
    problems.push('the end of its shared access signature (se=) is not a time')
  }
  if (problems.length > before) return undefined
  return { text: query, ...(expiresMs === undefined ? {} : { expiresMs }) }
}
