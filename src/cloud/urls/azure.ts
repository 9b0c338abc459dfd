import { InvalidInput } from '../../kernel/index.ts'
import type { AzureTarget } from '../target.ts'
import type { SecretHint } from './hint.ts'
import { endpointUrl, isPlainlyHost, splitEndpoint } from './host.ts'
import { checkSegments, clean, invalid, type RawUrl } from './text.ts'

/**
 * Hosts of storage accounts: Azure's own clouds and its DNS zones. Both of a container's services are the same place, and blob is
 * the one that is spoken to.
 */
const cloudHost =
  /^([a-z0-9]{3,24})\.(?:blob|dfs)\.(core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|core\.cloudapi\.de)$|^([a-z0-9]{3,24})(\.z\d{1,3})\.(?:blob|dfs)\.storage\.azure\.net$/

const DEFAULT_SUFFIX = 'core.windows.net'

/** `wasb[s]://container@account[.host][/folder]`, the same as `abfs[s]` and `azblob`; `azblob://container[/folder]` takes its account from the secret. */
export function parseAzure(raw: RawUrl, secret: SecretHint): AzureTarget {
  const { text, scheme, segments } = raw
  const [first, ...folder] = segments as [string, ...string[]]
  const parts = first.split('@')
  if (parts.length > 2 || parts[0]!.includes(':')) {
    throw invalid(
      text,
      'holds credentials, which a URL must not: name a secret instead (sluice secret create NAME --account …)',
    )
  }
  checkSegments(raw, 'container')
  const [container, host] = parts as [string, string | undefined]
  if (host === undefined && scheme !== 'azblob') {
    throw invalid(text, `names no storage account: write ${scheme}://container@account/folder`)
  }
  checkContainer(text, container, folder)
  const { account, endpoint } = host === undefined ? accountOfSecret(text, secret) : accountOf(text, host, secret)
  const place = [container, ...folder].join('/')
  const isCloud = cloudHost.test(endpoint.replace(/^https:\/\//, ''))
  const shownHost = isCloud ? endpoint.replace(/^https:\/\//, '') : account
  return {
    kind: 'azure',
    account,
    endpoint,
    bucket: container,
    folder: folder.join('/'),
    url: `wasbs://${container}@${[shownHost, ...folder].join('/')}`,
    identity: `${endpoint}/${place}`,
  }
}

/** The endpoint of a storage account where nothing else is said. */
export function defaultAzureEndpoint(account: string): string {
  return `https://${account}.blob.${DEFAULT_SUFFIX}`
}

/** A storage account's name, by Azure's rule. */
export function isAccountName(text: string): boolean {
  return /^[a-z0-9]{3,24}$/.test(text)
}

/**
 * The normal form of an account's blob endpoint: `https://account.blob.core.windows.net` and its like, or any other host. On an
 * IP address or localhost (an emulator) the account is the path, also where it was left out. Throws InvalidInput.
 */
export function parseAzureEndpoint(text: string, account: string): string {
  const { scheme, host, path } = splitEndpoint(text)
  const refuse = (what: string) => new InvalidInput(`the endpoint ${clean(text)} ${what}`, { endpoint: clean(text) })
  const cloud = cloudHost.exec(host.name)
  if (cloud) {
    if ((cloud[1] ?? cloud[3]) !== account) throw refuse(`is not that of the storage account ${account}`)
    if (scheme === 'http' || (host.port !== undefined && host.port !== 443)) {
      throw refuse(`is reached by https only: write https://${host.name}`)
    }
    if (path !== '') throw refuse(`has a path: write https://${host.name}`)
    return blobEndpoint(cloud)
  }
  if (path !== '' && path !== account) throw refuse(`has a path that is not the storage account ${account}`)
  const base = endpointUrl(scheme, host)
  return path !== '' || isPlainlyHost(host.name) ? `${base}/${account}` : base
}

function blobEndpoint([, account, suffix, zoned, zone]: RegExpExecArray): string {
  return account === undefined ? `https://${zoned}${zone}.blob.storage.azure.net` : `https://${account}.blob.${suffix}`
}

function accountOfSecret(text: string, secret: SecretHint): { account: string; endpoint: string } {
  const { account } = secret
  if (account === undefined) {
    throw invalid(
      text,
      'names no storage account: write azblob://container@account/folder, or name the secret of an account',
    )
  }
  return { account, endpoint: secret.endpoint ?? defaultAzureEndpoint(account) }
}

function accountOf(text: string, written: string, secret: SecretHint): { account: string; endpoint: string } {
  const host = written.toLowerCase()
  const cloud = cloudHost.exec(host)
  const account = cloud ? (cloud[1] ?? cloud[3]!) : host
  if (!isAccountName(account)) {
    throw invalid(
      text,
      `names a storage account that can not be one: ${clean(host)} (write container@account or container@account.blob.core.windows.net; another endpoint is named by the secret, --endpoint)`,
    )
  }
  if (secret.account !== undefined && secret.account !== account) {
    throw invalid(text, `names the storage account ${account}, but its secret is for ${secret.account} only`)
  }
  const inUrl = cloud ? blobEndpoint(cloud) : undefined
  if (inUrl !== undefined && secret.endpoint !== undefined && inUrl !== secret.endpoint) {
    throw invalid(
      text,
      `names the endpoint ${inUrl}, but its secret is for ${secret.endpoint} only (--endpoint says which)`,
    )
  }
  return { account, endpoint: inUrl ?? secret.endpoint ?? defaultAzureEndpoint(account) }
}

/** https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
function checkContainer(text: string, container: string, folder: readonly string[]): void {
  const right =
    container === '$web' || (/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(container) && !container.includes('--'))
  if (!right) {
    throw invalid(
      text,
      `names a container that Azure does not allow (3 to 63 lower-case letters, digits and single dashes, or $web)`,
    )
  }
  const dotted = folder.find((segment) => segment.endsWith('.'))
  // Azure drops the dot, and the folder would be another one than the URL says.
  if (dotted !== undefined)
    throw invalid(text, `has a folder that ends with a dot, which Azure does not keep: ${clean(dotted)}`)
}
