import type { InvalidInput } from '../../kernel/index.ts'
import { clean, invalid, type RawUrl } from './text.ts'

const known = 's3://, minio://, gs://, wasb[s]://, abfs[s]:// and azblob:// are'

/** What other tools call the same places. */
const sameAs: Readonly<Record<string, string>> = {
  s3a: 's3',
  s3n: 's3',
  gcs: 'gs',
  az: 'azblob',
  azure: 'azblob',
  adl: 'abfss',
}

/** A URL whose scheme is no target's, with the right form of what was most likely meant. */
export function refuseScheme({ text, scheme, segments }: RawUrl): InvalidInput {
  const other = Object.hasOwn(sameAs, scheme) ? sameAs[scheme] : undefined
  if (other !== undefined) {
    return invalid(text, `is another tool's way to write it: write ${clean(`${other}://${segments.join('/')}`)}`)
  }
  const right = scheme === 'http' || scheme === 'https' ? ofWebAddress(segments) : undefined
  if (right !== undefined) return invalid(text, `is a web address, not a place of a store: write ${clean(right)}`)
  return invalid(text, `has a scheme that is not known: ${known}`)
}

/** The place of a store that a web address leads to. */
function ofWebAddress([first = '', ...path]: readonly string[]): string | undefined {
  const host = first.toLowerCase()
  if (!/^[a-z0-9.-]+(?::\d{1,5})?$/.test(host) || !host.includes('.')) return undefined
  const azure = /^([a-z0-9]+)\.(?:blob|dfs)\.[a-z0-9.-]+$/.exec(host)
  if (azure) return `wasbs://${[`${path[0] || 'container'}@${host}`, ...path.slice(1)].join('/')}`
  if (host === 'storage.googleapis.com' || host === 'storage.cloud.google.com') {
    return `gs://${path.join('/') || 'bucket'}`
  }
  const google = /^(.+)\.storage\.googleapis\.com$/.exec(host)
  if (google) return `gs://${[google[1], ...path].join('/')}`
  const amazon = /^(?:(.+)\.)?s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?$/.exec(host)
  if (amazon) return `s3://${(amazon[1] === undefined ? path : [amazon[1], ...path]).join('/') || 'bucket'}`
  return `s3://${[host.includes(':') ? host : `${host}:443`, ...path].join('/')}`
}
