import type { ReferenceSource } from '../../versioning/index.ts'
import { unendedSql } from './job-rows.ts'

/**
 * What the rows of this floor refer to. Outputs that are on their way, or that a failed push may take up again; results of the newest job
 * of a pipeline. Older results are worth keeping as long as commits hold their files: they spare a run, and bring nothing back by it.
 */
export const pipelineReferences: ReferenceSource = {
  trees: [
    `SELECT output_root AS root, 'the output of a job' AS what, id FROM job
     WHERE output_root IS NOT NULL
       AND (${unendedSql} OR (state IN ('failure', 'killed') AND output_commit IN (SELECT id FROM commits)))`,
    `SELECT input.value ->> 'root' AS root, 'an input of a job' AS what, job.id
     FROM job CROSS JOIN json_each(job.inputs) AS input WHERE ${unendedSql}`,
    `SELECT r.root, 'a result of a job' AS what, r.job AS id FROM datum_result AS r CROSS JOIN job AS j ON j.id = r.job
     WHERE j.seq = (SELECT max(seq) FROM job WHERE pipeline = j.pipeline)`,
  ],
  results: [
    {
      select: 'SELECT root, json_array(pipeline, hex(fingerprint)) AS key FROM datum_result',
      // A job looks results up before it has a row, and after its output commit was opened.
      drop: `DELETE FROM datum_result
        WHERE (pipeline, fingerprint) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?))
          AND NOT EXISTS (SELECT 1 FROM commits INDEXED BY commits_unfinished
                          WHERE finished_ms IS NULL AND commits.pipeline = datum_result.pipeline)`,
    },
  ],
  rewritten: ['UPDATE job SET output_root = ?2 WHERE output_root = ?1'],
  // Of the pipelines that write the repo: their next jobs run their datums again.
  purged: [
    `DELETE FROM datum_result WHERE pipeline IN (
       SELECT pipeline FROM branches WHERE repo = ?1 AND pipeline IS NOT NULL UNION SELECT pipeline FROM job WHERE repo = ?1)`,
  ],
}
