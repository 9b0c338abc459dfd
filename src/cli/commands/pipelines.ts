import type { Command } from 'commander'
import type { PipelineCreatedJson, PipelineJson } from '../../api/contract.ts'
import { apiPath, queryString } from '../client.ts'
import { ago, details, shorten } from '../format.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'
import { readSpecs } from '../spec-file.ts'

interface SpecOptions extends JsonOption {
  readonly file: string
  readonly reprocess?: boolean
}

export function addPipelineCommands(program: Command, session: Session): void {
  const pipeline = program.command('pipeline').description('pipelines: code that runs on what is committed')
  withSpecOptions(pipeline.command('create').description('create pipelines from a specification')).action(
    (options: SpecOptions) => sendSpecs(session, options, {}),
  )
  withSpecOptions(pipeline.command('update').description('replace pipelines by a new specification'))
    .option('--reprocess', 'run every datum again')
    .action((options: SpecOptions) => sendSpecs(session, options, { update: true, reprocess: options.reprocess }))
  withJson(pipeline.command('list').description('list the pipelines')).action(async (options: JsonOption) => {
    const pipelines = await (await session.api()).get<PipelineJson[]>('/v1/pipelines')
    printList(session, options, pipelines, [
      ['NAME', (item) => item.name],
      ['VERSION', (item) => String(item.version)],
      ['INPUT', (item) => shorten(item.input, 60)],
      ['CREATED', (item) => ago(item.created, session.now())],
      ['STATE / LAST JOB', (item) => `${item.state} / ${item.lastJob?.state ?? '-'}`],
      ['DESCRIPTION', (item) => shorten(item.description, 60)],
    ])
  })
  withJson(pipeline.command('inspect <pipeline>').description('show a pipeline')).action(
    async (name: string, options: JsonOption) => {
      const found = await (await session.api()).get<PipelineJson>(apiPath`/v1/pipelines/${name}`)
      if (options.json) return printJson(session, found)
      print(session, details(describePipeline(found, session.now())))
      print(session, `Spec:\n${JSON.stringify(found.spec, null, 2)}\n`)
    },
  )
  pipeline
    .command('delete <pipeline>')
    .description('delete a pipeline; its running jobs are killed and its output repo stays')
    .option('--delete-repo', 'delete the output repo with it')
    .action(async (name: string, { deleteRepo }: { deleteRepo?: boolean }) => {
      await (await session.api()).delete(apiPath`/v1/pipelines/${name}` + queryString({ deleteRepo }))
    })
  pipeline
    .command('stop <pipeline>')
    .description('stop a pipeline: no new job is run')
    .action(async (name: string) => {
      await (await session.api()).act(apiPath`/v1/pipelines/${name}/stop`)
    })
  pipeline
    .command('start <pipeline>')
    .description('start a stopped pipeline again')
    .action(async (name: string) => {
      await (await session.api()).act(apiPath`/v1/pipelines/${name}/start`)
    })
}

function withSpecOptions(command: Command): Command {
  return withJson(command).requiredOption(
    '-f, --file <file>',
    'JSON with one or more specifications; - for standard input',
  )
}

async function sendSpecs(
  session: Session,
  options: SpecOptions,
  query: { update?: boolean; reprocess?: boolean | undefined },
): Promise<void> {
  const specs = await readSpecs(options.file, session.stdin)
  const api = await session.api()
  const created: PipelineJson[] = []
  for (const spec of specs) {
    const answer = await api.post<PipelineCreatedJson>(`/v1/pipelines${queryString(query)}`, spec)
    for (const line of answer.notes) note(session, `note: ${line}`)
    created.push(answer.pipeline)
    if (!options.json) print(session, `pipeline ${answer.pipeline.name} ${query.update ? 'updated' : 'created'}\n`)
  }
  if (options.json) printJson(session, created)
}

function describePipeline(pipeline: PipelineJson, nowMs: number): [string, string][] {
  const pairs: [string, string][] = [
    ['Name', pipeline.name],
    ['Version', String(pipeline.version)],
    ['Description', pipeline.description || '<none>'],
    ['State', pipeline.state],
    ['Input', pipeline.input],
    ['Output branch', `${pipeline.name}@${pipeline.outputBranch}`],
    ['Runner', pipeline.runner],
    ['Created', ago(pipeline.created, nowMs)],
    ['Updated', ago(pipeline.updated, nowMs)],
  ]
  if (pipeline.egressUrl !== undefined) pairs.push(['Egress', pipeline.egressUrl])
  if (pipeline.lastJob) pairs.push(['Last job', `${pipeline.lastJob.id} ${pipeline.lastJob.state}`])
  return pairs
}
