import { openApiDocument } from './openapi.ts'
import { json, type Route, route } from './route.ts'
import { commitRoutes } from './routes/commits.ts'
import { egressRoutes } from './routes/egress.ts'
import { fileRoutes } from './routes/files.ts'
import { computeRoutes } from './routes/pipelines.ts'
import { repoRoutes } from './routes/repos.ts'
import { secretRoutes } from './routes/secrets.ts'
import { systemRoutes } from './routes/system.ts'
import { transactionRoutes } from './routes/transactions.ts'
import { userRoutes } from './routes/users.ts'

const documentRoute = route(
  {
    method: 'GET',
    path: '/v1/openapi.json',
    summary: 'This document.',
    needs: 'none',
    answer: { kind: 'json', status: 200, shape: 'Document' },
  },
  async ({ services }) => json(openApiDocument(routes, services.version)),
)

/** Every route there is. The router and the OpenAPI document are made of it and of nothing else. */
export const routes: readonly Route[] = [
  ...systemRoutes,
  documentRoute,
  ...repoRoutes,
  ...commitRoutes,
  ...transactionRoutes,
  ...fileRoutes,
  ...computeRoutes,
  ...egressRoutes,
  ...secretRoutes,
  ...userRoutes,
]
