import type { MigrationSet } from '../../kernel/index.ts'

/** Tables of the pipelines floor. */
export const pipelineMigrations: MigrationSet = {
  floor: 'pipelines',
  migrations: [
    {
      version: 1,
      up: [
        `CREATE TABLE pipeline (
          name TEXT PRIMARY KEY,
          version INTEGER NOT NULL,
          state TEXT NOT NULL,
          created_ms INTEGER NOT NULL,
          updated_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID`,
        // Kept when the pipeline is gone: its jobs still say what they ran. 'generation' is raised to run everything again.
        `CREATE TABLE pipeline_version (
          pipeline TEXT NOT NULL,
          version INTEGER NOT NULL,
          spec TEXT NOT NULL,
          egress TEXT,
          generation INTEGER NOT NULL,
          created_ms INTEGER NOT NULL,
          author TEXT,
          PRIMARY KEY (pipeline, version)
        ) STRICT, WITHOUT ROWID`,
        `CREATE TABLE job (
          seq INTEGER PRIMARY KEY,
          id TEXT NOT NULL UNIQUE,
          pipeline TEXT NOT NULL,
          spec_version INTEGER NOT NULL,
          state TEXT NOT NULL,
          output_commit TEXT NOT NULL UNIQUE,
          repo TEXT NOT NULL,
          inputs TEXT NOT NULL,
          created_ms INTEGER NOT NULL,
          started_ms INTEGER,
          finished_ms INTEGER,
          reason TEXT,
          total INTEGER NOT NULL DEFAULT 0,
          skipped INTEGER NOT NULL DEFAULT 0,
          processed INTEGER NOT NULL DEFAULT 0,
          failed INTEGER NOT NULL DEFAULT 0,
          recovered INTEGER NOT NULL DEFAULT 0,
          attempt INTEGER NOT NULL DEFAULT 0,
          lease_owner TEXT,
          lease_until_ms INTEGER,
          settings TEXT,
          output_root TEXT
        ) STRICT`,
        'CREATE INDEX job_by_pipeline ON job (pipeline, seq)',
        "CREATE INDEX job_unended ON job (seq) WHERE state IN ('created', 'starting', 'running', 'egressing', 'finishing')",
        // Only datums that a job ran; what it reused follows from its inputs and settings.
        `CREATE TABLE datum (
          job TEXT NOT NULL,
          id TEXT NOT NULL,
          state TEXT NOT NULL,
          why TEXT NOT NULL,
          attempts INTEGER NOT NULL DEFAULT 0,
          exit_code INTEGER,
          started_ms INTEGER,
          finished_ms INTEGER,
          bytes_out INTEGER NOT NULL DEFAULT 0,
          reason TEXT,
          PRIMARY KEY (job, id)
        ) STRICT, WITHOUT ROWID`,
        `CREATE TABLE datum_result (
          pipeline TEXT NOT NULL,
          fingerprint BLOB NOT NULL,
          root TEXT NOT NULL,
          files INTEGER NOT NULL,
          size_bytes INTEGER NOT NULL,
          job TEXT NOT NULL,
          datum TEXT NOT NULL,
          PRIMARY KEY (pipeline, fingerprint)
        ) STRICT, WITHOUT ROWID`,
      ],
    },
    // For the metrics, which count them by state.
    { version: 2, up: ['CREATE INDEX job_by_state ON job (state)'] },
    // 1: made by somebody who may not reach outside of the sandbox. Before there were users, all were made by the administrator.
    { version: 3, up: ['ALTER TABLE pipeline_version ADD COLUMN confined INTEGER NOT NULL DEFAULT 0'] },
  ],
}
