import { join } from 'node:path'
import { repository } from '../server.ts'
import { pythonSuite } from '../shared/python.ts'

const here = import.meta.dirname
const environment = { SUITE_EXAMPLES: join(repository, 'examples') }

await pythonSuite('boto3', ['boto3'], join(here, 'boto3_suite.py'), { environment, guide: 'boto3' })
await pythonSuite('boto3: versions, tags, transactions, snapshots', ['boto3'], join(here, 'boto3_history.py'))
await pythonSuite('boto3: restores, merges, tags, collecting', ['boto3'], join(here, 'boto3_graph.py'))
