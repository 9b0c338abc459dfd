import { join } from 'node:path'
import { pythonSuite } from '../shared/python.ts'

await pythonSuite('delta-rs', ['deltalake', 'pyarrow'], join(import.meta.dirname, 'delta_rs_suite.py'), {
  guide: 'delta-rs',
})
