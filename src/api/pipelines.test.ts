import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { CommitJson, FileJson, FlushJson, JobJson, LogLineJson, PipelineCreatedJson } from './contract.ts'
import { post, testApi } from './testing/api.ts'
import { faultsOf } from './testing/conforms.ts'
import { codeOf, messageOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

const { ask, download, lines, newBranch, put } = testApi(() => stack)

describe('pipelines', () => {
  const spec = (name: string, repo: string, script: string) => ({
    pipeline: { name },
    transform: { cmd: ['sh', '-c', script], working_dir: '/' },
    input: { pfs: { repo, glob: '/*' } },
  })
  const copy = 'if [ -n "$SLUICE_PFS" ]; then cd "$SLUICE_PFS"; else cd /pfs; fi && cp p1/* out/ && echo copied'

  it('run on a commit, and flush, jobs, datums, logs and provenance tell of it', async () => {
    await newBranch('p1')
    const made = await ask<PipelineCreatedJson>('PipelineCreated', '/v1/pipelines', post(spec('p1-copy', 'p1', copy)))
    assert.equal(made.pipeline.version, 1)
    await put('p1', 'a', 'one')
    const events = await lines<FlushJson>('Flush', '/v1/flush', post({ commits: ['p1@master'], timeoutMs: 60_000 }))
    const ended = events.filter((event) => event.kind === 'ended').map((event) => event.commit)
    assert.deepEqual(
      ended.map((commit) => [commit.repo, commit.state]),
      [['p1-copy', 'finished']],
      JSON.stringify(events),
    )
    const input = await ask<CommitJson>('Commit', '/v1/repos/p1/commits/master')
    assert.ok(ended[0]?.provenance.some((ref) => ref.commit === input.id))
    const { body } = await download('/v1/repos/p1-copy/commits/master/content?path=a')
    assert.equal(body.toString(), 'one')
    const [job] = await ask<JobJson[]>('Job', `/v1/jobs?outputCommit=${ended[0]?.id}`)
    assert.equal(job?.state, 'success')
    const datums = await ask<{ id: string }[]>('Datum', `/v1/jobs/${job?.id}/datums`)
    assert.equal(datums.length, 1)
    await ask('Datum', `/v1/jobs/${job?.id}/datums/${datums[0]?.id}`)
    const written = await lines<LogLineJson>('LogLine', '/v1/logs?pipeline=p1-copy&contains=copied')
    assert.deepEqual(
      written.map((line) => line.text),
      ['copied'],
    )
    const file = await ask<FileJson>('File', '/v1/repos/p1-copy/commits/master/file?path=a')
    assert.equal(file.origin?.job, job?.id)
    const down = await ask<{ repo: string }[]>('Provenance', '/v1/repos/p1/commits/master/subvenance')
    assert.deepEqual(
      down.map((ref) => ref.repo),
      ['p1-copy'],
    )
    await ask('Provenance', '/v1/repos/p1-copy/commits/master/provenance')
    await ask('Pipeline', '/v1/pipelines')
    assert.equal((await send(stack.url, { method: 'POST', path: '/v1/pipelines/p1-copy/stop' })).status, 200)
    assert.equal((await send(stack.url, { method: 'POST', path: '/v1/pipelines/p1-copy/start' })).status, 200)
    assert.equal((await send(stack.url, { method: 'DELETE', path: '/v1/pipelines/p1-copy' })).status, 204)
  })

  it('refuse writes to their output, with the reason', async () => {
    await newBranch('p2')
    await ask('PipelineCreated', '/v1/pipelines', post(spec('p2-copy', 'p2', copy)))
    const path = '/v1/repos/p2-copy/branches/master/file?path=x'
    const reply = await send(stack.url, { method: 'PUT', path, body: 'x' })
    assert.equal(reply.status, 403)
    assert.match(messageOf(reply), /p2-copy/)
  })

  it('that can not be are refused with every problem', async () => {
    const reply = await send(stack.url, { path: '/v1/pipelines', ...post({ pipeline: { name: 'x' }, inptu: {} }) })
    assert.equal(codeOf(reply), 'InvalidSpec')
    assert.match(messageOf(reply), /inptu/)
  })

  it('that are not there are not found', async () => {
    assert.equal(codeOf(await send(stack.url, { path: '/v1/pipelines/none' })), 'PipelineNotFound')
    assert.equal(codeOf(await send(stack.url, { path: '/v1/jobs/00000000' })), 'JobNotFound')
    assert.equal(codeOf(await send(stack.url, { path: '/v1/logs?job=00000000' })), 'JobNotFound')
  })
})

describe('secrets', () => {
  it('are never shown again', async () => {
    const secret = {
      name: 'there',
      accessKeyId: 'AK',
      secretAccessKey: 'canary-of-a-secret',
      endpoint: 'https://s3.example',
    }
    const made = await send(stack.url, { path: '/v1/secrets', ...post(secret) })
    assert.equal(made.status, 201)
    const listed = await send(stack.url, { path: '/v1/secrets' })
    const shown = await send(stack.url, { path: '/v1/secrets/there' })
    for (const { text } of [made, listed, shown]) assert.ok(!text.includes('canary'), text)
    assert.deepEqual(faultsOf('Secret', JSON.parse(shown.text)), [])
    assert.equal(codeOf(await send(stack.url, { path: '/v1/secrets', ...post(secret) })), 'SecretExists')
    assert.equal((await send(stack.url, { method: 'DELETE', path: '/v1/secrets/there' })).status, 204)
    assert.equal(codeOf(await send(stack.url, { path: '/v1/secrets/there' })), 'SecretNotFound')
  })

  it('stay while a pipeline pushes with them', async () => {
    await newBranch('pushed')
    await send(stack.url, {
      path: '/v1/secrets',
      ...post({ name: 'pushing', accessKeyId: 'AK', secretAccessKey: 'SK' }),
    })
    const spec = {
      pipeline: { name: 'pusher' },
      transform: { cmd: ['true'], working_dir: '/' },
      input: { pfs: { repo: 'pushed', glob: '/*' } },
      egress: { URL: 's3://bucket/dir', secret: 'pushing' },
    }
    await send(stack.url, { path: '/v1/pipelines', ...post(spec) })
    const remove = () => send(stack.url, { method: 'DELETE', path: '/v1/secrets/pushing' })
    assert.equal(codeOf(await remove()), 'InUse')
    assert.equal((await send(stack.url, { method: 'DELETE', path: '/v1/pipelines/pusher' })).status, 204)
    assert.equal((await remove()).status, 204)
  })
})
