import { Command } from 'commander'
import { addBackupCommands } from './commands/backup.ts'
import { addCommitCommands } from './commands/commits.ts'
import { addEgressCommands } from './commands/egress.ts'
import { addVerifyCommand } from './commands/egress-verify.ts'
import { addFileCommands } from './commands/files.ts'
import { addFlushCommand } from './commands/flush.ts'
import { addFsckCommands } from './commands/fsck.ts'
import { addGcCommands } from './commands/gc.ts'
import { addHistoryCommands } from './commands/history.ts'
import { addImportCommand } from './commands/import.ts'
import { addDatumCommands, addJobCommands, addLogsCommand } from './commands/jobs.ts'
import { addMergeCommands } from './commands/merge.ts'
import { addPipelineCommands } from './commands/pipelines.ts'
import { addPlaceCommands } from './commands/places.ts'
import { addPurgeCommand } from './commands/purge.ts'
import { addBranchCommands, addRepoCommands } from './commands/repos.ts'
import { addSecretCommands } from './commands/secrets.ts'
import { addEnvCommand, addVersionCommand } from './commands/system.ts'
import { addTagCommands } from './commands/tag.ts'
import { addTransactionCommands } from './commands/transactions.ts'
import { addUserCommands } from './commands/users.ts'
import type { Session } from './session.ts'

/** The whole command line. Its actions write to the session and throw what went wrong. */
export function buildProgram(session: Session, version: string): Command {
  const program = new Command('sluice')
    .description('Versioned data repos behind S3, with pipelines. Addresses are repo@branch-or-commit:path.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => session.stdout.write(text),
      writeErr: (text) => session.stderr.write(text),
      outputError: (text, write) => write(withGroup(program, text.replace(/^error: /, 'sluice: '))),
    })
    .showSuggestionAfterError()
    .showHelpAfterError('with --help a command says how it is written')
  addRepoCommands(program, session)
  addBranchCommands(program, session)
  addCommitCommands(program, session)
  addTransactionCommands(program, session)
  addPlaceCommands(addFileCommands(program, session), session)
  addImportCommand(program, session)
  addPipelineCommands(program, session)
  addJobCommands(program, session)
  addDatumCommands(program, session)
  addLogsCommand(program, session)
  addFlushCommand(program, session)
  addVerifyCommand(addEgressCommands(program, session), session)
  addHistoryCommands(program, session)
  addMergeCommands(program, session)
  addTagCommands(program, session)
  addGcCommands(program, session)
  addPurgeCommand(program, session)
  addFsckCommands(program, session)
  addSecretCommands(program, session)
  addUserCommands(program, session)
  addBackupCommands(program, session)
  addEnvCommand(program, session)
  addVersionCommand(program, session, version)
  showUsageAfterErrors(program, 'sluice')
  return program
}

/** What was left out is seen best beside how the command is written. */
function showUsageAfterErrors(command: Command, name: string): void {
  for (const sub of command.commands) {
    const full = `${name} ${sub.name()}`
    if (sub.commands.length === 0) sub.showHelpAfterError(`usage: ${full} ${sub.usage()}; --help says more`)
    showUsageAfterErrors(sub, full)
  }
}

/** `sluice mv` is meant for `sluice file mv`. */
function withGroup(program: Command, text: string): string {
  const word = /^sluice: unknown command '([a-z-]+)'/.exec(text)?.[1]
  const groups = program.commands.filter((group) => group.commands.some((command) => command.name() === word))
  if (word === undefined || groups.length === 0) return text
  return `sluice: unknown command '${word}': is ${groups.map((group) => `\`sluice ${group.name()} ${word}\``).join(' or ')} meant?\n`
}
