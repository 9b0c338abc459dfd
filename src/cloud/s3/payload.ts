import { isLoopback } from '../addresses.ts'

/** SigV4: the signature says nothing about the body. */
export const UNSIGNED = 'UNSIGNED-PAYLOAD'

/**
 * Whether nobody stands between who could change a body on its way: TLS, or this machine's own loopback. There its SHA-256, which costs
 * more than all else of a large part, is left out of the signature; its MD5 is signed with the headers all the same.
 */
export function isPrivateLine(url: Pick<URL, 'protocol' | 'hostname'>): boolean {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return url.protocol === 'https:' || host === 'localhost' || isLoopback(host)
}
