import type http from 'node:http'
import type https from 'node:https'
import type { Storage } from '@google-cloud/storage'
import { errnoOf, errorMessage } from '../../kernel/index.ts'
import type { GcsCredentials } from '../credentials.ts'
import { networkError } from '../network-errors.ts'
import { StoreDenied } from '../object-store.ts'
import type { GcsTarget } from '../target.ts'

/** Says who asks. */
export interface Identity {
  /** The service account's address; undefined: the host's own identity. */
  readonly account: string | undefined
  /** The Authorization header of the next request. Throws StoreDenied, or StoreUnreachable if a token service is. */
  authorization(): Promise<string>
}

/** Of objects: no bucket's settings, no other service. */
const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write'
/** Tokens are for the scope, not for a host: one is signed an hour, whatever it is asked for. */
const TOKEN_URL = 'https://storage.googleapis.com/'

type Auth = Storage['authClient']
type Client = Awaited<ReturnType<Auth['getClient']>>

interface Agents {
  readonly http: http.Agent
  readonly https: https.Agent
}

/**
 * Who a target's requests are made by, through the SDK's own library of identities. A service account signs its tokens itself,
 * so that no token service is asked, and nothing of the environment is looked at. Without credentials it is the host's own
 * identity (Application Default Credentials), which is only shown to Google.
 */
export function openIdentity(credentials: GcsCredentials | undefined, target: GcsTarget, agents: Agents): Identity {
  if (!credentials) checkOwnEndpoint(target)
  let client: Promise<Client> | undefined
  return {
    account: credentials?.clientEmail,
    async authorization() {
      try {
        client ??= openClient(credentials, agents)
        // Its other headers would bill another project, if the environment names one.
        const { Authorization } = await (await client).getRequestHeaders(TOKEN_URL)
        if (!Authorization) throw new Error('there is no token in what was answered')
        return Authorization
      } catch (error) {
        client = undefined
        throw unusable(credentials, error)
      }
    },
  }
}

async function openClient(credentials: GcsCredentials | undefined, agents: Agents): Promise<Client> {
  // Loaded when it is needed: it takes longer than all the rest of the start.
  const { Storage } = await import('@google-cloud/storage')
  const storage = new Storage({
    // Else it is looked for, in files, by a program and at the metadata service.
    projectId: 'unused',
    ...(credentials ? { credentials: keyFile(credentials) } : {}),
    // With an agent of its own it takes no proxy of the environment's, and token services are guarded as targets are: all but
    // the metadata service of Google's machines, which is asked by the host about itself.
    clientOptions: {
      transporterOptions: { agent: (url: URL) => (url.protocol === 'http:' ? agents.http : agents.https) },
    },
  })
  storage.authClient.useJWTAccessWithScope = true
  const client = await storage.authClient.getClient()
  if ('scopes' in client) client.scopes = [SCOPE]
  return client
}

function keyFile({ clientEmail, privateKey, privateKeyId }: GcsCredentials) {
  return {
    type: 'service_account',
    client_email: clientEmail,
    private_key: privateKey,
    ...(privateKeyId === undefined ? {} : { private_key_id: privateKeyId }),
  }
}

/** Another's endpoint could use the host's token for whatever the host may do. */
function checkOwnEndpoint({ endpoint }: GcsTarget): void {
  if (endpoint === undefined || /^https:\/\/([a-z0-9-]+\.)*googleapis\.com$/.test(endpoint)) return
  throw new StoreDenied(
    `the host's own identity is for Google's own endpoint only, not for ${endpoint}: name a secret with a service account's key`,
  )
}

function unusable(credentials: GcsCredentials | undefined, failure: unknown): unknown {
  if (failure instanceof StoreDenied) return failure
  // The library's own error carries the request to the token service, with what it is asked by.
  const error = Object.assign(new Error(errorMessage(failure)), { code: errnoOf(failure) })
  if (credentials) {
    return new StoreDenied(
      `nothing can be signed with the key of the service account ${credentials.clientEmail}: make the secret again from its key file`,
      {},
      error,
    )
  }
  const failed = networkError(error, 'the token service of this host')
  if (failed) return failed
  return new StoreDenied(
    `this host has no identity that Google Cloud knows (${error.message.slice(0, 200)}): name a secret with a service account's key`,
    {},
    error,
  )
}
