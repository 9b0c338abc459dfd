/**
 * The bucket that a Host header names below one of the configured domains: `master.images.s3.example.com:9000` is the bucket
 * `master.images` of `s3.example.com`. Undefined for the domains themselves and for every other host: there the path begins with it.
 * Only the header that is signed counts; what proxies add to say what it was before is not looked at.
 */
export function bucketOfHost(host: string | undefined, domains: readonly string[]): string | undefined {
  if (host === undefined || domains.length === 0) return undefined
  const name = host.toLowerCase().replace(/:\d{1,5}$/, '')
  if (domains.includes(name)) return undefined
  let best: string | undefined
  for (const domain of domains) {
    if (!name.endsWith(`.${domain}`)) continue
    // Of two domains, one below the other, the longer one leaves the shorter bucket.
    const bucket = name.slice(0, -domain.length - 1)
    if (bucket !== '' && (best === undefined || bucket.length < best.length)) best = bucket
  }
  return best
}
