/** How far work is that takes long at times. */
export interface WorkStep {
  /**
   * `reading`: changes of the branch that are not in its tree yet; `merging`: differences compared; `placing`: files put in place;
   * `finishing`: it is decided, and its commit is being finished.
   */
  readonly step: 'reading' | 'merging' | 'placing' | 'finishing'
  readonly done: number
  /** Left out where nobody knows. */
  readonly total?: number
}

/** Told now and then, never for what is over in a moment; must not throw. */
export type OnWork = (step: WorkStep) => void
