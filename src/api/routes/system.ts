import { METRICS_TYPE } from '../../kernel/index.ts'
import { json, type Route, route } from '../route.ts'

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
