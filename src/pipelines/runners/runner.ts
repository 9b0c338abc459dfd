/** One run of user code on one datum. */
export interface RunRequest {
  readonly cmd: readonly string[]
  /** Lines of the standard input; without them it is empty. */
  readonly stdin?: readonly string[]
  /** Everything that the code finds in its environment, besides PATH and HOME where these are not set here. */
  readonly env: Readonly<Record<string, string>>
  /** Absolute, as user code sees it; undefined: `/`. */
  readonly workingDir?: string
  /** Host files and folders that the code may read, at their own paths. */
  readonly readable: readonly string[]
  /** Holds `pfs/` (with a folder for each input, and `out/`) and `tmp/`. Only `out` and `tmp` may be written. */
  readonly datumFolder: string
  /** Ends the run: everything that was started is killed. */
  readonly signal: AbortSignal
  onOutput(stream: 'stdout' | 'stderr', bytes: Buffer): void
}

/** How the code ended. */
export type RunResult =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: string }
  /** The code did not run at all; the reason is for the user. */
  | { readonly kind: 'not-started'; readonly reason: string }

/** Where user code runs. When `run` has resolved, nothing of what it started in a sandbox is alive. */
export interface Runner {
  /** As shown to users. */
  readonly name: string
  readonly sandboxed: boolean
  /** What users must know; set where it is no sandbox. */
  readonly warning?: string
  /** Where user code finds the `pfs` of this datum folder. */
  pfsRoot(datumFolder: string): string
  run(request: RunRequest): Promise<RunResult>
}
