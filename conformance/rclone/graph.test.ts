import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Bench, openBench } from '../support.ts'
import { findRclone, rcloneOn } from './rclone.ts'

const { title, missing } = await findRclone()

describe(`${title}: tags of commits, protected branches, merges`, { skip: missing }, () => {
  let bench: Bench
  let on: ReturnType<typeof rcloneOn>
  before(async () => {
    bench = await openBench()
    on = rcloneOn(bench)
    await on.rclone('mkdir sluice:master.graph')
    await on.piped('then', 'rcat sluice:master.graph/a')
    await bench.sluice(['flush', 'graph@master'])
  })
  after(() => bench?.close())

  it('copies a tag as it was, and is refused where it would write', async () => {
    await bench.sluice(['tag', 'create', 'graph@master', 'v1'])
    await on.piped('now, and longer', 'rcat sluice:master.graph/a')
    await on.rclone('copy sluice:v1.graph copied')
    assert.equal(await bench.ok('cat', ['copied/a']), 'then')
    await writeFile(join(bench.folder, 'text'), 'x')
    assert.match(await on.refused('copyto text sluice:v1.graph/b'), /AccessDenied|403/)
    assert.match(await on.refused('deletefile sluice:v1.graph/a'), /AccessDenied|403/)
    assert.equal(await on.rclone('cat sluice:v1.graph/a'), 'then')
  })

  it('is refused by a protected branch, and finds there what was merged', async () => {
    await bench.sluice(['branch', 'create', 'graph@side', '--head', 'master'])
    await bench.sluice(['branch', 'protect', 'graph@master'])
    assert.match(await on.refused('copyto text sluice:master.graph/b'), /AccessDenied|403/)
    await on.rclone('copyto text sluice:side.graph/b')
    await bench.sluice(['merge', 'graph@master', 'side'])
    assert.equal(await on.rclone('cat sluice:master.graph/b'), 'x')
  })
})
