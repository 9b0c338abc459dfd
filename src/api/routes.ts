import { openApiDocument } from './openapi.ts'
import { json, type Route, route } from './route.ts'
import { backupRoutes } from './routes/backups.ts'
import { commitRoutes } from './routes/commits.ts'
import { egressRoutes } from './routes/egress.ts'
import { fileRoutes } from './routes/files.ts'
import { fsckRoutes } from './routes/fsck.ts'
import { historyRoutes } from './routes/history.ts'
import { importRoutes } from './routes/imports.ts'
import { maintenanceRoutes } from './routes/maintenance.ts'
import { mergeRoutes } from './routes/merges.ts'
import { computeRoutes } from './routes/pipelines.ts'
import { placeRoutes } from './routes/places.ts'
import { repoRoutes } from './routes/repos.ts'
import { retentionRoutes } from './routes/retention.ts'
import { secretRoutes } from './routes/secrets.ts'
import { systemRoutes } from './routes/system.ts'
import { tagRoutes } from './routes/tags.ts'
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
  ...historyRoutes,
  ...transactionRoutes,
  ...mergeRoutes,
  ...tagRoutes,
  ...fileRoutes,
  ...placeRoutes,
  ...importRoutes,
  ...computeRoutes,
  ...egressRoutes,
  ...secretRoutes,
  ...userRoutes,
  ...maintenanceRoutes,
  ...retentionRoutes,
  ...backupRoutes,
  ...fsckRoutes,
]
