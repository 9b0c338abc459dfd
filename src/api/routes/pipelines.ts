import { AccessDenied, authorizeNewRepo, MAX_LIST_KEYS } from '../../kernel/index.ts'
import type { DatumInfo, JobInfo, LogLine, PipelinePlan, Pipelines } from '../../pipelines/index.ts'
import type { Caller } from '../caller.ts'
import { flag, optional, present, text, whole } from '../fields.ts'
import { empty, json, lines, type Route, route } from '../route.ts'
import { datumJson, jobJson, logLineJson, pipelineJson } from '../views.ts'

const DEFAULT_PAGE = 100
const MAX_ID = 128
const MAX_SEARCH = 1024

const name = text('Name of the pipeline.', MAX_ID, 1)
const job = text('Id of the job, or a prefix of 8 or more digits.', MAX_ID, 1)
const datum = text('Id of the datum.', MAX_ID, 1)
const limit = optional(whole(`How many at most; ${DEFAULT_PAGE} if left out.`, 1, MAX_LIST_KEYS))

const pipelineRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/pipelines',
      summary: 'Lists the pipelines whose output one may read.',
      needs: 'known',
      answer: { kind: 'json', status: 200, shape: 'Pipeline', list: true },
    },
    async ({ caller, services }) => {
      const pipelines = await services.pipelines.list()
      return json(pipelines.filter((pipeline) => caller.may('read', pipeline.name)).map(pipelineJson))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/pipelines',
      summary:
        'Creates a pipeline from its specification, or replaces it. One must own the output and may read the inputs; what reaches ' +
        'outside of the sandbox is for administrators.',
      needs: 'known',
      query: {
        update: flag('Replaces the pipeline of that name; its running jobs end under the old specification.'),
        reprocess: flag('With `update`: runs every datum again.'),
      },
      body: 'json',
      answer: { kind: 'json', status: 201, shape: 'PipelineCreated' },
    },
    async ({ json: spec, query, author, caller, services }) => {
      const { pipeline, notes } = await services.pipelines.create(spec, {
        ...query,
        author,
        owner: caller.key.canonicalId,
        confined: !caller.may('admin', undefined),
        allow: (plan) => allowPipeline(plan, caller),
      })
      return json({ pipeline: pipelineJson(pipeline), notes }, 201)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/pipelines/:name',
      summary: 'Shows a pipeline.',
      needs: 'read',
      about: 'name',
      params: { name },
      answer: { kind: 'json', status: 200, shape: 'Pipeline' },
    },
    async ({ params, services }) => json(pipelineJson(await services.pipelines.get(params.name))),
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/pipelines/:name',
      summary: 'Deletes a pipeline; its running jobs are killed and its output repo stays.',
      needs: 'owner',
      about: 'name',
      params: { name },
      query: { deleteRepo: flag('Deletes the output repo with it.') },
      answer: { kind: 'empty' },
    },
    async ({ params, query, services }) => {
      await services.pipelines.delete(params.name, query)
      return empty
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/pipelines/:name/stop',
      summary: 'Stops a pipeline: no new job is run.',
      needs: 'owner',
      about: 'name',
      params: { name },
      answer: { kind: 'json', status: 200, shape: 'Pipeline' },
    },
    async ({ params, services }) => json(pipelineJson(await services.pipelines.stop(params.name))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/pipelines/:name/start',
      summary: 'Starts a stopped pipeline again.',
      needs: 'owner',
      about: 'name',
      params: { name },
      answer: { kind: 'json', status: 200, shape: 'Pipeline' },
    },
    async ({ params, services }) => json(pipelineJson(await services.pipelines.start(params.name))),
  ),
]

const jobRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/jobs',
      summary: 'Lists jobs whose output one may read, newest first.',
      needs: 'known',
      query: {
        pipeline: optional(name),
        outputCommit: optional(text('Only the job that makes this commit.', MAX_ID, 1)),
        limit,
      },
      answer: { kind: 'json', status: 200, shape: 'Job', list: true },
    },
    async ({ query: { limit = DEFAULT_PAGE, ...query }, caller, services }) =>
      json((await listVisibleJobs(services.pipelines, caller, { limit, ...present(query) })).map(jobJson)),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/jobs/:job',
      summary: 'Shows a job.',
      needs: 'known',
      params: { job },
      answer: { kind: 'json', status: 200, shape: 'Job' },
    },
    async ({ params, caller, services }) => json(jobJson(await findJob(services.pipelines, caller, params.job))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/jobs/:job/kill',
      summary: 'Kills a job; its output commit fails.',
      needs: 'known',
      params: { job },
      answer: { kind: 'json', status: 200, shape: 'Job' },
    },
    async ({ params, caller, services }) => {
      const { id } = await findJob(services.pipelines, caller, params.job, 'owner')
      return json(jobJson(await services.pipelines.killJob(id)))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/jobs/:job/datums',
      summary: 'Lists the datums of a job.',
      needs: 'known',
      params: { job },
      query: { limit, after: optional(datum) },
      answer: { kind: 'json', status: 200, shape: 'Datum', list: true },
    },
    async ({ params, query: { limit = DEFAULT_PAGE, after }, caller, services }) => {
      const { id } = await findJob(services.pipelines, caller, params.job)
      const datums = await services.pipelines.listDatums(id, { limit, ...present({ after }) })
      return json(datums.map((found) => datumJson(veil(found, caller))))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/jobs/:job/datums/:datum',
      summary: 'Shows a datum of a job.',
      needs: 'known',
      params: { job, datum },
      answer: { kind: 'json', status: 200, shape: 'Datum' },
    },
    async ({ params, caller, services }) => {
      const { id } = await findJob(services.pipelines, caller, params.job)
      return json(datumJson(veil(await services.pipelines.getDatum(id, params.datum), caller)))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/logs',
      summary:
        'What user code wrote, and what the system has to say about it; oldest first. Of pipelines whose output one may read.',
      needs: 'known',
      query: {
        pipeline: optional(name),
        job: optional(job),
        datum: optional(datum),
        contains: optional(text('Only lines with this text in them.', MAX_SEARCH, 1)),
        follow: flag('Goes on with new lines; of one job, until it ends.'),
      },
      answer: { kind: 'lines', shape: 'LogLine' },
    },
    async ({ query: { follow, ...query }, caller, services, signal }) => {
      if (query.job !== undefined) await findJob(services.pipelines, caller, query.job)
      if (query.pipeline !== undefined) caller.authorize('read', query.pipeline)
      const found = services.pipelines.logs({ follow, signal, ...present(query) })
      return lines(visibleTo(caller, found), logLineJson)
    },
  ),
]

/** Creating or replacing this pipeline is for whoever owns its output and may read its inputs. Throws AccessDenied. */
function allowPipeline({ output, outputIsNew, inputs, privileged }: PipelinePlan, caller: Caller): void {
  if (outputIsNew) authorizeNewRepo(caller.key, output)
  else caller.authorize('owner', output)
  for (const input of inputs) caller.authorize('read', input)
  if (privileged === undefined || caller.may('admin', undefined)) return
  throw new AccessDenied(`only an administrator may create pipeline ${output}: ${privileged}`, { repo: output })
}

/** A job is for those who may read what it makes. Throws AccessDenied, JobNotFound, AmbiguousJob. */
async function findJob(
  pipelines: Pipelines,
  caller: Caller,
  idOrPrefix: string,
  need: 'read' | 'owner' = 'read',
): Promise<JobInfo> {
  const job = await pipelines.getJob(idOrPrefix)
  caller.authorize(need, job.pipeline)
  return job
}

/** Without the names of files in repos that the caller may not read. */
function veil(datum: DatumInfo, caller: Caller): DatumInfo {
  const inputs = datum.inputs.filter((input) => caller.may('read', input.split('@', 1)[0]))
  return inputs.length === datum.inputs.length ? datum : { ...datum, inputs, why: 'not shown' }
}

async function listVisibleJobs(
  pipelines: Pipelines,
  caller: Caller,
  query: { pipeline?: string; outputCommit?: string; limit: number },
): Promise<readonly JobInfo[]> {
  if (query.pipeline !== undefined) caller.authorize('read', query.pipeline)
  if (query.pipeline !== undefined || caller.may('read', undefined)) return pipelines.listJobs(query)
  const jobs: JobInfo[] = []
  for (const { name } of await pipelines.list()) {
    if (caller.may('read', name)) jobs.push(...(await pipelines.listJobs({ ...query, pipeline: name })))
  }
  return jobs.sort((a, b) => b.createdMs - a.createdMs).slice(0, query.limit)
}

async function* visibleTo(caller: Caller, found: AsyncIterable<LogLine>): AsyncGenerator<LogLine> {
  for await (const line of found) if (caller.may('read', line.pipeline)) yield line
}

export const computeRoutes: readonly Route[] = [...pipelineRoutes, ...jobRoutes]
