/** The tour: write, flush, read back by commit; one picture more; a broken picture, and undoing it. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { extname, join, relative } from 'node:path'
import type { CommitJson, FileJson, JobJson } from '../../src/api/contract.ts'
import { complaint, look } from '../edges/look.ts'
import { breakPicture, drawChangedPicture } from '../pictures.ts'
import { listKeys, readObject } from './s3-tool.ts'
import type { Stage } from './stage.ts'
import { check, heading, NotAsExpected, note, run, runCommand } from './terminal.ts'

const pictureEndings = /\.(jpe?g|png|webp|tiff?|gif|avif)$/i

/** Paths below the folder of pictures that are pictures by name, sorted. */
export async function listPictures(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  return found
    .filter((item) => item.isFile() && pictureEndings.test(item.name))
    .map((item) => relative(folder, join(item.parentPath, item.name)))
    .sort()
}

/** `photo.jpg` → `photo.png`: what the pipeline makes of it. */
function edgesName(picture: string): string {
  return `${picture.slice(0, picture.length - extname(picture).length)}.png`
}

export async function newestJob(stage: Stage): Promise<JobJson> {
  const jobs = await stage.json<JobJson[]>(['job', 'list'])
  const job = jobs.find(({ pipeline }) => pipeline === 'edges')
  if (!job) throw new NotAsExpected('there is no job of the pipeline edges')
  return job
}

/** Creates the repo and the pipeline, writes all pictures, waits for what follows. Returns the input commit's id. */
export async function firstCommit(stage: Stage): Promise<string> {
  heading('Many files, one commit')
  await stage.s3.makeBucket('master.images')
  await stage.sluice(['pipeline', 'create', '-f', 'examples/edges/pipeline.json'])
  await stage.s3.uploadFolder(stage.pictures, 'master.images')
  const files = (await listKeys(stage.client, 'master.images')).length
  await stage.sluice(['flush', 'images@master'])
  await stage.sluice(['commit', 'list', 'images'])
  const commits = await stage.json<CommitJson[]>(['commit', 'list', 'images'])
  const [commit] = commits
  check(commits.length === 1, `${files} files are one commit`)
  check(commit?.files === files, `the commit holds ${files} files`)
  const job = await newestJob(stage)
  check(job.state === 'success' && job.datums.processed > 0, `the job ran ${job.datums.processed} datums`)
  return commit?.id ?? ''
}

/** Reads the results in every way there is, and looks at them. */
export async function readResults(stage: Stage, commit: string): Promise<void> {
  heading('The results, and where they come from')
  const out = join(stage.work, 'out')
  await stage.s3.downloadBucket('master.edges', out)
  const pictures = await listPictures(stage.pictures)
  for (const picture of pictures) {
    const seen = await look(join(stage.pictures, picture), join(out, edgesName(picture)))
    // Of pictures that it did not draw, the demo can't know how many edges they have.
    const wrong = stage.drawn
      ? complaint(seen, { blank: picture === 'fog.png' })
      : seen.sameSize && seen.blackAndWhite
        ? undefined
        : complaint(seen)
    const share = `${(100 * seen.white).toFixed(1)} % white`
    check(wrong === undefined, `${edgesName(picture)}: ${wrong ?? `${seen.width} × ${seen.height}, ${share}`}`)
  }
  const [first = ''] = pictures
  const result = edgesName(first)
  const again = join(stage.work, 'again.png')
  await stage.s3.get(`${commit}.edges`, result, again)
  check((await readFile(again)).equals(await readFile(join(out, result))), 'read by the input commit: the same bytes')

  const metadata = await stage.s3.headMetadata('master.edges', result)
  const facts = Object.entries(metadata).filter(([name]) => name.startsWith('sluice-'))
  const job = await newestJob(stage)
  const told = facts.map(([, value]) => value).join(' ')
  check(told.includes(`images@${commit}`), 'the metadata names the input commit')
  check(told.includes('edges') && told.includes(job.id), 'the metadata names the pipeline and the job')

  await flushElsewhere(stage)
}

/** The same verdict through any S3 client, and by one signed request. */
async function flushElsewhere(stage: Stage): Promise<void> {
  const verdict = await stage.s3.read('master.images', '.sluice/flush.json')
  check(verdict.includes('edges') && verdict.includes('"ok"'), 'flush.json tells the verdict')
  const { url, accessKeyId, secretAccessKey } = stage.endpoint
  const help = await runCommand(['curl', '--help', 'all'], { env: stage.env }).catch(() => undefined)
  if (!help?.stdout.includes('--aws-sigv4')) return note('no curl with --aws-sigv4 here: left out')
  const user = `${accessKeyId}:${secretAccessKey}`
  const unsigned = 'x-amz-content-sha256: UNSIGNED-PAYLOAD'
  const { stdout } = await run(
    [
      'curl',
      '-sS',
      '--fail-with-body',
      '--aws-sigv4',
      'aws:amz:us-east-1:s3',
      '--user',
      user,
      '-H',
      unsigned,
      '-X',
      'POST',
      `${url}/master.images?flush=`,
    ],
    { env: stage.env, hide: [secretAccessKey] },
  )
  check(stdout.includes('verdict'), 'curl gets the verdict')
}

/** Another picture: only that one is worked on. */
export async function addOnePicture(stage: Stage): Promise<void> {
  heading('One picture more: one datum runs')
  const file = join(stage.work, 'one-more.png')
  await writeFile(file, (await drawChangedPicture()).bytes)
  await stage.s3.put(file, 'master.images', 'one-more.png')
  await stage.sluice(['flush', 'images@master'])
  const { datums } = await newestJob(stage)
  check(datums.processed === 1, `1 datum ran, ${datums.skipped} were reused`)
  check(datums.processed + datums.skipped === datums.total, 'that is all of them')
}

/** A broken picture fails the job with its cause; restoring the commit before undoes it in one command. */
export async function breakAndRestore(stage: Stage): Promise<void> {
  heading('A broken picture: the job fails, the results stay')
  const [name = ''] = await listPictures(stage.pictures)
  const result = edgesName(name)
  const good = await readFile(join(stage.pictures, name))
  const edges = await readObject(stage.client, 'master.edges', result)
  const broken = join(stage.work, 'broken.png')
  await writeFile(broken, breakPicture({ name, bytes: good }).bytes)
  await stage.s3.put(broken, 'master.images', name)
  const flushed = await stage.sluice(['flush', 'images@master'], { expect: [1] })
  const failed = await newestJob(stage)
  check(failed.state === 'failure', 'the job failed')
  check(flushed.both.includes(name), `flush ends with exit code 1 and names ${name}`)
  await stage.sluice(['job', 'list'])
  const { stdout: logs } = await stage.sluice(['logs', '--pipeline', 'edges', '--job', failed.id])
  check(logs.includes(`can't read ${name} as a picture`), 'the log says why')
  const served = await readObject(stage.client, 'master.edges', result)
  check(served.equals(edges), 's3://master.edges still serves the last good result')

  heading('Undone in one command')
  const { stdout: diff } = await stage.sluice(['diff', 'images@master^', 'images@master'])
  check(diff.includes(name), `the difference is ${name}`)
  await stage.sluice(['restore', 'images@master^'])
  await stage.sluice(['flush', 'images@master'])
  const { state, datums } = await newestJob(stage)
  check(state === 'success' && datums.processed === 0, `every datum is reused: ${datums.skipped} of ${datums.total}`)

  const folder = join(stage.work, 'restored')
  await mkdir(folder)
  const file = join(folder, 'file')
  await stage.sluice(['file', 'get', `images@master:${name}`, '-o', file])
  check((await readFile(file)).equals(good), `${name} is the good picture again`)
  await stage.sluice(['file', 'list', 'edges@master'])
  const files = await stage.json<FileJson[]>(['file', 'list', 'edges@master'])
  check(
    files.some(({ path }) => path === result),
    `${result} is among the results`,
  )
}
