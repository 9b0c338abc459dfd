import { METRICS_TYPE } from '../../kernel/index.ts'
import type { PipelineInfo } from '../../pipelines/index.ts'
import { InUse } from '../../versioning/index.ts'
import { optional, present, text } from '../fields.ts'
import { empty, json, type Route, route } from '../route.ts'
import { secretJson } from '../views.ts'

const MAX_NAME = 128
const MAX_KEY = 1024

const name = text('Name of the secret.', MAX_NAME, 1)

export const systemRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/healthz',
      summary: 'Says that the server is up, and whether it takes writes.',
      needs: 'none',
      answer: { kind: 'json', status: 200, shape: 'Health' },
    },
    async ({ services }) => json({ status: services.versioning.full ? 'full' : 'ok' }),
  ),
  route(
    {
      method: 'GET',
      path: '/readyz',
      summary: 'Says whether requests should be sent here: 503 while writes would be refused or the server stops.',
      needs: 'none',
      answer: { kind: 'json', status: 200, shape: 'Readiness' },
    },
    async ({ services, signal }) => {
      const status = signal.aborted ? 'stopping' : services.versioning.full ? 'full' : 'ready'
      return json({ status }, status === 'ready' ? 200 : 503)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/metrics',
      summary: "The metrics in Prometheus' text format.",
      needs: 'admin',
      token: 'metrics',
      answer: { kind: 'text', type: METRICS_TYPE },
    },
    async ({ services }) => ({ kind: 'text', type: METRICS_TYPE, body: await services.metrics.render() }),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/version',
      summary: 'Shows the version of the server.',
      needs: 'known',
      answer: { kind: 'json', status: 200, shape: 'Version' },
    },
    async ({ services }) => json({ version: services.version, api: 'v1' }),
  ),
]

export const secretRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/secrets',
      summary: 'Lists the secrets, without their secret parts.',
      needs: 'admin',
      answer: { kind: 'json', status: 200, shape: 'Secret', list: true },
    },
    async ({ services }) => json((await services.secrets.list()).map(secretJson)),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/secrets',
      summary: 'Keeps the credentials of an egress target under a name.',
      needs: 'admin',
      body: {
        name,
        accessKeyId: text('Access key id.', MAX_KEY, 1),
        secretAccessKey: text('Secret access key; it is never shown again.', MAX_KEY, 1),
        endpoint: optional(text('URL of the S3 endpoint, if it is not AWS.', MAX_KEY, 1)),
        region: optional(text('Region that requests are signed for.', MAX_NAME, 1)),
      },
      answer: { kind: 'json', status: 201, shape: 'Secret' },
    },
    async ({ body: { endpoint, region, ...credentials }, services: { secrets } }) => {
      await secrets.create({ ...credentials, ...present({ endpoint, region }) })
      return json(secretJson(await secrets.inspect(credentials.name)), 201)
    },
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
    async ({ params, services }) => json(secretJson(await services.secrets.inspect(params.name))),
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/secrets/:name',
      summary: 'Deletes a secret.',
      needs: 'admin',
      params: { name },
      answer: { kind: 'empty' },
    },
    async ({ params, services }) => {
      const by = (await services.pipelines.list()).filter(usesSecret(params.name)).map((pipeline) => pipeline.name)
      if (by.length > 0) {
        throw new InUse(`secret ${params.name} is used by pipeline ${by.join(', ')}; change or delete that first`, {
          by,
        })
      }
      await services.secrets.delete(params.name)
      return empty
    },
  ),
]

function usesSecret(secret: string): (pipeline: PipelineInfo) => boolean {
  return ({ spec }) => (spec as { egress?: { secret?: unknown } } | null)?.egress?.secret === secret
}
