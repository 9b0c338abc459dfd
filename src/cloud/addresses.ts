import ipaddr from 'ipaddr.js'

/**
 * Addresses that only this machine or its host serve, where cloud machines also keep their credentials: what code may not be
 * able to reach by naming it as a target.
 */
const closedRanges = new Set(['loopback', 'linkLocal', 'unspecified', 'broadcast', 'multicast'])

/**
 * Metadata services outside the link-local ranges: Amazon's by IPv6 and that of its pods, Google's by IPv6, Alibaba's, Azure's wire
 * server, Oracle's.
 */
const metadataAddresses = new Set([
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
])

/** Whether a target at this address needs to be allowed by name. Anything that is not an address does. */
export function isClosed(address: string): boolean {
  const parsed = unwrapped(address)
  return !parsed || closedRanges.has(parsed.range()) || metadataAddresses.has(parsed.toString())
}

export function isLoopback(address: string): boolean {
  return unwrapped(address)?.range() === 'loopback'
}

/** One spelling for each address. */
export function normalAddress(address: string): string | undefined {
  return unwrapped(address)?.toString()
}

/** The IPv4 address where an IPv6 one only carries it: mapped (RFC 4291), translated (RFC 6052, 6145), 6to4 (RFC 3056), compatible. */
function unwrapped(address: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const bare = address.replace(/%.*$/, '')
  if (!ipaddr.isValid(bare) || (!bare.includes(':') && !ipaddr.IPv4.isValidFourPartDecimal(bare))) return undefined
  const parsed = ipaddr.parse(bare)
  if (parsed.kind() === 'ipv4') return parsed
  const v6 = parsed as ipaddr.IPv6
  if (v6.isIPv4MappedAddress()) return v6.toIPv4Address()
  const bytes = v6.toByteArray()
  if (v6.range() === 'rfc6052' || v6.range() === 'rfc6145') return new ipaddr.IPv4(bytes.slice(12))
  if (v6.range() === '6to4') return new ipaddr.IPv4(bytes.slice(2, 6))
  const compatible = bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 15).some((byte) => byte !== 0)
  return compatible ? new ipaddr.IPv4(bytes.slice(12)) : v6
}
