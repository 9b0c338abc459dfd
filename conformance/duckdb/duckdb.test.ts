import { join } from 'node:path'
import { pythonSuite } from '../shared/python.ts'

await pythonSuite('duckdb', ['duckdb'], join(import.meta.dirname, 'duckdb_suite.py'))
