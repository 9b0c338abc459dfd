import { SECRET_KINDS } from '../../cloud/index.ts'
import type { PipelineInfo } from '../../pipelines/index.ts'
import { InUse } from '../../versioning/index.ts'
import { choice, optional, present, text } from '../fields.ts'
import { empty, json, type Route, route } from '../route.ts'
import { secretJson } from '../secret-views.ts'

const MAX_NAME = 128
const MAX_KEY = 1024
/** A key file has 2.4 KB; a SAS token and a connection string are shorter. */
const MAX_FILE = 16 * 1024

const name = text('Name of the secret.', MAX_NAME, 1)

/** What belongs to which kind, and what of it is needed, is for the secret store to say: all at once. */
const parts = {
  kind: optional(choice('Of which service it is; left out: s3.', SECRET_KINDS)),
  accessKeyId: optional(text('s3: access key id.', MAX_KEY, 1)),
  secretAccessKey: optional(
    text('s3: secret access key; like every secret part, it is never shown again.', MAX_KEY, 1),
  ),
  region: optional(text('s3: region that requests are signed for.', MAX_NAME, 1)),
  serviceAccount: optional(text('gcs: the text of the JSON key file of a service account.', MAX_FILE, 1)),
  account: optional(text('azure: name of the storage account.', MAX_NAME, 1)),
  accountKey: optional(text('azure: key of the storage account, base64.', MAX_KEY, 1)),
  sas: optional(text('azure: a shared access signature, in place of the key.', MAX_FILE, 1)),
  connectionString: optional(text('azure: in place of account and key or signature.', MAX_FILE, 1)),
  endpoint: optional(text("URL of the endpoint, if it is not the service's own.", MAX_KEY, 1)),
}

export const secretRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/secrets',
      summary: 'Lists the secrets, without their secret parts.',
      needs: 'admin',
      answer: { kind: 'json', status: 200, shape: 'Secret', list: true },
    },
    async ({ services: { secrets, clock } }) =>
      json((await secrets.list()).map((secret) => secretJson(secret, clock.now()))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/secrets',
      summary: 'Keeps the credentials of an egress target under a name.',
      needs: 'admin',
      body: { name, ...parts },
      answer: { kind: 'json', status: 201, shape: 'Secret' },
    },
    async ({ body: { name, ...given }, services: { secrets, clock } }) =>
      json(secretJson(await secrets.create({ name, ...present(given) }), clock.now()), 201),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/secrets/:name',
      summary: 'Shows a secret, without its secret part.',
      needs: 'admin',
      params: { name },
      answer: { kind: 'json', status: 200, shape: 'Secret' },
    },
    async ({ params, services: { secrets, clock } }) =>
      json(secretJson(await secrets.inspect(params.name), clock.now())),
  ),
  route(
    {
      method: 'PUT',
      path: '/v1/secrets/:name',
      summary: 'Gives a secret a new secret part (rotation); it stays where it belongs, and pipelines go on with it.',
      needs: 'admin',
      params: { name },
      body: parts,
      answer: { kind: 'json', status: 200, shape: 'Secret' },
    },
    async ({ params, body, services: { secrets, clock } }) =>
      json(secretJson(await secrets.update({ name: params.name, ...present(body) }), clock.now())),
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/secrets/:name',
      summary: 'Deletes a secret that no pipeline and no unfinished egress uses.',
      needs: 'admin',
      params: { name },
      answer: { kind: 'empty' },
    },
    async ({ params, services }) => {
      const pipelines = (await services.pipelines.list()).filter(usesSecret(params.name))
      const by = [
        ...pipelines.map(({ name }) => ({ what: `pipeline ${name}`, id: name as string })),
        // Of an older version of a spec, or by hand.
        ...(await services.egress.usesOf(params.name)).map((id) => ({ what: `egress ${id.slice(0, 8)}`, id })),
      ]
      if (by.length > 0) {
        const names = by.map(({ what }) => what).join(', ')
        throw new InUse(
          `secret ${params.name} is used by ${names}: change, end or delete that first; sluice secret update ${params.name} gives the secret another secret part`,
          { by: by.map(({ id }) => id) },
        )
      }
      await services.secrets.delete(params.name)
      return empty
    },
  ),
]

function usesSecret(secret: string): (pipeline: PipelineInfo) => boolean {
  return ({ spec }) => (spec as { egress?: { secret?: unknown } } | null)?.egress?.secret === secret
}
