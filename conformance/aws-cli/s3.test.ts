import assert from 'node:assert/strict'
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Bench, bytesNamed, missingTool, openBench } from '../support.ts'
import { awsOn, missingAws } from './aws.ts'

const missing = await missingAws()

/** The high-level commands: what people type. */
describe('aws s3', { skip: missing }, () => {
  let bench: Bench
  let cli: ReturnType<typeof awsOn>
  const file = (name: string) => join(bench.folder, name)
  before(async () => {
    bench = await openBench()
    cli = awsOn(bench)
    await cli.aws('s3 mb s3://master.box')
  })
  after(() => bench?.close())

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
    await bench.ok('aws', ['s3', 'cp', '-', 's3://master.box/piped'], { input: 'through a pipe' })
    assert.equal(await cli.aws('s3 cp s3://master.box/piped -'), 'through a pipe')
    await bench.ok('aws', ['s3', 'cp', '-', 's3://master.box/empty'], { input: '' })
    assert.equal(await cli.aws('s3 cp s3://master.box/empty -'), '')
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
    const names = [
      'with space',
      'plus+sign',
      '100%',
      '%2F',
      'größe/ß',
      'quote"s\'',
      'a&b<c>',
      '日本語',
      'semi;colon?q=1',
      'tilde~(paren)*!',
    ]
    await mkdir(file('odd'), { recursive: true })
    for (const name of names) {
      await writeFile(file('odd-file'), name)
      await cli.aws('s3 cp odd-file', `s3://master.box/odd/${name}`)
    }
    const { Contents } = await cli.json<{ Contents: { Key: string }[] }>(
      's3api list-objects-v2 --bucket master.box --prefix odd/',
    )
    const byBytes = [...names]
      .map((name) => `odd/${name}`)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(
      Contents.map(({ Key }) => Key),
      byBytes,
    )
    for (const name of names) assert.equal(await cli.aws('s3 cp', `s3://master.box/odd/${name}`, '-'), name)
    await cli.aws('s3 rm s3://master.box/odd/ --recursive')
    assert.equal((await cli.refused('s3 ls s3://master.box/odd/')).trim(), '')
  })

  it('presigns by SigV4, and refuses the old SigV2 with a hint', async (t) => {
    const noCurl = await missingTool('curl', ['--version'])
    if (noCurl) return t.skip(noCurl)
    await bench.ok('aws', ['s3', 'cp', '-', 's3://master.box/signed file'], { input: 'by link' })
    await writeFile(file('v4'), '[default]\ns3 =\n  signature_version = s3v4\n  addressing_style = path\n')
    await writeFile(file('v2'), '[default]\ns3 =\n  signature_version = s3\n')
    const line = ['s3', 'presign', 's3://master.box/signed file']
    const environment = (config: string) => ({ ...bench.server.clientEnvironment, AWS_CONFIG_FILE: file(config) })
    const url = (await bench.ok('aws', line, { environment: environment('v4') })).trim()
    assert.match(url, /X-Amz-Signature=/)
    assert.equal(await bench.ok('curl', ['-sS', '--fail', url]), 'by link')
    assert.match(await bench.ok('curl', ['-sS', url.replace('signed', 'other')]), /SignatureDoesNotMatch/)
    const old = (await bench.ok('aws', line, { environment: environment('v2') })).trim()
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
})
