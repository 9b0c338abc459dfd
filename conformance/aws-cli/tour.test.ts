import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { breakPicture, drawPictures, writePictures } from '../../examples/pictures.ts'
import { repository } from '../server.ts'
import { type Bench, openBench } from '../support.ts'
import { awsOn, findAnyAws } from './aws.ts'

interface CommitJson {
  id: string
  state: string
  files: number
  parents: string[]
  provenance: { repo: string; commit: string }[]
}
interface JobJson {
  id: string
  state: string
  datums: { total: number; processed: number; skipped: number; failed: number }
}

const client = await findAnyAws()

describe(`the tour, with ${client.title}`, { skip: client.missing }, () => {
  let bench: Bench
  let cli: ReturnType<typeof awsOn>
  let pictures: string[] = []
  before(async () => {
    bench = await openBench()
    cli = awsOn(bench, client)
    await mkdir(join(bench.folder, 'photos'))
    await writePictures(join(bench.folder, 'photos'), await drawPictures())
    pictures = (await readdir(join(bench.folder, 'photos'))).sort()
  })
  after(() => bench?.close())

  const commits = async (repo: string) =>
    JSON.parse(await bench.sluice(['commit', 'list', repo, '--json'])) as CommitJson[]
  const jobs = async () => JSON.parse(await bench.sluice(['job', 'list', '--json'])) as JobJson[]
  const resultOf = (picture: string) => picture.replace(/\.\w+$/, '.png')
  let imagesCommit = ''

  it('writes a folder of pictures as one commit and computes the edges of each', async () => {
    await cli.aws('s3 mb s3://master.images')
    await bench.sluice(['pipeline', 'create', '-f', join(repository, 'examples/edges/pipeline.json')])
    await cli.aws('s3 cp photos/ s3://master.images/ --recursive')
    await bench.sluice(['flush', 'images@master'])
    const [commit, ...more] = await commits('images')
    assert.equal(more.length, 0)
    assert.equal(commit?.files, pictures.length)
    imagesCommit = commit?.id ?? ''
    assert.match(await bench.sluice(['commit', 'list', 'images']), /^REPO +ID +PARENT +STARTED +DURATION +SIZE/)
    const [edges] = await commits('edges')
    assert.deepEqual(edges?.provenance[0], { repo: 'images', commit: imagesCommit })
    const [job] = await jobs()
    assert.deepEqual([job?.state, job?.datums.processed], ['success', pictures.length])
  })

  it('reads the results by branch and by the commit that they were made from', async () => {
    await cli.aws('s3 cp s3://master.edges/ out/ --recursive')
    assert.deepEqual((await readdir(join(bench.folder, 'out'))).sort(), pictures.map(resultOf).sort())
    await cli.aws(`s3 cp s3://${imagesCommit}.edges/a.png .`)
    const byCommit = await readFile(join(bench.folder, 'a.png'))
    assert.ok(byCommit.equals(await readFile(join(bench.folder, 'out/a.png'))))
    assert.equal(byCommit.subarray(1, 4).toString(), 'PNG')
  })

  it('names in the metadata where a result came from', async () => {
    const { Metadata } = await cli.json<{ Metadata: Record<string, string> }>(
      's3api head-object --bucket master.edges --key a.png',
    )
    const [job] = await jobs()
    const all = JSON.stringify(Metadata)
    assert.ok(all.includes(`images@${imagesCommit}`), all)
    assert.ok(Object.values(Metadata).includes('edges'), all)
    assert.ok(Object.values(Metadata).includes(job?.id ?? ''), all)
    assert.ok('sluice-datum' in Metadata, all)
  })

  it('gives the verdict of flush as a file', async () => {
    const verdict = JSON.parse(await cli.aws('s3 cp s3://master.images/.sluice/flush.json -'))
    assert.ok(JSON.stringify(verdict).includes('edges'))
    assert.equal(
      await cli.aws('s3 cp s3://master.images/.sluice/flush.json -').then(JSON.parse).then(JSON.stringify),
      JSON.stringify(verdict),
    )
  })

  it('fails the job of a broken picture with its cause, and undoes it in one command with every datum reused', async () => {
    const good = await readFile(join(bench.folder, 'photos/a.png'))
    await writeFile(join(bench.folder, 'broken.png'), breakPicture({ name: 'a.png', bytes: good }).bytes)
    await cli.aws('s3 cp broken.png s3://master.images/a.png')
    const failed = await bench.fails(process.execPath, [join(repository, 'bin/sluice.js'), 'flush', 'images@master'])
    assert.match(failed, /a\.png/)
    assert.match(await bench.sluice(['diff', 'images@master^', 'images@master']), /a\.png/)
    await bench.sluice(['restore', 'images@master^'])
    await bench.sluice(['flush', 'images@master'])
    const [job] = await jobs()
    assert.deepEqual([job?.state, job?.datums.processed, job?.datums.skipped], ['success', 0, pictures.length])
    await cli.aws('s3 cp s3://master.images/a.png restored.png')
    assert.ok((await readFile(join(bench.folder, 'restored.png'))).equals(good))
    assert.match(await bench.sluice(['logs', '--pipeline', 'edges']), /a\.png/)
  })

  it('refuses writes to results and to commits, and says why', async () => {
    assert.match(await cli.refused('s3 cp photos/a.png s3://master.edges/a.png'), /AccessDenied/)
    assert.match(await cli.refused(`s3 cp photos/a.png s3://${imagesCommit}.images/b.png`), /AccessDenied/)
    assert.match(await cli.refused(`s3 rm s3://${imagesCommit}.images/a.png`), /AccessDenied/)
  })

  it('makes 200 files of one recursive copy one commit', async () => {
    await mkdir(join(bench.folder, 'many/deep'), { recursive: true })
    for (let i = 0; i < 200; i++)
      await writeFile(join(bench.folder, 'many', i % 2 ? `deep/${i}` : `${i}.txt`), `file ${i}\n`)
    await cli.aws('s3 mb s3://master.many')
    await cli.aws('s3 cp many/ s3://master.many/ --recursive')
    await bench.sluice(['flush', 'many@master'])
    const [commit, ...more] = await commits('many')
    assert.equal(more.length, 0)
    assert.deepEqual([commit?.files, commit?.state], [200, 'finished'])
    await cli.aws(`s3 cp s3://${commit?.id}.many/ back/ --recursive`)
    assert.equal((await readdir(join(bench.folder, 'back'), { recursive: true })).length, 201)
    assert.equal(await readFile(join(bench.folder, 'back/deep/7'), 'utf8'), 'file 7\n')
  })
})
