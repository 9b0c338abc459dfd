import { MAX_LIST_KEYS } from '../../kernel/index.ts'
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
      summary: 'Lists the pipelines.',
      needs: 'read',
      answer: { kind: 'json', status: 200, shape: 'Pipeline', list: true },
    },
    async ({ services }) => json((await services.pipelines.list()).map(pipelineJson)),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/pipelines',
      summary: 'Creates a pipeline from its specification, or replaces it.',
      needs: 'admin',
      query: {
        update: flag('Replaces the pipeline of that name; its running jobs end under the old specification.'),
        reprocess: flag('With `update`: runs every datum again.'),
      },
      body: 'json',
      answer: { kind: 'json', status: 201, shape: 'PipelineCreated' },
    },
    async ({ json: spec, query, author, services }) => {
      const { pipeline, notes } = await services.pipelines.create(spec, { ...query, author })
      return json({ pipeline: pipelineJson(pipeline), notes }, 201)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/pipelines/:name',
      summary: 'Shows a pipeline.',
      needs: 'read',
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
      needs: 'admin',
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
      needs: 'admin',
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
      needs: 'admin',
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
      summary: 'Lists jobs, newest first.',
      needs: 'read',
      query: {
        pipeline: optional(name),
        outputCommit: optional(text('Only the job that makes this commit.', MAX_ID, 1)),
        limit,
      },
      answer: { kind: 'json', status: 200, shape: 'Job', list: true },
    },
    async ({ query: { limit = DEFAULT_PAGE, ...query }, services }) =>
      json((await services.pipelines.listJobs({ limit, ...present(query) })).map(jobJson)),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/jobs/:job',
      summary: 'Shows a job.',
      needs: 'read',
      params: { job },
      answer: { kind: 'json', status: 200, shape: 'Job' },
    },
    async ({ params, services }) => json(jobJson(await services.pipelines.getJob(params.job))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/jobs/:job/kill',
      summary: 'Kills a job; its output commit fails.',
      needs: 'admin',
      params: { job },
      answer: { kind: 'json', status: 200, shape: 'Job' },
    },
    async ({ params, services }) => json(jobJson(await services.pipelines.killJob(params.job))),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/jobs/:job/datums',
      summary: 'Lists the datums of a job.',
      needs: 'read',
      params: { job },
      query: { limit, after: optional(datum) },
      answer: { kind: 'json', status: 200, shape: 'Datum', list: true },
    },
    async ({ params, query: { limit = DEFAULT_PAGE, after }, services }) =>
      json((await services.pipelines.listDatums(params.job, { limit, ...present({ after }) })).map(datumJson)),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/jobs/:job/datums/:datum',
      summary: 'Shows a datum of a job.',
      needs: 'read',
      params: { job, datum },
      answer: { kind: 'json', status: 200, shape: 'Datum' },
    },
    async ({ params, services }) => json(datumJson(await services.pipelines.getDatum(params.job, params.datum))),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/logs',
      summary: 'What user code wrote, and what the system has to say about it; oldest first.',
      needs: 'read',
      query: {
        pipeline: optional(name),
        job: optional(job),
        datum: optional(datum),
        contains: optional(text('Only lines with this text in them.', MAX_SEARCH, 1)),
        follow: flag('Goes on with new lines; of one job, until it ends.'),
      },
      answer: { kind: 'lines', shape: 'LogLine' },
    },
    async ({ query: { follow, ...query }, services, signal }) =>
      lines(services.pipelines.logs({ follow, signal, ...present(query) }), logLineJson),
  ),
]

export const computeRoutes: readonly Route[] = [...pipelineRoutes, ...jobRoutes]
