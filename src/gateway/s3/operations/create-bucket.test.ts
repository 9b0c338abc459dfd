import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startTestServer } from '../../testing/server.ts'

it('creates no bucket of a name that is shorter than clients take', async (t) => {
  const server = await startTestServer()
  t.after(() => server.close())
  for (const name of ['a', 'ab']) {
    const reply = await server.send('PUT', `/${name}`)
    assert.equal(reply.status, 400)
    const text = await reply.text()
    assert.match(text, /<Code>InvalidBucketName</)
    assert.match(text, new RegExp(`master\\.${name}`))
  }
  assert.equal((await server.send('PUT', '/abc')).status, 200)
  // The repo itself may have such a name.
  assert.equal((await server.send('PUT', '/master.a')).status, 200)
  assert.equal((await server.send('HEAD', '/a')).status, 200)
})
