import { join } from 'node:path'
import { pythonSuite } from '../shared/python.ts'
import { missingTool } from '../support.ts'
import { sparkJars } from './jars.ts'

const { folder, missing } = sparkJars()
await pythonSuite('spark', ['pyspark'], join(import.meta.dirname, 'spark_suite.py'), {
  missing: (await missingTool('java', ['-version'])) ?? missing,
  environment: { SUITE_SPARK_JARS: folder },
  // Two minutes on a machine of its own; the first jobs of a JVM are slow, and there are some fifty.
  timeoutMs: 600_000,
  // Tasks pause longer than this: what keeps a job together is that the branch knows of it.
  settings: { SLUICE_BATCH_IDLE_MS: '1000' },
})
