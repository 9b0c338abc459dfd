import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeRfc3986 } from '../kernel/index.ts'
import type { Route } from './route.ts'
import { routes } from './routes.ts'
import { faultsOf } from './testing/conforms.ts'
import { send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

/** Texts that are likely to be somewhere near what is allowed, or far from it. */
const text = fc.oneof(
  fc.constantFrom(
    'a',
    'master',
    'master^',
    'master^9',
    'a@master',
    '00000000',
    '.sluice/x',
    '../x',
    '__proto__',
    '',
    '1',
    '-1',
  ),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
)

const path = (route: Route) =>
  fc
    .tuple(
      ...Object.keys(route.params).map((name) =>
        text.map((value) => [name, value.isWellFormed() ? value : 'x'] as const),
      ),
    )
    .map((pairs) =>
      pairs.reduce((whole, [name, value]) => whole.replace(`:${name}`, encodeRfc3986(value) || 'a'), route.path),
    )

const query = (route: Route) =>
  fc
    .tuple(...Object.keys(route.query).map((name) => fc.option(text.map((value) => [name, value] as const))))
    .map((pairs) => pairs.filter((pair) => pair !== null && pair[0] !== 'follow' && pair[1].isWellFormed()))
    .map((pairs) => pairs.map((pair) => `${pair![0]}=${encodeRfc3986(pair![1])}`).join('&'))

function body(route: Route): fc.Arbitrary<string | undefined> {
  if (route.body === 'none') return fc.constant(undefined)
  if (route.body === 'content') return fc.string()
  if (route.body === 'json') return fc.oneof(fc.json(), fc.constant('{"pipeline":{"name":"a"}}'))
  const names = Object.keys(route.body)
  const value = (name: string) =>
    name === 'timeoutMs' ? fc.constant(5) : fc.oneof(text, fc.array(text, { maxLength: 3 }), fc.constant(5))
  // A flush without a time limit may rightly wait for ever.
  const requiredKeys = names.filter((name) => name === 'timeoutMs')
  const near = fc.record(Object.fromEntries(names.map((name) => [name, value(name)])), { requiredKeys })
  return fc.oneof(
    fc.json(),
    near.map((value) => JSON.stringify(value)),
  )
}

describe('a signed request with anything in it', () => {
  for (const route of routes) {
    it(`never makes ${route.method} ${route.path} fail in the server`, async () => {
      const property = fc.asyncProperty(path(route), query(route), body(route), async (path, query, body) => {
        const reply = await send(stack.url, {
          method: route.method,
          path: query === '' ? path : `${path}?${query}`,
          ...(body !== undefined && { body }),
        })
        assert.ok(reply.status < 500, `${reply.status} ${reply.text}`)
        if (reply.status >= 400) assert.deepEqual(faultsOf('Error', JSON.parse(reply.text)), [])
      })
      // Each run is a request: this many find what a careless route lets through, and take well under a second.
      await fc.assert(property, { numRuns: 30 })
    })
  }
})
