/** Egress: the results are pushed to a second Sluice, as they would be to any other object store. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobJson } from '../../src/api/contract.ts'
import { drawPictures } from '../pictures.ts'
import { awsSdk, type Endpoint, listKeys, readObject, s3Client } from './s3-tool.ts'
import { project } from './server.ts'
import type { Stage } from './stage.ts'
import { check, heading, NotAsExpected } from './terminal.ts'
import { newestJob } from './tour.ts'

const bucket = 'results'
const folder = 'edges'

export async function pushElsewhere(stage: Stage, target: Endpoint): Promise<void> {
  heading('The results are pushed to another object store')
  const there = s3Client(target)
  await awsSdk(there).makeBucket(bucket)
  await stage.sluice(
    ['secret', 'create', 'second', '--access-key', target.accessKeyId, '--secret-key', '-', '--endpoint', target.url],
    {
      stdin: `${target.secretAccessKey}\n`,
    },
  )
  const spec = JSON.parse(await readFile(join(project, 'examples/edges/pipeline.json'), 'utf8'))
  const file = join(stage.work, 'edges-with-egress.json')
  const egress = { URL: `s3://${new URL(target.url).host}/${bucket}/${folder}`, secret: 'second' }
  const transform = { ...spec.transform, working_dir: join(project, 'examples/edges') }
  await writeFile(file, JSON.stringify({ ...spec, transform, egress }, null, 2))
  console.log(`  "egress": ${JSON.stringify(egress)}`)
  await stage.sluice(['pipeline', 'update', '-f', file])
  await stage.sluice(['flush', 'images@master'])
  const files = await sameBytes(stage, there)
  const first = await pushed(stage)
  check(first.filesDone === files, `${files} files were pushed`)

  heading('One file changed, then gone: only that is pushed')
  const [, board] = await drawPictures()
  const changed = join(stage.work, 'changed.png')
  await writeFile(changed, board?.bytes ?? '')
  await stage.s3.put(changed, 'master.images', 'one-more.png')
  await stage.sluice(['flush', 'images@master'])
  const second = await pushed(stage)
  check(second.filesDone === 1, `1 file was pushed, ${second.filesSkipped} were left as they are`)
  await sameBytes(stage, there)

  await stage.s3.remove('master.images', 'one-more.png')
  await stage.sluice(['flush', 'images@master'])
  const third = await pushed(stage)
  check(third.filesDone === 0 && third.filesDeleted === 1, '1 file was deleted there, none was pushed')
  await sameBytes(stage, there)
  there.destroy()
}

async function pushed(stage: Stage): Promise<NonNullable<JobJson['egress']>> {
  const { egress } = await newestJob(stage)
  if (egress?.state !== 'success') throw new NotAsExpected(`the push ended as ${egress?.state}: ${egress?.reason}`)
  return egress
}

/** Throws unless the target holds what s3://master.edges holds, and nothing else. Returns how many files. */
async function sameBytes(stage: Stage, there: ReturnType<typeof s3Client>): Promise<number> {
  const here = await listKeys(stage.client, 'master.edges')
  const found = (await listKeys(there, bucket, `${folder}/`)).map((key) => key.slice(folder.length + 1))
  // Egress may write a marker of its own when all is there.
  const files = found.filter((key) => key !== '_SUCCESS')
  if (JSON.stringify(files) !== JSON.stringify(here)) {
    throw new NotAsExpected(`the target holds ${files.join(', ')}; s3://master.edges holds ${here.join(', ')}`)
  }
  for (const key of here) {
    const bytes = await readObject(stage.client, 'master.edges', key)
    const copy = await readObject(there, bucket, `${folder}/${key}`)
    if (!copy.equals(bytes)) throw new NotAsExpected(`${key} is not the same at the target`)
  }
  check(true, `the target holds the ${here.length} files of s3://master.edges, byte for byte, and no other`)
  return here.length
}
