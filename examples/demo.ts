/**
 * The tour of the README, all by itself: `npm run demo` on pictures that it draws, `npm run demo -- DIR` on yours. It starts two
 * servers on throw-away data folders, shows every command with its real output, checks every step, and removes what it made.
 */
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pushElsewhere } from './demo/push.ts'
import { project, type Server, startServer } from './demo/server.ts'
import { connect, endpointOf } from './demo/stage.ts'
import { check, heading, NotAsExpected, note } from './demo/terminal.ts'
import { addOnePicture, breakAndRestore, firstCommit, listPictures, readResults } from './demo/tour.ts'
import { drawPictures, writePictures } from './pictures.ts'

async function preparePictures(work: string, given: string | undefined): Promise<{ pictures: string; drawn: boolean }> {
  if (given !== undefined) {
    const pictures = resolve(given)
    const found = await stat(pictures).catch(() => undefined)
    if (!found?.isDirectory()) throw new NotAsExpected(`${pictures} is not a folder`)
    if ((await listPictures(pictures)).length === 0) throw new NotAsExpected(`${pictures} holds no pictures`)
    return { pictures, drawn: false }
  }
  const pictures = join(work, 'pictures')
  await mkdir(pictures)
  await writePictures(pictures, await drawPictures())
  return { pictures, drawn: true }
}

async function tour(work: string, servers: Server[], given: string | undefined): Promise<void> {
  const { pictures, drawn } = await preparePictures(work, given)
  note(drawn ? `drew ${(await listPictures(pictures)).join(', ')}` : `pictures: ${pictures}`)

  heading('Two servers, each on a folder of its own: the second one is where results will be pushed to')
  const second = await startServer(join(work, 'second'))
  servers.push(second)
  const first = await startServer(join(work, 'data'), { SLUICE_ALLOW_TARGETS: new URL(second.s3Url).host })
  servers.push(first)
  note(`S3 on ${first.s3Url}, API on ${first.apiUrl}; second S3 on ${second.s3Url}`)

  process.chdir(project)
  const stage = await connect(first, { work, pictures, drawn })
  const commit = await firstCommit(stage)
  await readResults(stage, commit)
  await addOnePicture(stage)
  await breakAndRestore(stage)
  await pushElsewhere(stage, await endpointOf(second))
  stage.client.destroy()

  heading('The end')
  for (const server of servers.splice(0)) await server.stop()
  check(true, 'both servers ended well')
}

async function main(): Promise<void> {
  const startedAt = performance.now()
  const work = await mkdtemp(join(tmpdir(), 'sluice-demo-'))
  const servers: Server[] = []
  const cleanUp = async () => {
    for (const server of servers.splice(0)) {
      await server.stop().catch((error: unknown) => {
        process.exitCode = 1
        console.error(`${server.data}: ${error instanceof Error ? error.message : error}`)
      })
    }
    await rm(work, { recursive: true, force: true })
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(1)))
  }
  try {
    await tour(work, servers, process.argv[2])
    console.log(`\nAll of it went as it should, in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`)
  } catch (error) {
    process.exitCode = 1
    for (const server of servers) console.error(`\nLog of the server on ${server.data}:\n${server.log()}`)
    console.error(`\nThe demo failed: ${error instanceof NotAsExpected ? error.message : (error as Error).stack}`)
  } finally {
    await cleanUp()
  }
}

await main()
