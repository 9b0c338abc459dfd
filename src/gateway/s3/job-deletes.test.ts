import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startTestServer } from '../testing/server.ts'

const hadoop = 'Hadoop 3.4.2 aws-sdk-java/2.29.52 md/io#sync md/http#Apache ua/2.1 os/Linux'

it('a folder that a job makes has its batch wait; those of others, files and scratch folders do not', async (t) => {
  const server = await startTestServer()
  t.after(() => server.close())
  let folders = 0
  server.store.versioning.preparing = () => {
    folders++
  }
  await server.send('PUT', '/master.over')
  const put = async (key: string, agent: string) => {
    const { status } = await server.send('PUT', `/master.over/${key}`, { headers: { 'user-agent': agent }, body: '' })
    assert.equal(status, 200)
  }
  await put('folder/', 'aws-cli/2.31')
  await put('file', hadoop)
  await put('t/_temporary/0/', hadoop)
  assert.equal(folders, 0)
  await put('folder/', hadoop)
  assert.equal(folders, 1)
})
