/**
 * Whether a URL that somebody writes can mean the one that an egress was kept with, which is in its normal form: other schemes of
 * the same store, a slash at the end, and what the secret says (endpoint, account) and the URL leaves out.
 */
export function canMean(written: string, kept: string): boolean {
  const [said, known] = [plain(written), plain(kept)]
  return said === known || said === withoutOwner(known)
}

function plain(url: string): string {
  return url
    .replace(/\/+$/, '')
    .replace(/^minio:/, 's3:')
    .replace(/^(?:wasbs?|abfss?|azblob):/, 'wasbs:')
    .replace(/^(wasbs:\/\/[^/]*?)\.(?:blob|dfs)\.[^/]*/, '$1')
}

/** The same bucket or container, at whichever endpoint or account. */
function withoutOwner(url: string): string {
  return url.replace(/^s3:\/\/[^/]+\//, 's3://').replace(/^(wasbs:\/\/[^/@]+)@[^/]+/, '$1')
}
