import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { BackupEventJson, BackupJson, BackupsRemovedJson, BackupVerifyJson } from '../../api/contract.ts'
import { errorMessage } from '../../kernel/index.ts'
import { queryString } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { ago, humanSize, printable } from '../format.ts'
import { offlineLines } from '../offline.ts'
import { Progress } from '../progress.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'
import { parseCount } from './commits.ts'

interface PlaceOptions extends JsonOption {
  readonly secret?: string
  /** A store that is not running. */
  readonly data?: string
  /** A file with the parts of a secret. */
  readonly credentials?: string
}

/** As it comes from the offline process, which knows no API. */
type StoredBackup = Omit<BackupJson, 'created' | 'sizeBytes'> & { readonly createdMs: number; readonly bytes: number }

const PLACES = `
A place is a folder (of the server's machine, where a server is asked), or a folder in an object store that holds nothing else:
  sluice backup create /mnt/backups/sluice
  sluice backup create s3://my-bucket/sluice --secret backups
  sluice backup restore /mnt/backups/sluice --data ./data
  sluice backup restore s3://my-bucket/sluice --data ./data --credentials key.json
The file of --credentials holds the parts of a secret: {"kind": "s3", "accessKeyId": "…", "secretAccessKey": "…", "endpoint": "…"}.
A backup holds the root key and the key of the secrets: keep it as secret as the data folder.`

/** `sluice backup`: copies of the whole store. */
export function addBackupCommands(program: Command, session: Session): void {
  const backup = program.command('backup').description('copies of the whole store').addHelpText('after', PLACES)
  addCreate(backup, session)
  withJson(withPlace(backup.command('list <place>').description('list the backups at a place'))).action(
    async (where: string, options: PlaceOptions) => {
      const place = placeOf(where)
      const backups = isOffline(options)
        ? await collect(
            offlineLines<StoredBackup>(session, 'offline-backup', await asked('list', place, options)),
            shown,
          )
        : await (await session.api()).get<BackupJson[]>(
            `/v1/backups${queryString({ to: place, secret: options.secret })}`,
          )
      printList(session, options, backups, [
        ['BACKUP', (item) => item.id],
        ['MADE', (item) => ago(item.created, session.now())],
        ['SIZE', (item) => humanSize(item.sizeBytes)],
        ['KEYS', (item) => (item.keys ? 'yes' : 'no')],
        ['STORE', (item) => item.store],
      ])
    },
  )
  addVerify(backup, session)
  addRemove(backup, session)
  addRestore(backup, session)
}

function addCreate(backup: Command, session: Session): void {
  withJson(withPlace(backup.command('create <place>')))
    .summary('copy the store to a place')
    .description(
      'Copy the whole store to a place as it is now, while it is used. What an earlier backup there has is not sent again. With --data, of a ' +
        'store that is not running.',
    )
    .option('--without-keys', 'leave out root-key.json and secrets.key: keep them elsewhere')
    .option('--take-over', 'the backups there are of the store that this one was restored from: go on there')
    .option('--keep <count>', 'then remove all but the newest so many', parseCount)
    .action(async (where: string, options: PlaceOptions & { withoutKeys?: true; takeOver?: true; keep?: number }) => {
      const place = placeOf(where)
      const more = { withoutKeys: options.withoutKeys === true, takeOver: options.takeOver === true }
      const events: AsyncIterable<BackupEventJson> = isOffline(options)
        ? withShown(
            offlineLines<BackupEventJson>(session, 'offline-backup', await asked('create', place, options, more)),
          )
        : (await session.api()).lines('POST', '/v1/backups', { to: place, ...secretOf(options), ...more })
      const done = await follow(session, 'backup', events)
      const removed =
        options.keep === undefined ? undefined : await remove(session, place, options, { keep: options.keep })
      if (options.json) return printJson(session, { ...done, ...(removed && { removed: removed.backups }) })
      const { id, sizeBytes } = done.backup
      print(session, `backup ${id}: ${humanSize(sizeBytes)}, of which ${humanSize(done.bytesSent)} were sent\n`)
      if (removed) printRemoved(session, removed)
    })
}

function addVerify(backup: Command, session: Session): void {
  withJson(withPlace(backup.command('verify <place>')))
    .summary('read a backup back and compare it with its hashes')
    .description(
      'Compare every byte of a backup with its hashes: of the newest, of --backup, or of --all. Exits with 1 if anything is not whole.',
    )
    .option('--backup <id>', 'this one')
    .option('--all', 'all of them')
    .option('--quick', 'only whether everything is there, without reading it')
    .action(async (where: string, options: PlaceOptions & { backup?: string; all?: true; quick?: true }) => {
      const place = placeOf(where)
      const which = {
        ...(options.backup !== undefined && { backup: options.backup }),
        all: options.all === true,
        quick: options.quick === true,
      }
      const events: AsyncIterable<BackupVerifyJson> = isOffline(options)
        ? offlineLines(session, 'offline-backup', await asked('verify', place, options, which))
        : (await session.api()).lines('POST', '/v1/backups/verify', { to: place, ...secretOf(options), ...which })
      const faults: BackupVerifyJson[] = []
      const done = await follow(session, 'verify', events, (fault) => {
        faults.push(fault)
        if (!options.json)
          print(session, `${printable(`damaged  ${fault.object}: ${fault.why} (backup ${fault.backup})`)}\n`)
      })
      if (done.faults > 0) session.exitCode = 1
      if (options.json) return printJson(session, { ...done, named: faults })
      const whole = done.faults === 0 ? 'all as they were written' : `${done.faults} damaged`
      print(session, `${done.backups} backup(s), ${done.objects} object(s), ${humanSize(done.bytes)}: ${whole}\n`)
    })
}

function addRemove(backup: Command, session: Session): void {
  withJson(withPlace(backup.command('remove <place> [backup...]')))
    .summary('remove backups, and what only they need')
    .description(
      'Remove the backups that are named, or with --keep all but the newest so many, and what no other needs. The last one stays.',
    )
    .option('--keep <count>', 'keep the newest so many', parseCount)
    .action(async (where: string, ids: string[], options: PlaceOptions & { keep?: number }) => {
      if ((ids.length === 0) === (options.keep === undefined))
        throw new UsageError('name the backups to remove, or say --keep COUNT')
      const removed = await remove(
        session,
        placeOf(where),
        options,
        options.keep === undefined ? { ids } : { keep: options.keep },
      )
      if (options.json) return printJson(session, removed)
      printRemoved(session, removed)
    })
}

function addRestore(backup: Command, session: Session): void {
  withJson(backup.command('restore <place>'))
    .summary('make a data folder of a backup')
    .description(
      'Fill an empty data folder with a backup, the newest unless --backup says another; every byte is compared with its hash. No server ' +
        'may use the folder; start one on it afterwards. Jobs and pushes that were under way go on then, as after a crash.',
    )
    .requiredOption('--data <folder>', 'the folder to fill')
    .option('--backup <id>', 'this one')
    .option('--credentials <file>', 'the parts of a secret for the object store, as JSON')
    .action(async (where: string, options: PlaceOptions & { data: string; backup?: string }) => {
      const which = options.backup === undefined ? {} : { backup: options.backup }
      const request = await asked('restore', placeOf(where), options, which)
      type Event =
        | { readonly kind: 'progress'; readonly bytesDone: number; readonly bytesTotal: number }
        | { readonly kind: 'done'; readonly backup: StoredBackup; readonly store: string }
      const done = await follow(session, 'restore', offlineLines<Event>(session, 'offline-backup', request))
      if (options.json) return printJson(session, { backup: shown(done.backup), store: done.store })
      print(session, `${resolve(options.data)} holds backup ${done.backup.id} (${humanSize(done.backup.bytes)})\n`)
      if (!done.backup.keys) {
        note(
          session,
          'it holds no keys: put root-key.json and secrets.key into the folder before a server is started on it',
        )
      }
    })
}

function withPlace(command: Command): Command {
  return command
    .option('--secret <name>', 'name of the secret with the credentials of the object store')
    .option('--data <folder>', 'of the store in this data folder, which is not running')
    .option('--credentials <file>', 'without a server: the parts of a secret, as JSON')
}

function isOffline({ data, credentials }: PlaceOptions): boolean {
  return data !== undefined || credentials !== undefined
}

/** What another process is asked, which may stand in another folder. */
async function asked(command: string, place: string, options: PlaceOptions, more: object = {}): Promise<object> {
  const { secret, data, credentials } = options
  return {
    command,
    place,
    ...(secret !== undefined && { secret }),
    ...(data !== undefined && { dataFolder: resolve(data) }),
    ...(credentials !== undefined && { credentials: await readParts(credentials) }),
    ...more,
  }
}

async function readParts(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new CliError(
      `${file} can't be read as JSON: ${error instanceof SyntaxError ? 'it is none' : errorMessage(error)}`,
    )
  }
}

/** A folder is told whole: whoever opens it may stand in another one. */
function placeOf(where: string): string {
  return /^[A-Za-z][A-Za-z0-9+.-]*:/.test(where) ? where : resolve(where)
}

function secretOf({ secret }: PlaceOptions): { secret?: string } {
  return secret === undefined ? {} : { secret }
}

function shown({ createdMs, bytes, ...info }: StoredBackup): BackupJson {
  return { ...info, created: new Date(createdMs).toISOString(), sizeBytes: bytes }
}

async function* withShown(events: AsyncIterable<BackupEventJson>): AsyncGenerator<BackupEventJson> {
  for await (const event of events) {
    yield event.kind === 'done' ? { ...event, backup: shown(event.backup as unknown as StoredBackup) } : event
  }
}

async function collect<From, To>(source: AsyncIterable<From>, to: (item: From) => To): Promise<To[]> {
  const items: To[] = []
  for await (const item of source) items.push(to(item))
  return items
}

async function remove(
  session: Session,
  place: string,
  options: PlaceOptions,
  which: { readonly ids: readonly string[] } | { readonly keep: number },
): Promise<BackupsRemovedJson> {
  if (isOffline(options)) {
    const lines = offlineLines<BackupsRemovedJson>(
      session,
      'offline-backup',
      await asked('remove', place, options, which),
    )
    for await (const removed of lines) return removed
    throw new CliError('the backups were not removed')
  }
  const named = 'ids' in which ? { backups: which.ids } : which
  const api = await session.api()
  return api.post<BackupsRemovedJson>('/v1/backups/remove', { to: place, ...secretOf(options), ...named })
}

function printRemoved(session: Session, { backups, bytes }: BackupsRemovedJson): void {
  print(session, `${backups.length} backup(s) removed, ${humanSize(bytes)} freed\n`)
}

interface Step {
  readonly kind: 'progress'
  readonly bytesDone: number
  readonly bytesTotal: number
}

/** Shows how far it is, hands faults over, and returns the last line. */
async function follow<Event extends { readonly kind: string }>(
  session: Session,
  label: string,
  events: AsyncIterable<Event | Step>,
  onFault: (fault: Extract<Event, { kind: 'fault' }>) => void = () => {},
): Promise<Extract<Event, { kind: 'done' }>> {
  let bar: Progress | undefined
  let shownBytes = 0
  try {
    for await (const event of events) {
      if (event.kind === 'done') return event as Extract<Event, { kind: 'done' }>
      if (event.kind === 'fault') onFault(event as Extract<Event, { kind: 'fault' }>)
      if (event.kind !== 'progress') continue
      const { bytesDone, bytesTotal } = event as Step
      bar ??= new Progress({ stream: session.stderr, now: session.now, label, total: bytesTotal })
      bar.add(bytesDone - shownBytes)
      shownBytes = bytesDone
    }
  } finally {
    bar?.end()
  }
  throw new CliError('it did not come to its end: try again')
}
