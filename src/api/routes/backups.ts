import type { ObjectStore } from '../../cloud/index.ts'
import { InvalidInput } from '../../kernel/index.ts'
import type { BackupEvent, BackupInfo } from '../../versioning/index.ts'
import type { BackupEventJson, BackupJson, BackupVerifyJson } from '../contract.ts'
import { flag, listOf, optional, present, text, whole } from '../fields.ts'
import { json, lines, type Route, route, type Services } from '../route.ts'
import { isoTime } from '../times.ts'

const MAX_WHERE = 4096
const MAX_SECRET = 63
/** In one request; more than anybody keeps. */
const MAX_BACKUPS = 10_000

const where = {
  to: text(
    "A folder of the server's machine (an absolute path), or a folder in an object store: s3://…, gs://…, azblob://….",
    MAX_WHERE,
    1,
  ),
  secret: optional(text('Name of the secret with the credentials of the object store.', MAX_SECRET, 1)),
}
const backup = text('Id of the backup, or its number; left out, the newest.', MAX_SECRET, 1)

/** Backups of the whole store. They hold all that is in it, so that all of this is for administrators. */
export const backupRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/backups',
      summary: 'Lists the backups at a place, the oldest first. For administrators.',
      needs: 'admin',
      query: where,
      answer: { kind: 'json', status: 200, shape: 'Backup', list: true },
    },
    async ({ query, services }) =>
      atPlace(services, query, async (place) => json((await services.versioning.backups.list(place)).map(backupJson))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/backups',
      summary:
        'Copies the whole store to a place while it is used; what an earlier backup there has is not sent again. For administrators.',
      needs: 'admin',
      body: {
        ...where,
        withoutKeys: flag('Leaves out the root key and the key of the secrets.'),
        takeOver: flag('The place holds backups of the store that this one was restored from: goes on there.'),
      },
      answer: { kind: 'lines', shape: 'BackupEvent' },
    },
    async ({ body: { to, secret, ...options }, services, signal }) =>
      lines(
        overPlace(services, { to, secret, make: true }, (place) =>
          services.versioning.backups.create(place, { ...options, signal }),
        ),
        backupEventJson,
      ),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/backups/verify',
      summary:
        'Compares what is at a place with what its backups consist of, and names what is not so. For administrators.',
      needs: 'admin',
      body: {
        ...where,
        backup: optional(backup),
        all: flag('All backups there.'),
        quick: flag('Only whether everything is there, by names and sizes; else every byte is read.'),
      },
      answer: { kind: 'lines', shape: 'BackupVerify' },
    },
    async ({ body: { to, secret, backup: id, ...options }, services, signal }) =>
      lines(
        overPlace(services, { to, secret }, (place) =>
          services.versioning.backups.verify(place, { ...options, ...present({ id }), signal }),
        ),
        (event): BackupVerifyJson => event,
      ),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/backups/remove',
      summary: 'Removes backups, and what only they consist of. The last one stays. For administrators.',
      needs: 'admin',
      body: {
        ...where,
        backups: optional(listOf(backup, MAX_BACKUPS)),
        keep: optional(whole('Removes all but the newest so many.', 1, MAX_BACKUPS)),
      },
      answer: { kind: 'json', status: 200, shape: 'BackupsRemoved' },
    },
    async ({ body: { backups: ids, keep, ...at }, services }) =>
      atPlace(services, at, async (place) => {
        if ((ids === undefined) === (keep === undefined)) throw new InvalidInput('say either backups, or keep')
        return json(await services.versioning.backups.remove(place, ids === undefined ? { keep: keep! } : { ids }))
      }),
  ),
]

interface Where {
  readonly to: string
  readonly secret: string | undefined
}

async function atPlace<Result>(
  { places }: Services,
  { to, secret }: Where,
  work: (place: ObjectStore) => Promise<Result>,
): Promise<Result> {
  const place = await places.open(to, { secret, make: false })
  try {
    return await work(place)
  } finally {
    await place.close()
  }
}

async function* overPlace<Event>(
  { places }: Services,
  { to, secret, make = false }: Where & { readonly make?: boolean },
  work: (place: ObjectStore) => AsyncIterable<Event>,
): AsyncGenerator<Event> {
  const place = await places.open(to, { secret, make })
  try {
    yield* work(place)
  } finally {
    await place.close()
  }
}

function backupJson({ createdMs, bytes, ...info }: BackupInfo): BackupJson {
  return { ...info, created: isoTime(createdMs), sizeBytes: bytes }
}

function backupEventJson(event: BackupEvent): BackupEventJson {
  return event.kind === 'done' ? { ...event, backup: backupJson(event.backup) } : event
}
