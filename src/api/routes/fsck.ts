import type { FsckJson, StatsJson } from '../contract.ts'
import { flag, optional, present, whole } from '../fields.ts'
import { json, lines, type Route, route } from '../route.ts'

/** Checking the store and counting what is in it. Faults name files of every repo, so that all of this is for administrators. */
export const fsckRoutes: readonly Route[] = [
  route(
    {
      method: 'POST',
      path: '/v1/fsck',
      summary: 'Looks for damage while the store is used; the last line is the verdict. For administrators.',
      needs: 'admin',
      body: {
        deep: flag('Also every stored byte against its hash.'),
        repair: flag('Mends what can be made again from what is sound; never removes anything.'),
        share: optional(
          whole('How much of the time of one core it may take, in percent; half of it where it is left out.', 5, 100),
        ),
      },
      answer: { kind: 'lines', shape: 'Fsck' },
    },
    async ({ body: { deep, repair, share }, services, signal }) =>
      lines(
        services.versioning.maintenance.fsck({
          deep: deep === true,
          repair: repair === true,
          ...present({ share: share === undefined ? undefined : share / 100 }),
          signal,
        }),
        (event): FsckJson => event,
      ),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/stats',
      summary:
        'Counts what is in the store: repos, commits, files, stored bytes and what sharing saves. For administrators.',
      needs: 'admin',
      answer: { kind: 'json', status: 200, shape: 'Stats' },
    },
    async ({ services }) => json((await services.versioning.maintenance.stats()) satisfies StatsJson),
  ),
]
