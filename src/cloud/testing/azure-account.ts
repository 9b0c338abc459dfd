import { createAzureClient } from '../azure/client.ts'
import type { AzureCredentials } from '../credentials.ts'
import type { AzureTarget } from '../target.ts'
import { createTargetGuard } from '../target-guard.ts'

/** Made up for tests: emulators take whichever account they are told. */
export const accountKey = Buffer.from('a key that only these tests know').toString('base64')
export const testAccount: AzureCredentials = { kind: 'azure', account: 'sluicetest', signWith: { accountKey } }

/** A folder of a container that is served at an endpoint. */
export function azureTarget(endpoint: string, container: string, folder = ''): AzureTarget {
  const host = endpoint.replace(/^https?:\/\//, '')
  const url = `wasbs://${container}@${host}${folder && `/${folder}`}`
  return { kind: 'azure', account: testAccount.account, endpoint, bucket: container, folder, url, identity: url }
}

export async function makeContainer(target: AzureTarget): Promise<void> {
  const guard = createTargetGuard({ allowTargets: [`${new URL(target.endpoint).host}`] })
  const client = createAzureClient({ target, credentials: testAccount, guard })
  await client.container.createIfNotExists()
  client.close()
}

/** Keys of the contract that Azure can't hold, and why. */
export const azureRefuses: Readonly<Record<string, string>> = {
  'trailing.': 'dots at the end of a segment are dropped',
  'back\\slash': 'a backslash is taken for a slash',
  'tab\there': 'no control characters',
  'a//b': 'a hierarchical namespace drops empty segments',
  'a/': 'a hierarchical namespace drops empty segments',
  'a/b/': 'a hierarchical namespace drops empty segments',
  'a/./b': 'dots are resolved',
  'a/../b': 'dots are resolved',
}
