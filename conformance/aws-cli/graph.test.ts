import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { headOf } from '../shared/history.ts'
import { type Bench, bytesNamed, openBench, sha256 } from '../support.ts'
import { awsOn, findAnyAws } from './aws.ts'

interface Versions {
  readonly Versions?: readonly { Key: string; VersionId: string; IsLatest: boolean; Size: number }[]
  readonly DeleteMarkers?: readonly { Key: string; IsLatest: boolean }[]
}

const client = await findAnyAws()

/** What the operations on commits and branches look like to a tool that knows only S3. */
describe(`${client.title}: restores, merges, tags, collecting`, { skip: client.missing }, () => {
  let bench: Bench
  let cli: ReturnType<typeof awsOn>
  before(async () => {
    bench = await openBench()
    cli = awsOn(bench, client)
  })
  after(() => bench?.close())

  const put = (bucket: string, key: string, text: Buffer | string) => cli.piped(text, `s3 cp - s3://${bucket}/${key}`)
  const read = (bucket: string, key: string) => cli.aws(`s3 cp s3://${bucket}/${key} -`)
  const versions = (bucket: string, key: string) =>
    cli.json<Versions>(`s3api list-object-versions --bucket ${bucket} --prefix ${key} --page-size 1`)
  const latest = ({ Versions = [], DeleteMarkers = [] }: Versions) =>
    [...Versions, ...DeleteMarkers].filter(({ IsLatest }) => IsLatest)
  /** What each version that is listed reads as, the newest first. */
  const texts = async (bucket: string, key: string) => {
    const found: string[] = []
    for (const { VersionId } of (await versions(bucket, key)).Versions ?? []) {
      await cli.aws(`s3api get-object --bucket ${bucket} --key ${key} --version-id ${VersionId} read`)
      found.push(await bench.ok('cat', ['read']))
    }
    return found
  }

  it('lists and reads every version over a restore, with the restored one as the latest', async () => {
    await cli.aws('s3 mb s3://master.restored')
    await put('master.restored', 'a', 'one')
    const first = await headOf(bench, 'restored')
    await put('master.restored', 'a', 'second')
    await put('master.restored', 'later', 'x')
    await bench.sluice(['flush', 'restored@master'])
    await bench.sluice(['restore', `restored@${first}`])
    assert.equal(await read('master.restored', 'a'), 'one')
    const [newest, ...more] = latest(await versions('master.restored', 'a'))
    const head = await cli.json('s3api head-object --bucket master.restored --key a')
    assert.deepEqual([newest && 'VersionId' in newest && newest.VersionId, more], [head['VersionId'], []])
    assert.deepEqual((await texts('master.restored', 'a')).includes('second'), true)
    assert.match(await cli.refused('s3api head-object --bucket master.restored --key later'), /404/)
  })

  it('lists what a merge brought as the latest version, and keeps the one before', async () => {
    await cli.aws('s3 mb s3://master.merged')
    await put('master.merged', 'a', 'base')
    await bench.sluice(['flush', 'merged@master'])
    await bench.sluice(['branch', 'create', 'merged@side', '--head', 'master'])
    await put('side.merged', 'a', 'from the side')
    await put('side.merged', 'new', 'x')
    await put('master.merged', 'b', 'of master')
    await bench.sluice(['merge', 'merged@master', 'side', '-m', 'both'])
    assert.equal(await read('master.merged', 'a'), 'from the side')
    assert.equal(await read('master.merged', 'b'), 'of master')
    assert.deepEqual(await texts('master.merged', 'a'), ['from the side', 'base'])
    assert.equal(latest(await versions('master.merged', 'a')).length, 1)
  })

  it('reads a tag as a bucket, and shows why it can not be written', async () => {
    await cli.aws('s3 mb s3://master.tagged')
    await put('master.tagged', 'a', 'then')
    await bench.sluice(['flush', 'tagged@master'])
    await bench.sluice(['tag', 'create', 'tagged@master', 'v1.0'])
    await put('master.tagged', 'a', 'now')
    assert.equal(await read('v1.0.tagged', 'a'), 'then')
    assert.match(await cli.aws('s3 ls s3://v1.0.tagged'), / 4 a\n$/)
    await writeFile(join(bench.folder, 'text'), 'x')
    for (const line of ['cp text s3://v1.0.tagged/b', 'rm s3://v1.0.tagged/a']) {
      assert.match(
        await cli.refused(`s3 ${line}`),
        /AccessDenied.*v1\.0\.tagged is the tag of commit .* write to a branch/s,
      )
    }
    assert.equal(await read('v1.0.tagged', 'a'), 'then')
  })

  it('shows that a protected branch takes merges only', async () => {
    await cli.aws('s3 mb s3://master.guarded')
    await put('master.guarded', 'a', 'kept')
    await bench.sluice(['branch', 'protect', 'guarded@master'])
    await writeFile(join(bench.folder, 'text'), 'x')
    for (const line of ['cp text s3://master.guarded/b', 'rm s3://master.guarded/a']) {
      assert.match(await cli.refused(`s3 ${line}`), /AccessDenied.*protected/s)
    }
    await bench.sluice(['branch', 'create', 'guarded@side', '--head', 'master'])
    await put('side.guarded', 'b', 'merged')
    await bench.sluice(['merge', 'guarded@master', 'side'])
    assert.equal(await read('master.guarded', 'b'), 'merged')
  })

  it('completes a multipart upload in the middle of which everything unused was collected', async () => {
    await cli.aws('s3 mb s3://master.collected')
    const part = bytesNamed(`collected ${client.major}`, 6 * 1024 * 1024)
    await writeFile(join(bench.folder, 'part'), part)
    const at = '--bucket master.collected --key large'
    const { UploadId } = await cli.json<{ UploadId: string }>(`s3api create-multipart-upload ${at}`)
    const send = (number: number) =>
      cli.json(`s3api upload-part ${at} --upload-id ${UploadId} --part-number ${number} --body part`)
    const sent = [await send(1)]
    await bench.sluice(['gc'])
    sent.push(await send(2))
    await bench.sluice(['gc'])
    const Parts = sent.map(({ ETag }, index) => ({ ETag, PartNumber: index + 1 }))
    const all = JSON.stringify({ Parts })
    await cli.aws(`s3api complete-multipart-upload ${at} --upload-id ${UploadId} --multipart-upload`, all)
    await bench.sluice(['gc'])
    await cli.aws(`s3api get-object ${at} read`)
    const [digest] = (await bench.ok('sha256sum', ['read'])).split(' ')
    assert.equal(digest, sha256(Buffer.concat([part, part])))
  })
})
