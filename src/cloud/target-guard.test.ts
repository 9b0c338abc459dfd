import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { InvalidConfig } from '../kernel/index.ts'
import { isClosed } from './addresses.ts'
import { StoreDenied } from './object-store.ts'
import { createTargetGuard, type TargetGuard } from './target-guard.ts'

/** A name server under our control: it answers each time with the next of these addresses. */
function resolver(...answers: string[][]): LookupFunction {
  let turn = 0
  return (_host, _options, callback) => {
    const addresses = answers[Math.min(turn++, answers.length - 1)]!
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
  }
}

describe('the target guard', () => {
  let server: http.Server
  let port: number
  before(async () => {
    server = http.createServer((_request, response) => response.end('reached')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  })
  after(() => server.close())

  async function fetchBy(guard: TargetGuard, host: string): Promise<string> {
    const agents = guard.agents({ maxSockets: 1 })
    try {
      return await new Promise((resolve, reject) => {
        const request = http.get({ host, port, agent: agents.http }, (response) => {
          response.setEncoding('utf8').on('data', resolve)
        })
        request.on('error', reject)
      })
    } finally {
      agents.http.destroy()
      agents.https.destroy()
    }
  }

  it('knows addresses that are closed, however they are written', () => {
    for (const address of [
      '127.0.0.1',
      '127.255.0.9',
      '0.0.0.0',
      '169.254.169.254',
      '::1',
      '::',
      'fe80::1',
      'fe80::1%eth0',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::127.0.0.1',
      '64:ff9b::127.0.0.1',
      '64:ff9b:1::169.254.169.254',
      '::ffff:0:127.0.0.1',
      '2002:7f00:1::',
      'fd00:ec2::254',
      'fd00:ec2::23',
      'fd20:ce::254',
      '100.100.100.200',
      '168.63.129.16',
      '255.255.255.255',
      '224.0.0.1',
      'ff02::1',
      'no address',
      '127.1',
      '2130706433',
      '',
    ])
      assert.ok(isClosed(address), address)
    for (const address of [
      '10.0.0.1',
      '192.168.1.1',
      '172.16.0.1',
      '8.8.8.8',
      '2001:4860:4860::8888',
      'fd12::1',
      '128.0.0.1',
    ]) {
      assert.ok(!isClosed(address), address)
    }
  })

  it('reaches a loopback target only if it is allowed by host and port', async () => {
    const refuses = (allowTargets: string[], host: string) =>
      assert.rejects(fetchBy(createTargetGuard({ allowTargets }), host), (error) => {
        assert.ok(error instanceof StoreDenied)
        assert.match(error.message, new RegExp(`SLUICE_ALLOW_TARGETS=${host}:${port}`))
        return true
      })
    await refuses([], '127.0.0.1')
    await refuses([], 'localhost')
    await refuses([`127.0.0.1:${port + 1}`, 'other:*'], '127.0.0.1')
    for (const allowed of [`127.0.0.1:${port}`, '127.0.0.1:*', `localhost:${port}`, 'LOCALHOST:*']) {
      assert.equal(await fetchBy(createTargetGuard({ allowTargets: [allowed] }), '127.0.0.1'), 'reached', allowed)
    }
    assert.equal(await fetchBy(createTargetGuard({ allowTargets: [`localhost:${port}`] }), 'localhost'), 'reached')
  })

  it('refuses a name that resolves to a closed address, also as one of several', async () => {
    for (const answer of [['127.0.0.1'], ['93.184.216.34', '127.0.0.1'], ['::ffff:169.254.169.254']]) {
      const guard = createTargetGuard({ allowTargets: [], lookup: resolver(answer) })
      await assert.rejects(fetchBy(guard, 'innocent.example'), StoreDenied)
      await assert.rejects(guard.check('innocent.example', port), StoreDenied)
    }
  })

  it('decides on the address of the connection, whatever an earlier look-up said', async () => {
    const guard = createTargetGuard({ allowTargets: [], lookup: resolver(['93.184.216.34'], ['127.0.0.1']) })
    await guard.check('rebinding.example', port)
    await assert.rejects(fetchBy(guard, 'rebinding.example'), StoreDenied)
  })

  it('connects to a name that is allowed', async () => {
    const guard = createTargetGuard({ allowTargets: [`store.example:${port}`], lookup: resolver(['127.0.0.1']) })
    assert.equal(await fetchBy(guard, 'store.example'), 'reached')
  })

  it('lists every pattern that is not one', () => {
    assert.throws(
      () => createTargetGuard({ allowTargets: ['ok:1', 'noport', 'a:b', '[::1]:*', 'http://x:1'] }),
      (error) => error instanceof InvalidConfig && (error.data['problems'] as string[]).length === 3,
    )
  })
})
