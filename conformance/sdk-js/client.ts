/** The AWS SDK for JavaScript as the suites use it. */
import { CreateBucketCommand, GetObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { type Bench, openBench } from '../support.ts'

/** As in its guide; what goes wrong is shown at once instead of being tried again. */
export function connect({ server }: Bench, more: S3ClientConfig = {}): S3Client {
  return new S3Client({
    endpoint: server.s3Url,
    region: 'eu-west-3',
    forcePathStyle: true,
    credentials: server.credentials,
    maxAttempts: 1,
    ...more,
  })
}

/** A server of its own, with one bucket. */
export async function openClient(Bucket: string, settings: Readonly<Record<string, string>> = {}) {
  const bench = await openBench(settings)
  const s3 = connect(bench)
  const close = async () => {
    s3.destroy()
    await bench.close()
  }
  try {
    await s3.send(new CreateBucketCommand({ Bucket }))
  } catch (error) {
    await close()
    throw error
  }
  return { bench, s3, close }
}

export async function read(s3: S3Client, Bucket: string, Key: string, VersionId?: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, ...(VersionId ? { VersionId } : {}) }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}
