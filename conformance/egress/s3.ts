/** What S3 buckets hold, by the AWS SDK. */
import { GetObjectCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3'
import type { Server } from '../server.ts'
import { sha256 } from '../support.ts'

export const connect = (server: Server) =>
  new S3Client({
    endpoint: server.s3Url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: server.credentials,
    maxAttempts: 1,
  })

/** What a bucket holds below a prefix: path → SHA-256 and time of the last change. */
export async function contents(s3: S3Client, Bucket: string, Prefix = '') {
  const found = new Map<string, { hash: string; changed: number }>()
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket, Prefix })) {
    for (const { Key = '', LastModified } of page.Contents ?? []) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
      const hash = sha256(Buffer.from((await Body?.transformToByteArray()) ?? []))
      found.set(Key.slice(Prefix.length), { hash, changed: LastModified?.getTime() ?? 0 })
    }
  }
  return found
}

/** Path → SHA-256, in order of path: what two stores hold is the same if these are deeply equal. */
export const hashes = (found: Awaited<ReturnType<typeof contents>>): Record<string, string> =>
  Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, { hash }]) => [path, hash]))
