import type { Command } from 'commander'
import type { CommitJson, TransactionJson } from '../../api/contract.ts'
import { MAX_BUCKET_NAME } from '../../kernel/index.ts'
import { parseBranch } from '../address.ts'
import { apiPath } from '../client.ts'
import { ago } from '../format.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'

export function addTransactionCommands(program: Command, session: Session): void {
  const transaction = program
    .command('transaction')
    .description('transactions: writes that become one commit of their branch, or nothing')
  withJson(transaction.command('start <repo@branch> [name]'))
    .summary('open a transaction; prints its bucket')
    .description(
      'Open a transaction on what the branch holds now, and print the bucket that is written to. Without a name one is made up.',
    )
    .option('-m, --message <text>', 'what its commit is about')
    .action(async (address: string, name: string | undefined, options: JsonOption & { message?: string }) => {
      const { repo, branch } = parseBranch(address)
      const api = await session.api()
      const opened = await api.post<TransactionJson>(apiPath`/v1/repos/${repo}/branches/${branch}/transactions`, {
        ...(name !== undefined && { name: withoutPrefix(name) }),
        ...(options.message !== undefined && { message: options.message }),
      })
      if (options.json) return printJson(session, opened)
      print(session, `${opened.bucket}\n`)
      if (opened.bucket.length > MAX_BUCKET_NAME) {
        note(
          session,
          `${opened.bucket} has ${opened.bucket.length} characters: most S3 clients take ${MAX_BUCKET_NAME} at most`,
        )
      }
      note(session, `write to s3://${opened.bucket}, then: sluice transaction finish ${repo}@${branch} ${opened.name}`)
    })
  withJson(transaction.command('list <repo@branch>').description('list the open transactions of a branch')).action(
    async (address: string, options: JsonOption) => {
      const { repo, branch } = parseBranch(address)
      const api = await session.api()
      const open = await api.get<TransactionJson[]>(apiPath`/v1/repos/${repo}/branches/${branch}/transactions`)
      printList(session, options, open, [
        ['NAME', (item) => item.name],
        ['BUCKET', (item) => item.bucket],
        ['BASE', (item) => item.base ?? '<none>'],
        ['STARTED', (item) => ago(item.started, session.now())],
        ['CHANGES', (item) => String(item.changes)],
        ['MESSAGE', (item) => item.message],
      ])
    },
  )
  transaction
    .command('finish <repo@branch> <name>')
    .description('make one commit of it on its branch; prints its id when it can be read')
    .option('-m, --message <text>', 'what it is about')
    .action(async (address: string, name: string, options: { message?: string }) => {
      const { repo, branch } = parseBranch(address)
      const path = apiPath`/v1/repos/${repo}/branches/${branch}/transactions/${withoutPrefix(name)}/finish`
      print(session, `${(await (await session.api()).post<CommitJson>(path, options)).id}\n`)
    })
  transaction
    .command('abort <repo@branch> <name>')
    .description('let go of it, with everything that was written in it')
    .action(async (address: string, name: string) => {
      const { repo, branch } = parseBranch(address)
      const api = await session.api()
      await api.delete(apiPath`/v1/repos/${repo}/branches/${branch}/transactions/${withoutPrefix(name)}`)
    })
}

/** As it stands in the bucket's name, or without the `tx-` that is no part of it. */
function withoutPrefix(name: string): string {
  return name.replace(/^tx-/, '')
}
