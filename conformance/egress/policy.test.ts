import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { repository } from '../server.ts'
import { openPushing, type Pushing } from './pushing.ts'
import { everyStep } from './steps.ts'
import { BUCKET, missingStore, type Store, startStore } from './stores.ts'

/** The policy that docs/egress.md shows: for the folder `edges` of the bucket `results`. */
function documentedPolicy(): string {
  const page = readFileSync(join(repository, 'docs/egress.md'), 'utf8')
  const [, policy] = /^```json\n(\{\n {2}"Version".*?)^```$/ms.exec(page) ?? []
  assert.ok(policy)
  return policy
}

describe('a key with the policy of the guide', { skip: await missingStore('moto'), timeout: 200_000 }, () => {
  let store: Store
  let source: Pushing
  before(async () => {
    store = await startStore('moto')
    source = await openPushing([store])
    await iam('CreateUser', { UserName: 'sluice' })
    await iam('PutUserPolicy', { UserName: 'sluice', PolicyName: 'least', PolicyDocument: documentedPolicy() })
    // Unlike S3, moto asks for this on the bucket when several are deleted at once, and not on each of them.
    const asksOnBucket = { Effect: 'Allow', Action: 's3:DeleteObject', Resource: `arn:aws:s3:::${BUCKET}` }
    const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement: [asksOnBucket] })
    await iam('PutUserPolicy', { UserName: 'sluice', PolicyName: 'of-moto', PolicyDocument })
    const key = await iam('CreateAccessKey', { UserName: 'sluice' })
    const [accessKeyId, secretAccessKey] = ['AccessKeyId', 'SecretAccessKey'].map((name) => {
      const [, value] = new RegExp(`<${name}>([^<]+)<`).exec(key) ?? []
      assert.ok(value)
      return value
    }) as [string, string]
    const options = ['--access-key', accessKeyId, '--endpoint', `http://${store.host}`]
    await source.keepSecret('least', { options, input: secretAccessKey })
    await enforce(true)
  })
  after(async () => {
    await source?.close()
    await store?.stop()
  })

  /** Whether moto looks at signatures and policies: after so many requests. rclone comes with a key that it does not know. */
  async function enforce(on: boolean): Promise<void> {
    const url = `http://${store.host}/moto-api/reset-auth`
    const body = on ? '0' : 'inf'
    const { status } = await fetch(url, { method: 'POST', headers: { 'content-type': 'text/plain' }, body })
    assert.equal(status, 200)
  }

  /** moto tells services apart by the name in the signature, which it does not check yet. */
  async function iam(Action: string, parameters: Readonly<Record<string, string>>): Promise<string> {
    const answer = await fetch(`http://${store.host}/`, {
      method: 'POST',
      headers: { authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request' },
      body: new URLSearchParams({ Action, Version: '2010-05-08', ...parameters }),
    })
    const text = await answer.text()
    assert.equal(answer.status, 200, text)
    return text
  }

  // Not `verify`: moto takes no signature of a listing whose prefix has a slash in it.
  it('may do all that pushes ask for', async () => {
    await everyStep({
      source,
      secret: 'least',
      url: (folder) => `s3://${BUCKET}/edges/${folder}`,
      files: async (folder) => {
        await enforce(false)
        const files = await store.files(`edges/${folder}`)
        await enforce(true)
        return files
      },
    })
  })

  it('may write to no other folder, and the push says which key may not', async () => {
    const run = ['egress', 'run', 'input@master', `s3://${BUCKET}/other`, '--secret', 'least']
    assert.match(await source.sluiceFails(run), /does not let the access key .* do that in bucket results/)
  })
})
