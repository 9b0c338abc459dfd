import { join } from 'node:path'
import { pythonSuite } from '../shared/python.ts'

await pythonSuite('pyarrow', ['pyarrow'], join(import.meta.dirname, 'pyarrow_suite.py'), { guide: 'pyarrow' })
