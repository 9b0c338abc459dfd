import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CHUNK_BYTES,
  createLog,
  type Database,
  migrate,
  openSqlite,
  randomHexId,
  silentLog,
  systemClock,
} from '../../kernel/index.ts'
import {
  type CommitId,
  type CommitRef,
  type FlushVerdict,
  openVersioning,
  parseBranchName,
  parsePath,
  parseRepoName,
  type StagedContent,
  type Versioning,
  versioningMigrations,
} from '../../versioning/index.ts'
import {
  type EgressPort,
  type JobInfo,
  openPipelines,
  openProcessRunner,
  type Pipelines,
  type ProcessMode,
  pipelineMigrations,
  pipelineReferences,
} from '../index.ts'

/** Egress that nobody asked for. */
export const noEgress: EgressPort = {
  check: async () => ({ url: 's3://bucket/dir', notes: [] }),
  request: async () => {},
  status: async () => undefined,
  cancel: async () => {},
  requeue: async () => {},
  release: async () => {},
  onChange: () => () => {},
}

interface BenchOptions {
  readonly folder?: string
  readonly start?: boolean
  readonly egress?: EgressPort
  /** Which runners may be used. */
  readonly modes?: readonly ProcessMode[]
  /** Wraps the floor below, to make it fail. */
  readonly faults?: (versioning: Versioning) => Versioning
}

/** A store with pipelines in a folder of its own, over the real floors below. */
export class Bench {
  readonly folder: string
  readonly db: Database
  readonly versioning: Versioning
  readonly pipelines: Pipelines

  private constructor(parts: { folder: string; db: Database; versioning: Versioning; pipelines: Pipelines }) {
    this.folder = parts.folder
    this.db = parts.db
    this.versioning = parts.versioning
    this.pipelines = parts.pipelines
  }

  static async open(options: BenchOptions = {}): Promise<Bench> {
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'sluice-pipelines-')))
    const dataFolder = join(folder, 'data')
    await mkdir(join(folder, 'code'), { recursive: true })
    await mkdir(dataFolder, { recursive: true })
    const log = process.argv.includes('--show-log') ? createLog('debug') : silentLog
    const databaseFile = join(dataFolder, 'sluice.sqlite')
    const db = await openSqlite({ file: databaseFile, log })
    await migrate(db, [versioningMigrations, pipelineMigrations])
    const versioning = await openVersioning({
      db,
      databaseFile,
      dataFolder,
      batch: { idleMs: 60_000, maxAgeMs: 600_000, maxChanges: 100_000 },
      holders: [pipelineReferences],
      clock: systemClock,
      log,
      onFatal: (error) => {
        throw error
      },
    })
    const pipelines = await openPipelines({
      db,
      versioning: options.faults?.(versioning) ?? versioning,
      egress: options.egress ?? noEgress,
      config: { dataFolder, workers: 2, sandboxPaths: [], runner: 'auto' },
      clock: systemClock,
      log,
      newId: randomHexId,
      scratchFolder: join(dataFolder, 'scratch'),
      rest: { afterErrorMs: 10, whileFullMs: 10 },
      ...(options.modes && {
        runner: await openProcessRunner({
          config: { dataFolder, sandboxPaths: [] },
          scratchFolder: join(dataFolder, 'scratch'),
          log,
          modes: options.modes,
        }),
      }),
    })
    if (options.start !== false) await pipelines.startEngine()
    return new Bench({ folder, db, versioning, pipelines })
  }

  async close(options: { keep?: boolean } = {}): Promise<void> {
    await this.pipelines.stopEngine()
    await this.versioning.close()
    await this.db.close()
    if (!options.keep) await rm(this.folder, { recursive: true, force: true })
  }

  /** Writes the code of a pipeline, and creates it as `sh run.sh` over the inputs. */
  async pipeline(name: string, script: string, more: Readonly<Record<string, unknown>> & { transform?: object } = {}) {
    const workingDir = join(this.folder, 'code', name)
    await mkdir(workingDir, { recursive: true })
    await writeFile(join(workingDir, 'run.sh'), script)
    const { transform, update, reprocess, ...rest } = more
    return this.pipelines.create(
      {
        pipeline: { name },
        transform: { cmd: ['sh', 'run.sh'], working_dir: workingDir, ...transform },
        input: { pfs: { repo: 'in', glob: '/*' } },
        ...rest,
      },
      { ...(update === true && { update }), ...(reprocess === true && { reprocess }) },
    )
  }

  async repo(...names: string[]): Promise<void> {
    for (const name of names) await this.versioning.createBranch(at(name))
  }

  async put(repo: string, files: Readonly<Record<string, string | Buffer | null>>): Promise<void> {
    for (const [path, body] of Object.entries(files)) {
      if (body === null) {
        await this.versioning.delete(at(repo), parsePath(path))
        continue
      }
      const bytes = Buffer.from(body)
      const staged = await this.#stage(bytes)
      const etag = createHash('md5').update(bytes).digest('hex')
      await this.versioning.put(at(repo), { path: parsePath(path), staged, etag, attributes: { metadata: {} } })
    }
  }

  async #stage(bytes: Buffer): Promise<StagedContent> {
    if (bytes.length <= CHUNK_BYTES) return this.versioning.content.putBytes(bytes)
    const writer = this.versioning.content.writer({ expectedBytes: bytes.length })
    await writer.write(bytes)
    return writer.finish()
  }

  /** Makes what was put a commit, and waits until all that follows from it has ended. */
  async flush(
    repo: string,
    options: { timeoutMs?: number } = {},
  ): Promise<{ root: CommitRef; ok: boolean; branches: Readonly<Record<string, FlushVerdict>> }> {
    const root = await this.versioning.seal(at(repo))
    if (!root) throw new Error(`${repo} has no commit`)
    for await (const event of this.versioning.flush([root], { timeoutMs: options.timeoutMs ?? 30_000 })) {
      if (event.kind !== 'verdict') continue
      return {
        root,
        ok: event.ok,
        branches: Object.fromEntries(event.branches.map((verdict) => [verdict.repo, verdict])),
      }
    }
    throw new Error('flush ended without a verdict')
  }

  /** path → text of a branch's head. */
  async files(repo: string, commit?: string): Promise<Record<string, string>> {
    const target =
      commit === undefined
        ? ({ kind: 'branch', ...at(repo) } as const)
        : ({ kind: 'commit', repo: parseRepoName(repo), commit: commit as CommitId } as const)
    const { entries } = await this.versioning.list(target, { limit: 1000 })
    const texts: Record<string, string> = {}
    for (const entry of entries) texts[entry.path] = (await this.versioning.content.readBytes(entry.content)).toString()
    return texts
  }

  async lastJob(pipeline: string): Promise<JobInfo> {
    const [job] = await this.pipelines.listJobs({ pipeline, limit: 1 })
    if (!job) throw new Error(`${pipeline} has no job`)
    return job
  }

  /** Waits until the pipeline's newest job has ended. */
  async ended(pipeline: string): Promise<JobInfo> {
    return this.until(async () => {
      const [job] = await this.pipelines.listJobs({ pipeline, limit: 1 })
      return job?.finishedMs === undefined ? undefined : job
    })
  }

  async until<T>(probe: () => Promise<T | undefined>): Promise<T> {
    for (let i = 0; i < 3_000; i++) {
      const found = await probe()
      if (found !== undefined) return found
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    throw new Error('it did not come to be within 30 s')
  }

  async logText(query: Parameters<Pipelines['logs']>[0]): Promise<string> {
    let text = ''
    for await (const line of this.pipelines.logs(query)) text += `${line.stream} ${line.text}\n`
    return text
  }
}

export function at(repo: string) {
  return { repo: parseRepoName(repo), branch: parseBranchName('master') }
}
