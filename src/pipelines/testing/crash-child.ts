/** A process that is made to be killed: it runs jobs on the store in the folder it is given, and says when datums are done. */
import { Bench } from './harness.ts'

const bench = await Bench.open({ folder: process.argv[2]! })
setInterval(async () => {
  const [job] = await bench.pipelines.listJobs({ pipeline: 'p' })
  console.log(JSON.stringify({ state: job?.state, processed: job?.datums.processed }))
}, 20)
