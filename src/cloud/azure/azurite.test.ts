import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import {
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import { systemClock } from '../../kernel/index.ts'
import type { AzureCredentials } from '../credentials.ts'
import { createTargetGuard } from '../target-guard.ts'
import { accountKey, azureRefuses, testAccount } from '../testing/azure-account.ts'
import { startAzurite } from '../testing/azurite.ts'
import { objectStoreContract } from '../testing/contract.ts'
import { openAzureStore } from './azure-store.ts'

const azurite = await startAzurite()

/** A shared access signature of a container, for that long from now. */
function signed(permissions: string, forMs: number): AzureCredentials {
  const signature = generateBlobSASQueryParameters(
    {
      containerName: 'container',
      permissions: ContainerSASPermissions.parse(permissions),
      startsOn: new Date(systemClock.now() - 3_600_000),
      expiresOn: new Date(systemClock.now() + forMs),
    },
    new StorageSharedKeyCredential(testAccount.account, accountKey),
  )
  return { ...testAccount, signWith: { sas: String(signature) } }
}

if ('missing' in azurite) {
  describe('the Azure driver against Azurite', () => {
    it('keeps the contract of object stores', { skip: `left out: ${azurite.missing}` }, () => undefined)
  })
} else {
  after(() => azurite.stop())
  await azurite.makeContainer('container')
  const open = (folder: string, credentials = testAccount, container = 'container') =>
    openAzureStore({
      target: azurite.target(container, folder),
      credentials,
      guard: createTargetGuard({ allowTargets: [`127.0.0.1:${azurite.port}`] }),
      clock: systemClock,
      random: Math.random,
      retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
    })
  const limits = { refuses: azureRefuses }
  objectStoreContract('the Azure driver against Azurite', async () => open('folder/deeper'), {}, limits)
  objectStoreContract(
    'the Azure driver against Azurite, by a shared access signature',
    async () => open('', signed('racwdl', 3_600_000)),
    {},
    limits,
  )

  describe('the Azure driver against Azurite', () => {
    const put = async (credentials: AzureCredentials, container?: string) => {
      const store = open('', credentials, container)
      try {
        await store.put('k', Buffer.from('x'), 1)
      } finally {
        await store.close()
      }
    }

    it('tells apart what is wrong with the secret and the container', async () => {
      const wrong = { accountKey: Buffer.from('not the right one').toString('base64') }
      await assert.rejects(put({ ...testAccount, signWith: wrong }), { message: /account key of sluicetest is wrong/ })
      await assert.rejects(put(testAccount, 'missing'), { message: /has no container missing; create it first/ })
      await assert.rejects(put(signed('racwdl', -60_000)), { message: /has expired or is not valid yet/ })
      await assert.rejects(put(signed('rl', 3_600_000)), {
        code: 'StoreDenied',
        message: /needs the rights to read, write/,
      })
      const { signWith } = signed('racwdl', 3_600_000)
      const torn = 'sas' in signWith ? signWith.sas.replace(/sig=[^&]{6}/, 'sig=AAAAAA') : ''
      await assert.rejects(put({ ...testAccount, signWith: { sas: torn } }), { message: /is not one of sluicetest/ })
    })
  })
}
