import type { Target } from './target.ts'
import { parseAzure } from './urls/azure.ts'
import { refuseScheme } from './urls/elsewhere.ts'
import { parseGcs } from './urls/gcs.ts'
import { checkKind, type SecretHint } from './urls/hint.ts'
import { parseS3 } from './urls/s3.ts'
import { splitUrl } from './urls/text.ts'

/**
 * Parses a target's URL. Its `url` in normal form, parsed again with the same secret, is the same target.
 *
 * - `s3://x/y/z`: x is an endpoint if it has a port, is `localhost` or an IP, or is the host of the secret's endpoint; else it is
 *   the bucket. An endpoint in a URL is reached by https, on loopback by http; a secret's endpoint as it says.
 * - `minio://host[:port]/bucket/folder` is the same with an endpoint.
 * - `gs://bucket/folder`.
 * - `wasb[s]://container@account/folder`, also with the account's full host, and the same as `abfs[s]` and `azblob`; all of them
 *   are reached by https unless the secret says otherwise. `azblob://container/folder` takes its account from the secret.
 *
 * Throws InvalidInput that says what is wrong and what is right, and shows nothing that could be a password.
 */
export function parseTargetUrl(text: string, secret: SecretHint = {}): Target {
  const raw = splitUrl(text)
  const kind = kindOfScheme(raw.scheme)
  if (kind === undefined) throw refuseScheme(raw)
  checkKind(raw, kind, secret)
  switch (kind) {
    case 's3':
      return parseS3(raw, secret)
    case 'gcs':
      return parseGcs(raw, secret)
    case 'azure':
      return parseAzure(raw, secret)
  }
}

/** Which service a URL is of, by its scheme alone: to say what credentials it needs. Undefined for what is the URL of none. */
export function kindOfUrl(text: string): Target['kind'] | undefined {
  return kindOfScheme(/^([A-Za-z]+):\/\//.exec(text)?.[1]?.toLowerCase() ?? '')
}

function kindOfScheme(scheme: string): Target['kind'] | undefined {
  switch (scheme) {
    case 's3':
    case 'minio':
      return 's3'
    case 'gs':
      return 'gcs'
    case 'wasb':
    case 'wasbs':
    case 'abfs':
    case 'abfss':
    case 'azblob':
      return 'azure'
    default:
      return undefined
  }
}
