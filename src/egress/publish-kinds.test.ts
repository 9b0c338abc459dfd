import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, it } from 'node:test'
import type { ObjectStore } from '../cloud/index.ts'
import { createTargetGuard, openTargetStore } from '../cloud/index.ts'
import { testAccount } from '../cloud/testing/azure-account.ts'
import { startAzureServer } from '../cloud/testing/azure-server.ts'
import { startAzurite } from '../cloud/testing/azurite.ts'
import { startFakeGcs } from '../cloud/testing/fake-gcs.ts'
import { openTestGcs } from '../cloud/testing/gcs-open.ts'
import { startGcsServer } from '../cloud/testing/gcs-server.ts'
import { makeAccount } from '../cloud/testing/gcs-token.ts'
import { MIB, systemClock } from '../kernel/index.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { ALLOWED, Harness } from './testing/harness.ts'
import type { VerifyEvent } from './verify.ts'

const id = (digit: string) => digit.repeat(32)

/** What only the drivers can show: copies, listings and checksums as their services have them. */
function publishing(kind: string, open: () => Promise<ObjectStore>): void {
  describe(`publishing to ${kind}`, () => {
    it('copies what did not change, moves `latest`, deletes old folders, and is found to be as it was put', async () => {
      const store = await open()
      const h = await Harness.open({ target: store })
      const settings = { ...PLAIN_SETTINGS, layout: 'commit', keep: 2, success: true } as const
      const big = randomBytes(17 * MIB)
      for (const digit of ['1', '2', '3']) {
        const files = { 'ü/a b+c': 'same', big, changes: digit, empty: '' }
        const { state, reason } = await h.push(id(digit), files, { settings, commit: id(digit) })
        assert.equal(state, 'success', reason)
      }
      assert.equal(h.target.keysOf('copy').filter((key) => key.endsWith('/big')).length, 2)
      const verify = async (deep: boolean) => {
        const events: VerifyEvent[] = []
        const signal = new AbortController().signal
        for await (const event of h.egress.verify(id('3'), { deep, signal })) events.push(event)
        return events
      }
      for (const deep of [false, true]) {
        const [only, ...more] = await verify(deep)
        assert.ok(only?.kind === 'verified' && more.length === 0, JSON.stringify([only, ...more].slice(0, 3)))
        assert.deepEqual([only.files, only.unsent, only.unread, only.foreign], [11, 0, 0, 0])
      }
      await store.put(`${id('3')}/changes`, Buffer.from('x'), 1)
      await store.delete([`${id('2')}/empty`])
      const drift = (await verify(false)).flatMap((event) => (event.kind === 'drift' ? [event.path, event.drift] : []))
      assert.deepEqual(drift, [`${id('2')}/empty`, 'missing', `${id('3')}/changes`, 'changed'])
      const held = await h.held()
      assert.equal(held['latest'], `${id('3')}\n`)
      assert.deepEqual(
        new Set(Object.keys(held).map((path) => path.slice(0, 6))),
        new Set(['222222', '333333', 'latest']),
      )
      await h.close()
      await store.close()
    })
  })
}

function leftOut(kind: string, missing: string): void {
  describe(`publishing to ${kind}`, () => {
    it('is as it should be', { skip: `left out: ${missing}` }, () => undefined)
  })
}

const parts = { guard: createTargetGuard(ALLOWED), clock: systemClock, random: Math.random }

const gcs = await startGcsServer()
gcs.makeBucket('bucket')
after(() => gcs.close())
publishing('Google Cloud Storage', async () =>
  openTestGcs({ endpoint: gcs.endpoint, credentials: gcs.credentials, folder: 'out' }),
)

const azure = await startAzureServer()
after(() => azure.close())
publishing('Azure', async () => openTargetStore(azure.target('out'), testAccount, parts))

const fake = await startFakeGcs()
if ('missing' in fake) leftOut('fake-gcs-server', fake.missing)
else {
  after(() => fake.stop())
  await fake.makeBucket('bucket')
  const { credentials } = makeAccount()
  publishing('fake-gcs-server', async () => openTestGcs({ endpoint: fake.endpoint, credentials, folder: 'out' }))
}

const azurite = await startAzurite()
if ('missing' in azurite) leftOut('Azurite', azurite.missing)
else {
  after(() => azurite.stop())
  await azurite.makeContainer('container')
  publishing('Azurite', async () => openTargetStore(azurite.target('container', 'out'), testAccount, parts))
}
