/** Ends the command with one line on standard error. */
export class CliError extends Error {
  readonly exitCode: number = 1
}

/** The command was not written as it should be. */
export class UsageError extends CliError {
  override readonly exitCode = 2
}

/** The server refused; `code` is the literal one of its answer. */
export class ApiError extends CliError {
  readonly code: string
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, data: Readonly<Record<string, unknown>> = {}) {
    const hint = hints[code]
    super(hint === undefined ? message : `${message.replace(/\.$/, '')}; ${hint}`)
    this.code = code
    this.data = data
  }
}

/** What to do about an error, where the server's own text can't know the command line. */
const hints: Readonly<Record<string, string>> = {
  RepoNotFound: '`sluice repo list` shows what there is, `sluice repo create NAME` makes one',
  BranchNotFound: '`sluice branch list REPO` shows what there is, `sluice branch create REPO@BRANCH` makes one',
  BranchNotEmpty: '`sluice branch delete REPO@BRANCH --force` deletes it with them',
  CommitNotFound: '`sluice commit list REPO` shows what there is, `sluice flush REPO@BRANCH` finishes what was written',
  PathNotFound:
    '`sluice file list REPO@REVISION` shows what there is, `sluice flush REPO@BRANCH` finishes what was just written',
  TagNotFound: '`sluice tag list REPO` shows what there is',
  NoMergeBase: '--allow-unrelated says so',
  MainlineNeeded: 'say it with --mainline',
  PipelineNotFound: '`sluice pipeline list` shows what there is',
  PipelineExists: '`sluice pipeline update -f FILE` replaces it',
  JobNotFound: '`sluice job list` shows what there is',
  SignatureMismatch: 'check AWS_SECRET_ACCESS_KEY, or take the server\'s root key: eval "$(npx sluice env)"',
  UnknownAccessKey: 'check AWS_ACCESS_KEY_ID, or take the server\'s root key: eval "$(npx sluice env)"',
  ExpiredSecurityToken: 'go back to the key that made it (the root key: eval "$(npx sluice env)"), and make new ones',
  RequestTimeSkewed: 'set the clock of this machine, or of the server',
}
