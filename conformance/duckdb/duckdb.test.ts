import { join } from 'node:path'
import { pythonSuite } from '../shared/python.ts'

const suite = join(import.meta.dirname, 'duckdb_suite.py')
await pythonSuite('duckdb', ['duckdb'], suite, {
  guide: 'duckdb',
  following: { runners: { sql: ['python3', suite, 'sql'] } },
})
