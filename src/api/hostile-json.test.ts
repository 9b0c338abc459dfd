import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { codeOf, messageOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

describe('hostile JSON', () => {
  let stack: Stack
  before(async () => {
    stack = await openStack()
  })
  after(() => stack.close())

  it('with a name that every object has is an unknown field like another, and changes no object', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      for (const path of ['/v1/repos', '/v1/secrets', '/v1/users']) {
        const body = `{"${name}":{"admin":true},"name":"from-json"}`
        const reply = await send(stack.url, { method: 'POST', path, body })
        assert.equal(codeOf(reply), 'InvalidInput', `${path} ${name}`)
        assert.ok(messageOf(reply).includes(name), messageOf(reply))
      }
    }
    const query = await send(stack.url, { path: '/v1/repos?__proto__=1' })
    assert.equal(codeOf(query), 'InvalidInput')
    assert.equal(({} as Record<string, unknown>)['admin'], undefined)
    assert.deepEqual(JSON.parse((await send(stack.url, { path: '/v1/repos' })).text), [])
  })

  it('that is deep, long or no JSON is refused with its reason', async () => {
    const post = (body: string | Buffer) => send(stack.url, { method: 'POST', path: '/v1/repos', body })
    for (const body of ['{"name":', '[]', '"x"', 'null', '{"name":1}', Buffer.from([0x7b, 0xff, 0x7d])]) {
      assert.equal(codeOf(await post(body)), 'InvalidInput', String(body))
    }
    const deep = `{"name":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    assert.ok([400, 413].includes((await post(deep)).status))
    assert.equal(codeOf(await post(`{"name":"${'x'.repeat(2_000_000)}"}`)), 'BodyTooLarge')
  })
})
