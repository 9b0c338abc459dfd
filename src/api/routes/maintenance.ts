import { InvalidInput, MAX_PATH_BYTES } from '../../kernel/index.ts'
import type { GcEvent, PurgeEvent, PurgeRecord, WhyResult } from '../../versioning/index.ts'
import { repoField } from '../addresses.ts'
import type { GcEventJson, HolderJson, PurgeEventJson, PurgeJson, WhyJson } from '../contract.ts'
import { flag, optional, parsed, text, whole } from '../fields.ts'
import { json, lines, type Route, route } from '../route.ts'
import { isoTime, isoTimeOrNull } from '../times.ts'

/** A year: nobody waits longer. */
const MAX_GRACE_SECONDS = 31_536_000
const MAX_REASON = 4_000

const sha256 = parsed('SHA-256 of a chunk, of a manifest or of a node of a tree, 64 hex digits.', (value) => {
  if (!/^[0-9a-fA-F]{64}$/.test(value)) throw new InvalidInput('a SHA-256 is 64 hex digits')
  return value.toLowerCase()
})

/** The upkeep of the store; it concerns all repos, so that it is for administrators. */
export const maintenanceRoutes: readonly Route[] = [
  route(
    {
      method: 'POST',
      path: '/v1/gc',
      summary:
        'Removes what nothing refers to any more, while the store is used; the last line sums up. One at a time. For administrators.',
      needs: 'admin',
      body: {
        dryRun: flag('Only says what would go.'),
        graceSeconds: optional(
          whole('How long what was found unused is kept before its bytes go; 3600 if left out.', 0, MAX_GRACE_SECONDS),
        ),
      },
      answer: { kind: 'lines', shape: 'GcEvent' },
    },
    async ({ body: { dryRun, graceSeconds }, services, signal }) => {
      const grace = graceSeconds === undefined ? {} : { graceMs: graceSeconds * 1000 }
      return lines(
        services.versioning.maintenance.gc({ dryRun, signal, ...grace }),
        (event: GcEvent): GcEventJson => event,
      )
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/purges',
      summary:
        'Removes a path from every commit and version of a repo, and its content from the store; there is no way back. For administrators.',
      needs: 'admin',
      params: { repo: repoField },
      body: {
        path: text('The path, or with `prefix` what paths begin with.', MAX_PATH_BYTES, 1),
        prefix: flag('Everything that begins with `path`.'),
        reason: text('Why. It is kept, with who asked for it.', MAX_REASON, 1),
      },
      answer: { kind: 'lines', shape: 'PurgeEvent' },
    },
    async ({ params: { repo }, body, caller, services, signal }) => {
      const { purges } = services.versioning.maintenance
      return lines(purges.run({ repo, ...body, by: caller.key.name, signal }), purgeEventJson)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/purges',
      summary: 'Lists the records of purges, newest first. For administrators.',
      needs: 'admin',
      answer: { kind: 'json', status: 200, shape: 'Purge', list: true },
    },
    async ({ services }) => json((await services.versioning.maintenance.purges.list()).map(purgeJson)),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/why/:sha256',
      summary:
        'Who refers to a piece of content or to a node of a tree: one line, once all trees were looked at. For administrators.',
      needs: 'admin',
      params: { sha256 },
      answer: { kind: 'lines', shape: 'Why' },
    },
    async ({ params, services, signal }) => {
      const asked = async function* () {
        yield await services.versioning.maintenance.why(params.sha256, { signal })
      }
      return lines(asked(), whyJson)
    },
  ),
]

function whyJson({ doomedMs, held, ...result }: WhyResult): WhyJson {
  return {
    ...result,
    held: held.map(({ holder, path }): HolderJson => ({ ...holder, ...(path !== undefined && { path }) })),
    ...(doomedMs !== undefined && { unusedSince: isoTime(doomedMs) }),
  }
}

function purgeJson({ askedMs, finishedMs, ...record }: PurgeRecord): PurgeJson {
  return { ...record, asked: isoTime(askedMs), finished: isoTimeOrNull(finishedMs) }
}

function purgeEventJson(event: PurgeEvent): PurgeEventJson {
  if (event.kind === 'progress') return event
  return { ...event, purge: purgeJson(event.purge) }
}
