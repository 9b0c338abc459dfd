import assert from 'node:assert/strict'
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { followGuide, guideFile } from '../shared/guides.ts'
import { commitsOf } from '../shared/history.ts'
import { filesIn, ODD_NAMES, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, missingTool, openBench } from '../support.ts'
import { type AwsClient, awsOn, findAws, isModern } from './aws.ts'

for (const client of await findAws()) describe(`${client.title}: aws s3`, { skip: client.missing }, () => suite(client))

/** The high-level commands: what people type. */
function suite(client: AwsClient) {
  let bench: Bench
  let cli: ReturnType<typeof awsOn>
  const file = (name: string) => join(bench.folder, name)
  before(async () => {
    bench = await openBench()
    cli = awsOn(bench, client)
    await cli.aws('s3 mb s3://master.box')
  })
  after(() => bench?.close())

  // An older one needs --endpoint-url, as the guide says.
  if (isModern(client)) it('does what its guide says', () => followGuide(bench, 'aws-cli'))

  it('sends 40 MiB in parts and gets them back byte for byte', async () => {
    const large = bytesNamed('large', 40 * 1024 * 1024)
    await writeFile(file('large'), large)
    await cli.aws('s3 cp large s3://master.box/dir/large')
    const { ETag } = await cli.json<{ ETag: string }>('s3api head-object --bucket master.box --key dir/large')
    assert.match(ETag, /^"[0-9a-f]{32}-5"$/)
    await cli.aws('s3 cp s3://master.box/dir/large large.back')
    assert.ok((await readFile(file('large.back'))).equals(large))
    await cli.aws('s3 mv s3://master.box/dir/large s3://master.box/moved/large')
    await cli.aws('s3 cp s3://master.box/moved/large large.moved')
    assert.ok((await readFile(file('large.moved'))).equals(large))
    assert.equal((await cli.refused('s3 cp s3://master.box/dir/large gone')).includes('404'), true)
  })

  it('copies from and to a pipe', async () => {
    await cli.piped('through a pipe', 's3 cp - s3://master.box/piped')
    assert.equal(await cli.aws('s3 cp s3://master.box/piped -'), 'through a pipe')
    await cli.piped('', 's3 cp - s3://master.box/empty')
    assert.equal(await cli.aws('s3 cp s3://master.box/empty -'), '')
    const long = bytesNamed('pipe', 17 * 1024 * 1024)
    await cli.piped(long, 's3 cp - s3://master.box/long --expected-size 17825792')
    await cli.aws('s3 cp s3://master.box/long long.back')
    assert.ok((await readFile(file('long.back'))).equals(long))
  })

  it('syncs only what changed, deletes what is gone, and syncs back', async () => {
    await mkdir(file('tree/sub'), { recursive: true })
    const old = new Date(Date.now() - 3_600_000)
    for (const name of ['one', 'two', 'sub/three']) {
      await writeFile(file(`tree/${name}`), name)
      await utimes(file(`tree/${name}`), old, old)
    }
    await cli.aws('s3 sync tree s3://master.box/tree')
    assert.equal((await cli.aws('s3 sync tree s3://master.box/tree')).trim(), '', 'a second sync sends nothing')
    await writeFile(file('tree/two'), 'changed')
    await rm(file('tree/one'))
    const said = await cli.aws('s3 sync tree s3://master.box/tree --delete')
    assert.match(said, /upload: .*two/)
    assert.match(said, /delete: .*one/)
    assert.doesNotMatch(said, /three/)
    await cli.aws('s3 sync s3://master.box/tree back')
    assert.equal(await readFile(file('back/two'), 'utf8'), 'changed')
    assert.equal(await readFile(file('back/sub/three'), 'utf8'), 'sub/three')
  })

  it('moves up and down, and removes', async () => {
    await writeFile(file('go'), 'there')
    await cli.aws('s3 mv go s3://master.box/mv/go')
    await cli.aws('s3 mv s3://master.box/mv/go s3://master.box/mv/gone')
    await cli.aws('s3 mv s3://master.box/mv/gone home')
    assert.equal(await readFile(file('home'), 'utf8'), 'there')
    assert.equal((await cli.refused('s3 ls s3://master.box/mv/')).trim(), '')
    await cli.aws('s3 cp home s3://master.box/rm/a')
    await cli.aws('s3 cp home s3://master.box/rm/b/c')
    await cli.aws('s3 cp home s3://master.box/rm-not')
    await cli.aws('s3 rm s3://master.box/rm/ --recursive')
    assert.match(await cli.aws('s3 ls s3://master.box/'), /rm-not/)
    assert.doesNotMatch(await cli.aws('s3 ls s3://master.box/'), /PRE rm\//)
  })

  it('lists buckets, folders, everything, and sums it up', async () => {
    await cli.aws('s3 cp - s3://master.box/list/a/1', '--expected-size=1').catch(() => undefined)
    await writeFile(file('x'), '12345')
    for (const key of ['list/a/1', 'list/a/2', 'list/b']) await cli.aws(`s3 cp x s3://master.box/${key}`)
    assert.match(await cli.aws('s3 ls'), / master\.box\n/)
    const top = await cli.aws('s3 ls s3://master.box/list/')
    assert.match(top, /PRE a\//)
    assert.match(top, / 5 b\n/)
    const all = await cli.aws('s3 ls s3://master.box/list/ --recursive --summarize')
    assert.match(all, /Total Objects: 3/)
    assert.match(all, /Total Size: 15/)
  })

  it('takes names with spaces, plus, percent, umlauts and quotes as they are', async () => {
    await writeOddNames(file('odd'))
    await cli.aws('s3 cp odd s3://master.box/odd/ --recursive')
    const { Contents } = await cli.json<{ Contents: { Key: string }[] }>(
      's3api list-objects-v2 --bucket master.box --prefix odd/',
    )
    const byBytes = ODD_NAMES.map((name) => `odd/${name}`).sort((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    )
    assert.deepEqual(
      Contents.map(({ Key }) => Key),
      byBytes,
    )
    await cli.aws('s3 cp s3://master.box/odd/ odd.back --recursive')
    assert.deepEqual(await filesIn(file('odd.back')), await filesIn(file('odd')))
    await cli.aws('s3 mv s3://master.box/odd/ s3://master.box/odder/ --recursive')
    for (const name of ['größe/ß', '%2F'])
      assert.equal(await cli.aws('s3 cp', `s3://master.box/odder/${name}`, '-'), name)
    await cli.aws('s3 rm s3://master.box/odder/ --recursive')
    assert.equal((await cli.refused('s3 ls s3://master.box/odd')).trim(), '')
  })

  it('makes one commit of a recursive copy, of a sync, and of a removal', async () => {
    await writeFolder(file('bulk'), 120)
    await cli.aws('s3 mb s3://master.bulk')
    const expectNewest = async (count: number, files: number) => {
      const commits = await commitsOf(bench, 'bulk')
      assert.deepEqual([commits.length, commits[0]?.files], [count, files])
      return commits[0]?.id
    }
    await cli.aws('s3 cp bulk s3://master.bulk/ --recursive')
    const first = await expectNewest(1, 120)
    await writeFile(file('bulk/new'), 'new')
    await rm(file('bulk/d1'), { recursive: true })
    await cli.aws('s3 sync bulk s3://master.bulk --delete --size-only')
    await expectNewest(2, 97)
    await cli.aws('s3 rm s3://master.bulk --recursive --exclude * --include d2/*')
    await expectNewest(3, 73)
    // What was removed is in the first commit: it is copied back on the server.
    await cli.aws(`s3 sync s3://${first}.bulk s3://master.bulk --size-only`)
    await expectNewest(4, 121)
    await cli.aws(`s3 cp s3://${first}.bulk/ bulk.back --recursive`)
    await rm(file('bulk/new'))
    const kept = await filesIn(file('bulk'))
    const back = await filesIn(file('bulk.back'))
    assert.equal(Object.keys(back).length, 120)
    assert.deepEqual(Object.fromEntries(Object.keys(kept).map((name) => [name, back[name]])), kept)
  })

  it('presigns by SigV4, and refuses the old SigV2 with a hint', async (t) => {
    const noCurl = await missingTool('curl', ['--version'])
    if (noCurl) return t.skip(noCurl)
    await cli.piped('by link', 's3 cp -', 's3://master.box/signed file')
    await writeFile(file('v4'), guideFile('aws-cli', '~/.aws/config', bench.server))
    await writeFile(file('v2'), '[default]\ns3 =\n  signature_version = s3\n')
    const presign = async (config: string) =>
      (await cli.awsWith({ AWS_CONFIG_FILE: file(config) }, 's3 presign', 's3://master.box/signed file')).trim()
    const url = await presign('v4')
    assert.match(url, /X-Amz-Signature=/)
    assert.equal(await bench.ok('curl', ['-sS', '--fail', url]), 'by link')
    assert.match(await bench.ok('curl', ['-sS', url.replace('signed', 'other')]), /SignatureDoesNotMatch/)
    const old = await presign('v2')
    if (old.includes('X-Amz-Signature')) return t.diagnostic('this CLI does not make SigV2 links any more')
    assert.match(await bench.ok('curl', ['-sS', old]), /s3v4/)
  })

  it('removes a bucket only when it is empty', async () => {
    await cli.aws('s3 mb s3://branch.tmp')
    await writeFile(file('y'), 'y')
    await cli.aws('s3 cp y s3://branch.tmp/y')
    assert.match(await cli.refused('s3 rb s3://branch.tmp'), /BucketNotEmpty/)
    await cli.aws('s3 rm s3://branch.tmp/y')
    await cli.aws('s3 rb s3://branch.tmp')
    assert.doesNotMatch(await cli.aws('s3 ls'), /branch\.tmp/)
    assert.match(await cli.refused('s3 ls s3://branch.tmp'), /NoSuchBucket/)
  })

  it('refuses a wrong secret and an unknown key, and nothing is visible', async () => {
    await writeFile(file('secret'), 'no')
    const wrong = { AWS_SECRET_ACCESS_KEY: 'x'.repeat(40) }
    assert.match(await cli.refusedWith(wrong, 's3 cp secret s3://master.box/never'), /SignatureDoesNotMatch/)
    assert.match(await cli.refusedWith({ AWS_ACCESS_KEY_ID: 'NOBODY' }, 's3 ls'), /InvalidAccessKeyId/)
    assert.match(await cli.refused('s3api head-object --bucket master.box --key never'), /404/)
  })

  it('says which bucket names are allowed and names the nearest one', async () => {
    const said = await cli.refused('s3 mb s3://master.word_count')
    assert.match(said, /InvalidBucketName/)
    assert.match(said, /word-count/)
  })
}
