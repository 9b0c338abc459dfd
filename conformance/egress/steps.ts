/** All that a push asks of a store, for suites that look at what its credentials must be allowed to do. */
import assert from 'node:assert/strict'
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { headOf } from '../shared/history.ts'
import { bytesNamed } from '../support.ts'
import type { Pushing } from './pushing.ts'
import { connect, contents, hashes } from './s3.ts'

const LARGE_BYTES = 40 * 1024 * 1024

export interface Steps {
  readonly source: Pushing
  /** Of the secret with those credentials. */
  readonly secret: string
  readonly url: (folder: string) => string
  /** Path → SHA-256 of what is in that folder now. */
  readonly files: (folder: string) => Promise<Record<string, string>>
}

/**
 * Pushes two commits of a repo `input`, which it makes, in both layouts: puts, parts, copies inside the store, deletes; and compares
 * every byte. Returns the second commit. Throws where any of it is refused.
 */
export async function everyStep({ source, secret, url, files }: Steps): Promise<string> {
  const s3 = connect(source.server)
  const put = (Key: string, Body: string | Buffer) =>
    s3.send(new PutObjectCommand({ Bucket: 'master.input', Key, Body }))
  try {
    await s3.send(new CreateBucketCommand({ Bucket: 'master.input' }))
    await put('large', bytesNamed('large', LARGE_BYTES))
    await put('gone later', 'for now')
    await put('changed later', 'for now')
    const byCommit = ['--layout', 'commit', '--keep', '2', '--success']
    const push = async (commit: string) => {
      const run = ['egress', 'run', `input@${commit}`]
      await source.sluice([...run, url('plain'), '--secret', secret])
      await source.sluice([...run, url('layout'), '--secret', secret, ...byCommit])
    }
    await push(await headOf(source, 'input'))
    await put('changed later', 'changed')
    await s3.send(new DeleteObjectCommand({ Bucket: 'master.input', Key: 'gone later' }))
    const second = await headOf(source, 'input')
    await push(second)
    const expected = hashes(await contents(s3, `${second}.input`))
    assert.deepEqual(await files('plain'), expected)
    const { _SUCCESS: _, ...folder } = await files(`layout/${second}`)
    assert.deepEqual(folder, expected)
    return second
  } finally {
    s3.destroy()
  }
}
