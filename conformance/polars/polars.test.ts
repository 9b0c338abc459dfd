import { join } from 'node:path'
import { pythonSuite } from '../shared/python.ts'

await pythonSuite('polars', ['polars', 'pyarrow'], join(import.meta.dirname, 'polars_suite.py'), { guide: 'polars' })
