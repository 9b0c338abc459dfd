import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { commitsOf } from '../shared/history.ts'
import { type Bench, bytesNamed, openBench } from '../support.ts'
import { type AwsClient, awsOn, findAws, isModern } from './aws.ts'

interface Versions {
  readonly Versions?: readonly { Key: string; VersionId: string; IsLatest: boolean; Size: number }[]
  readonly DeleteMarkers?: readonly { Key: string; VersionId: string; IsLatest: boolean }[]
}

for (const client of await findAws())
  describe(`${client.title}: versions, tags, transactions`, { skip: client.missing }, () => suite(client))

/** What S3 has beside objects, and what Sluice gives to tools that know only S3. */
function suite(client: AwsClient) {
  let bench: Bench
  let cli: ReturnType<typeof awsOn>
  const at = '--bucket master.past'
  const file = (name: string) => join(bench.folder, name)
  const read = (bucket: string, key: string) => cli.aws(`s3 cp s3://${bucket}/${key} -`)
  before(async () => {
    // A command takes long to start on a busy machine; the message of a batch must not find it committed already.
    bench = await openBench({ SLUICE_BATCH_IDLE_MS: '30000' })
    cli = awsOn(bench, client)
    await cli.aws('s3 mb s3://master.past')
  })
  after(() => bench?.close())

  const put = async (key: string, text: string) => {
    await writeFile(file('text'), text)
    return String((await cli.json(`s3api put-object ${at} --key ${key} --body text`))['VersionId'])
  }

  it('lists every version and marker, reads each, and takes a deletion back by deleting its marker', async () => {
    const one = await put('v/a', 'one')
    const two = await put('v/a', 'second')
    const gone = await cli.json(`s3api delete-object ${at} --key v/a`)
    assert.equal(gone['DeleteMarker'], true)
    assert.match(await cli.refused(`s3api head-object ${at} --key v/a`), /404/)
    const all = await cli.json<Versions>(`s3api list-object-versions ${at} --prefix v/ --page-size 1`)
    assert.deepEqual(
      all.Versions?.map(({ VersionId, IsLatest, Size }) => [VersionId, IsLatest, Size]),
      [
        [two, false, 6],
        [one, false, 3],
      ],
    )
    assert.deepEqual(
      all.DeleteMarkers?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest]),
      [[gone['VersionId'], true]],
    )
    await cli.aws(`s3api get-object ${at} --key v/a --version-id ${one} first`)
    assert.equal(await readFile(file('first'), 'utf8'), 'one')
    await cli.aws(`s3api delete-object ${at} --key v/a --version-id ${String(gone['VersionId'])}`)
    assert.equal(await read('master.past', 'v/a'), 'second')
    await cli.aws(`s3api delete-object ${at} --key v/a --version-id ${two}`)
    const back = await cli.json(`s3api head-object ${at} --key v/a`)
    assert.deepEqual([back['VersionId'], back['ContentLength']], [one, 3])
    assert.match(await cli.refused(`s3api head-object ${at} --key v/a --version-id ${two}`), /404/)
  })

  it('copies an old version over the newest one', async () => {
    const old = await put('v/copied', 'old')
    await put('v/copied', 'newer')
    const source = `master.past/v/copied?versionId=${old}`
    await cli.aws(`s3api copy-object ${at} --key v/copied --copy-source ${source}`)
    assert.equal(await read('master.past', 'v/copied'), 'old')
  })

  it('empties a bucket of every version by one delete-objects', async () => {
    await cli.aws('s3 mb s3://master.emptied')
    await writeFile(file('text'), 'x')
    for (const key of ['a', 'a', 'b'])
      await cli.aws(`s3api put-object --bucket master.emptied --key ${key} --body text`)
    await cli.aws('s3 rm s3://master.emptied/b')
    const all = await cli.json<Versions>('s3api list-object-versions --bucket master.emptied')
    const Objects = [...(all.Versions ?? []), ...(all.DeleteMarkers ?? [])].map(({ Key, VersionId }) => ({
      Key,
      VersionId,
    }))
    assert.equal(Objects.length, 4)
    await cli.aws('s3api delete-objects --bucket master.emptied --delete', JSON.stringify({ Objects, Quiet: true }))
    const left = await cli.json<Versions>('s3api list-object-versions --bucket master.emptied')
    assert.deepEqual([left.Versions, left.DeleteMarkers], [undefined, undefined])
    await cli.aws('s3 rb s3://master.emptied')
  })

  it('keeps tags of objects and of buckets', async () => {
    await writeFile(file('text'), 'tagged')
    await cli.aws(`s3api put-object ${at} --key tagged --body text --tagging stage=raw&team=a%20b`)
    const tags = async (line: string) => {
      const { TagSet } = await cli.json<{ TagSet: { Key: string; Value: string }[] }>(line)
      return Object.fromEntries(TagSet.map(({ Key, Value }) => [Key, Value]))
    }
    assert.deepEqual(await tags(`s3api get-object-tagging ${at} --key tagged`), { stage: 'raw', team: 'a b' })
    await cli.aws(`s3api put-object-tagging ${at} --key tagged --tagging`, 'TagSet=[{Key=stage,Value=clean}]')
    await cli.aws('s3 cp s3://master.past/tagged s3://master.past/tagged.copy')
    assert.deepEqual(await tags(`s3api get-object-tagging ${at} --key tagged.copy`), { stage: 'clean' })
    await cli.aws(`s3api delete-object-tagging ${at} --key tagged`)
    assert.deepEqual(await tags(`s3api get-object-tagging ${at} --key tagged`), {})
    assert.equal(await read('master.past', 'tagged'), 'tagged')
    assert.match(await cli.refused(`s3api get-bucket-tagging ${at}`), /NoSuchTagSet/)
    await cli.aws(`s3api put-bucket-tagging ${at} --tagging`, 'TagSet=[{Key=cost,Value=1}]')
    assert.deepEqual(await tags(`s3api get-bucket-tagging ${at}`), { cost: '1' })
  })

  it('tells the attributes of an object that came in parts', async () => {
    await writeFile(file('large'), bytesNamed('attributes', 17 * 1024 * 1024))
    await cli.aws('s3 cp large s3://master.past/large')
    const wanted = '--object-attributes ETag ObjectSize StorageClass ObjectParts'
    const told = await cli.json<{
      ETag: string
      ObjectSize: number
      ObjectParts: { TotalPartsCount?: number; PartsCount?: number }
    }>(`s3api get-object-attributes ${at} --key large ${wanted}`)
    assert.match(told.ETag, /^[0-9a-f]{32}-3$/)
    assert.equal(told.ObjectSize, 17 * 1024 * 1024)
    assert.equal(told.ObjectParts.TotalPartsCount, 3)
  })

  it('keeps CORS rules, and answers a browser by them', async () => {
    const CORSRules = [{ AllowedOrigins: ['https://app.example'], AllowedMethods: ['GET'], MaxAgeSeconds: 60 }]
    assert.match(await cli.refused(`s3api get-bucket-cors ${at}`), /NoSuchCORSConfiguration/)
    await cli.aws(`s3api put-bucket-cors ${at} --cors-configuration`, JSON.stringify({ CORSRules }))
    assert.deepEqual(await cli.json(`s3api get-bucket-cors ${at}`), { CORSRules })
    const ask = (origin: string) =>
      fetch(`${bench.server.s3Url}/master.past/large`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'GET' },
      })
    assert.equal((await ask('https://app.example')).headers.get('access-control-allow-origin'), 'https://app.example')
    assert.equal((await ask('https://other.example')).status, 403)
    await cli.aws(`s3api delete-bucket-cors ${at}`)
    assert.equal((await ask('https://app.example')).status, 403)
  })

  it('answers what tools ask a bucket for before they begin', async () => {
    const unset: Readonly<Record<string, RegExp>> = {
      'get-bucket-lifecycle-configuration': /NoSuchLifecycleConfiguration/,
      'get-bucket-policy': /NoSuchBucketPolicy/,
      'get-public-access-block': /NoSuchPublicAccessBlockConfiguration/,
      'get-object-lock-configuration': /ObjectLockConfigurationNotFound/,
    }
    for (const [probe, answer] of Object.entries(unset)) assert.match(await cli.refused(`s3api ${probe} ${at}`), answer)
    assert.deepEqual(await cli.json(`s3api get-bucket-request-payment ${at}`), { Payer: 'BucketOwner' })
    const { Grants } = await cli.json<{ Grants: { Permission: string }[] }>(`s3api get-bucket-acl ${at}`)
    assert.deepEqual(
      Grants.map(({ Permission }) => Permission),
      ['FULL_CONTROL'],
    )
  })

  // Version 2 of Debian 12 does not know this operation yet.
  if (isModern(client))
    it('renames an object without copying it', async () => {
      const { ETag } = await cli.json(`s3api head-object ${at} --key large`)
      await cli.aws(`s3api rename-object ${at} --key renamed --rename-source large`)
      assert.equal((await cli.json(`s3api head-object ${at} --key renamed`))['ETag'], ETag)
      assert.match(await cli.refused(`s3api head-object ${at} --key large`), /404/)
    })

  it('loads by a transaction: all of it at once, with a message, or nothing', async () => {
    await cli.aws('s3 mb s3://master.loads')
    await cli.piped('before', 's3 cp - s3://master.loads/kept')
    await cli.aws('s3 mb s3://tx-load.master.loads')
    await cli.piped('1', 's3 cp - s3://tx-load.master.loads/in/1')
    await cli.piped('2', 's3 cp - s3://tx-load.master.loads/in/2')
    assert.equal(await read('tx-load.master.loads', 'kept'), 'before')
    assert.equal((await cli.refused('s3 ls s3://master.loads/in/')).trim(), '')
    await cli.piped('load of today', 's3 cp - s3://tx-load.master.loads/.sluice/commit')
    assert.equal(await read('master.loads', 'in/2'), '2')
    const [newest, ...older] = await commitsOf(bench, 'loads')
    assert.deepEqual([newest?.message, newest?.files, older.length], ['load of today', 3, 1])
    assert.match(await cli.refused('s3 ls s3://tx-load.master.loads'), /NoSuchBucket/)

    await cli.aws('s3 mb s3://tx-dropped.master.loads')
    await cli.piped('never', 's3 cp - s3://tx-dropped.master.loads/never')
    await cli.aws('s3 rb s3://tx-dropped.master.loads')
    assert.match(await cli.refused('s3api head-object --bucket master.loads --key never'), /404/)
  })

  it('refuses a transaction that meets another change of the same file, and keeps it open', async () => {
    await cli.aws('s3 mb s3://tx-late.master.loads')
    await cli.piped('mine', 's3 cp - s3://tx-late.master.loads/kept')
    await cli.piped('theirs', 's3 cp - s3://master.loads/kept')
    await writeFile(file('text'), 'too late')
    const said = await cli.refused('s3 cp text s3://tx-late.master.loads/.sluice/commit')
    assert.match(said, /kept/)
    assert.equal(await read('master.loads', 'kept'), 'theirs')
    assert.equal(await read('tx-late.master.loads', 'kept'), 'mine')
  })

  it('ends a batch with a message', async () => {
    await cli.piped('x', 's3 cp - s3://master.loads/more')
    await cli.piped('that was all', 's3 cp - s3://master.loads/.sluice/commit')
    assert.equal((await commitsOf(bench, 'loads'))[0]?.message, 'that was all')
  })
}
