import { after } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { createTargetGuard } from '../target-guard.ts'
import { azureRefuses, testAccount } from '../testing/azure-account.ts'
import { startAzureServer } from '../testing/azure-server.ts'
import { objectStoreContract } from '../testing/contract.ts'
import { openAzureStore } from './azure-store.ts'

const flat = await startAzureServer()
const hierarchical = await startAzureServer({ hierarchical: true })
after(async () => {
  await flat.close()
  await hierarchical.close()
})

function open(server: typeof flat, folder?: string) {
  return openAzureStore({
    target: server.target(folder),
    credentials: testAccount,
    guard: createTargetGuard({ allowTargets: ['127.0.0.1:*'] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  })
}

objectStoreContract('the Azure driver', async () => open(flat, 'folder/deeper'), {}, { refuses: azureRefuses })
