import { isIP } from 'node:net'
import { InvalidInput } from '../../kernel/index.ts'
import { isLoopback } from '../addresses.ts'
import { clean } from './text.ts'

export interface Host {
  /** Lower case; an IPv6 address without brackets. */
  readonly name: string
  readonly port: number | undefined
}

/** A host with or without a port; undefined for what is none. */
export function parseHost(text: string): Host | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text)
  if (!match) return undefined
  const [, v6, name, port] = match
  if (v6 !== undefined && isIP(v6) !== 6) return undefined
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined
  return { name: (v6 ?? name!).toLowerCase(), port: port === undefined ? undefined : Number(port) }
}

export function endpointUrl(scheme: 'http' | 'https', { name, port }: Host): string {
  const host = isIP(name) === 6 ? `[${name}]` : name
  const isDefault = port === undefined || port === (scheme === 'http' ? 80 : 443)
  return isDefault ? `${scheme}://${host}` : `${scheme}://${host}:${port}`
}

/** Whether a host can be told from a bucket without a port or a secret. */
export function isPlainlyHost(name: string): boolean {
  return name === 'localhost' || isIP(name) !== 0
}

/** Whether a host, as it stands in an endpoint, is this machine without asking a name server. */
export function isLoopbackName(name: string): boolean {
  return name === 'localhost' || isLoopback(name.replace(/^\[(.*)\]$/, '$1'))
}

/** Only of http and https URLs of a host and a port, in their normal form. Throws InvalidInput. */
export function parseEndpoint(text: string): string {
  const { scheme, host, path } = splitEndpoint(text)
  if (path !== '') throw new InvalidInput('an endpoint is written https://host[:port]', { endpoint: clean(text) })
  return endpointUrl(scheme, host)
}

/** Scheme, host and path of an endpoint. Throws InvalidInput that never shows a password. */
export function splitEndpoint(text: string): { scheme: 'http' | 'https'; host: Host; path: string } {
  const match = /^(https?):\/\/([^/?#@\s]+)(?:\/([A-Za-z0-9._-]*))?\/?$/i.exec(text)
  const host = match && parseHost(match[2]!)
  if (!host) {
    throw new InvalidInput('an endpoint is written https://host[:port], without user, path or query', {
      endpoint: clean(text),
    })
  }
  return { scheme: match[1]!.toLowerCase() as 'http' | 'https', host, path: match[3] ?? '' }
}

/** Where an endpoint's connections go. It must be one that was parsed here. */
export function hostAndPort(endpoint: string): { host: string; port: number } {
  const { hostname, port, protocol } = new URL(endpoint)
  return { host: hostname, port: Number(port === '' ? (protocol === 'http:' ? 80 : 443) : port) }
}
