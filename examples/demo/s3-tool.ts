/** The S3 side of the tour: by the AWS CLI where there is one, else by the AWS SDK for JavaScript. Both are ordinary S3 clients. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3'
import { type Environment, run, runCommand } from './terminal.ts'

export interface S3Tool {
  makeBucket(bucket: string): Promise<void>
  uploadFolder(folder: string, bucket: string): Promise<void>
  downloadBucket(bucket: string, folder: string): Promise<void>
  put(file: string, bucket: string, key: string): Promise<void>
  get(bucket: string, key: string, file: string): Promise<void>
  remove(bucket: string, key: string): Promise<void>
  /** User metadata, lower-case names. */
  headMetadata(bucket: string, key: string): Promise<Readonly<Record<string, string>>>
  read(bucket: string, key: string): Promise<string>
}

/** The first releases that read AWS_ENDPOINT_URL: an older one would send the commands to AWS itself. */
const firstWithEndpointUrl: Readonly<Record<string, readonly [number, number]>> = { '1': [1, 29], '2': [2, 13] }

/** The version of an AWS CLI that will do; undefined if there is none. */
export async function findAwsCli(env: Environment): Promise<string | undefined> {
  // Not installed is one of the two answers, not a fault.
  const ran = await runCommand(['aws', '--version'], { env }).catch(() => undefined)
  const found = ran?.exitCode === 0 ? /aws-cli\/(\d+)\.(\d+)\.\S+/.exec(ran.stdout + ran.stderr) : null
  const [version, major = '', minor] = found ?? []
  const first = firstWithEndpointUrl[major]
  return first && Number(minor) >= first[1] ? version : undefined
}

export function awsCli(env: Environment): S3Tool {
  const aws = (...args: string[]) => run(['aws', ...args], { env })
  return {
    makeBucket: async (bucket) => void (await aws('s3', 'mb', `s3://${bucket}`)),
    uploadFolder: async (folder, bucket) =>
      void (await aws('s3', 'cp', `${folder}/`, `s3://${bucket}/`, '--recursive', '--no-progress')),
    downloadBucket: async (bucket, folder) =>
      void (await aws('s3', 'cp', `s3://${bucket}/`, `${folder}/`, '--recursive', '--no-progress')),
    put: async (file, bucket, key) => void (await aws('s3', 'cp', file, `s3://${bucket}/${key}`, '--no-progress')),
    get: async (bucket, key, file) => void (await aws('s3', 'cp', `s3://${bucket}/${key}`, file, '--no-progress')),
    remove: async (bucket, key) => void (await aws('s3', 'rm', `s3://${bucket}/${key}`)),
    headMetadata: async (bucket, key) => {
      const { stdout } = await aws('s3api', 'head-object', '--bucket', bucket, '--key', key, '--output', 'json')
      return (JSON.parse(stdout) as { Metadata: Record<string, string> }).Metadata
    },
    read: async (bucket, key) => (await aws('s3', 'cp', `s3://${bucket}/${key}`, '-')).stdout,
  }
}

export interface Endpoint {
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export function s3Client({ url, accessKeyId, secretAccessKey }: Endpoint): S3Client {
  return new S3Client({
    endpoint: url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
}

export async function listKeys(client: S3Client, bucket: string, prefix = ''): Promise<string[]> {
  const keys: string[] = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix })) {
    for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key)
  }
  return keys
}

export async function readObject(client: S3Client, bucket: string, key: string): Promise<Buffer> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

export function awsSdk(client: S3Client): S3Tool {
  const say = (operation: string, where: string) => console.log(`$ (AWS SDK) ${operation} ${where}`)
  const put = async (file: string, bucket: string, key: string) => {
    say('PutObject', `s3://${bucket}/${key}`)
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: await readFile(file) }))
  }
  const get = async (bucket: string, key: string, file: string) => {
    say('GetObject', `s3://${bucket}/${key}`)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, await readObject(client, bucket, key))
  }
  return {
    put,
    get,
    makeBucket: async (bucket) => {
      say('CreateBucket', `s3://${bucket}`)
      await client.send(new CreateBucketCommand({ Bucket: bucket }))
    },
    uploadFolder: async (folder, bucket) => {
      for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
        const path = join(file.parentPath, file.name)
        if (file.isFile()) await put(path, bucket, relative(folder, path))
      }
    },
    downloadBucket: async (bucket, folder) => {
      for (const key of await listKeys(client, bucket)) await get(bucket, key, join(folder, key))
    },
    remove: async (bucket, key) => {
      say('DeleteObject', `s3://${bucket}/${key}`)
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
    },
    headMetadata: async (bucket, key) => {
      say('HeadObject', `s3://${bucket}/${key}`)
      const { Metadata } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }))
      console.log(`  ${JSON.stringify(Metadata)}`)
      return Metadata ?? {}
    },
    read: async (bucket, key) => {
      say('GetObject', `s3://${bucket}/${key}`)
      const text = (await readObject(client, bucket, key)).toString()
      console.log(`  ${text.trimEnd()}`)
      return text
    },
  }
}
