import type { Queries } from '../../kernel/index.ts'
import type { TreeHash, Trees } from '../../versioning/index.ts'
import type { Settings } from '../code/index.ts'
import { contentIdentity, type Datum, type DatumInput, fingerprint, matchInput, planDatums } from '../plan/index.ts'
import { leavesOf, type PfsInput, type Spec } from '../spec/index.ts'
import { type DatumResult, findResults, type JobInput, type JobRow, recentJobs } from '../store/index.ts'

/** The datums of a job. The same inputs and spec always give the same ones in the same order. */
export async function planJob(trees: Trees, spec: Spec, inputs: readonly JobInput[]): Promise<readonly Datum[]> {
  const leaves = leavesOf(spec.input)
  const matched = await Promise.all(leaves.map((leaf) => matchInput(trees, leaf, rootOf(leaf, inputs))))
  const byLeaf = new Map(leaves.map((leaf, index) => [leaf, matched[index]!]))
  return planDatums(spec.input, (leaf) => byLeaf.get(leaf)!)
}

function rootOf(leaf: PfsInput, inputs: readonly JobInput[]) {
  const found = inputs.find((input) => input.repo === leaf.repo && input.branch === leaf.branch)
  return found?.root === undefined ? undefined : { commit: found.commit, root: found.root }
}

export interface PlannedDatum {
  readonly datum: Datum
  readonly fingerprint: Buffer
  /** What is kept of it from before: it is not run. */
  readonly known?: DatumResult
}

/** Finds what is already known. */
export async function lookUpResults(
  queries: Queries,
  input: { pipeline: string; job: string; spec: Spec; settings: Settings; datums: readonly Datum[] },
): Promise<readonly PlannedDatum[]> {
  const prints = input.datums.map((datum) => fingerprint(input.settings, datum))
  const own = input.spec.reprocess === 'every_job' ? input.job : undefined
  const results = await findResults(queries, input.pipeline, prints, own)
  return input.datums.map((datum, index) => {
    const print = prints[index]!
    const known = results.get(print.toString('hex'))
    return { datum, fingerprint: print, ...(known && { known }) }
  })
}

/** Datums that it is looked up for exactly why they run; the rest is told in general. */
const MAX_EXPLAINED = 1_000
const MAX_FILES_LOOKED_AT = 20

/** Says of each datum that runs what made it run, by comparing with the pipeline's last successful job. */
export async function explain(
  context: { db: Queries; trees: Trees },
  job: Pick<JobRow, 'pipeline'> & { readonly seq?: number },
  input: { spec: Spec; settings: Settings; datums: readonly Datum[] },
): Promise<readonly string[]> {
  if (input.datums.length === 0) return []
  const all = (why: string) => input.datums.map(() => why)
  if (input.spec.reprocess === 'every_job') return all('reprocess_spec is every_job')
  const query = { pipeline: job.pipeline, state: 'success', limit: 1 } as const
  const [before] = await recentJobs(context.db, job.seq === undefined ? query : { ...query, before: job.seq })
  if (!before?.settings) return all('the first job of the pipeline')
  if (before.settings.code !== input.settings.code) return all('code changed')
  if (before.settings.spec !== input.settings.spec) return all('spec changed')
  const inputs = await keptInputs(context.db, before.inputs)
  const whys: string[] = []
  for (const datum of input.datums) {
    whys.push(
      whys.length < MAX_EXPLAINED ? await explainDatum(context.trees, inputs, datum) : 'an input is new or changed',
    )
  }
  return whys
}

/** With the trees that their commits have by now; those whose commits are not kept any more have none. */
async function keptInputs(db: Queries, inputs: readonly JobInput[]): Promise<readonly JobInput[]> {
  const rows = await db.all<{ id: string; root: TreeHash }>(
    'SELECT c.id, c.root FROM json_each(?) AS wanted CROSS JOIN commits AS c ON c.id = wanted.value',
    [JSON.stringify(inputs.map(({ commit }) => commit))],
  )
  const roots = new Map(rows.map(({ id, root }) => [id, root]))
  return inputs.map(({ root: _root, ...input }) => {
    const root = roots.get(input.commit)
    return root === undefined ? input : { ...input, root }
  })
}

async function explainDatum(trees: Trees, before: readonly JobInput[], datum: Datum): Promise<string> {
  for (const input of datum.inputs) {
    const old = before.find(({ repo, branch }) => repo === input.repo && branch === input.branch)
    if (old === undefined) return `input ${input.name} is new`
    const { root } = old
    if (root === undefined) return `input ${input.name}: the commit before is not kept any more`
    const why = await explainFiles(trees, root, input)
    if (why) return why
  }
  return 'no result of it is kept, or a file of its input is gone'
}

async function explainFiles(trees: Trees, root: TreeHash, input: DatumInput): Promise<string | undefined> {
  for (const file of input.match.files.slice(0, MAX_FILES_LOOKED_AT)) {
    const old = await trees.get(root, file.path as Parameters<Trees['get']>[1])
    if (!old) return `input ${input.name}:/${file.path} is new`
    if (!input.emptyFiles && contentIdentity(old.content) !== contentIdentity(file.content))
      return `input ${input.name}:/${file.path} changed`
  }
  return undefined
}
