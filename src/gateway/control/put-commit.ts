import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { MAX_MESSAGE_BYTES } from '../../kernel/index.ts'
import { type Commit, type CommitRef, isTransactionName, NothingToFinish } from '../../versioning/index.ts'
import { invalidArgument } from '../s3/codes.ts'
import { type Context, type Operation, operation } from '../s3/operation.ts'

/** The key that a commit's message is PUT to. */
export const COMMIT_KEY = '.sluice/commit'
/** How long the answer waits for the commit to be readable by its id; it is durable, and visible in the branch, before. */
const WAIT_MS = 30_000

/**
 * PUT of `.sluice/commit`, the body its message: in a transaction's bucket it is finished, in a branch's what it has gathered is made a
 * commit. Any S3 tool can do that.
 */
export const putCommit: Operation = operation({
  name: 'PutCommit',
  on: 'object',
  needs: 'write',
  documentBytes: MAX_MESSAGE_BYTES,
  read: ({ bucket }, body) => ({ bucket, message: readMessage(body), etag: hash('md5', body, 'hex') }),
  run: async ({ bucket, message, etag }, context) => {
    const at = await context.branch(bucket)
    const input = message === '' ? {} : { message }
    const author = context.caller.name
    const finished = isTransactionName(at.branch)
      ? await context.versioning.transactions.finish(at, { ...input, author })
      : await finishBatch(context, at, input)
    return { commit: await readable(context, finished), etag }
  },
  write: ({ commit, etag }) => ({
    status: 200,
    headers: {
      ETag: `"${etag}"`,
      'x-sluice-repo': commit.repo,
      'x-sluice-branch': commit.branch,
      'x-sluice-commit': commit.id,
      'x-sluice-commit-state': commit.state,
    },
  }),
})

/** Asked again, by a client that did not hear the first answer, it is the commit that was made then. */
async function finishBatch(
  context: Context,
  at: Awaited<ReturnType<Context['branch']>>,
  input: { message?: string },
): Promise<CommitRef> {
  const { versioning } = context
  try {
    const { repo, id } = await versioning.finishCommit(at, input)
    return { repo, commit: id }
  } catch (error) {
    if (!(error instanceof NothingToFinish) || input.message === undefined) throw error
    const [newest] = await versioning.listCommits(at.repo, { branch: at.branch, limit: 1 })
    if (newest?.message !== input.message) throw error
    return { repo: newest.repo, commit: newest.id }
  }
}

function readable(context: Context, { commit }: CommitRef): Promise<Commit> {
  return context.versioning.waitForCommit(commit, AbortSignal.any([context.signal(), AbortSignal.timeout(WAIT_MS)]))
}

function readMessage(body: Buffer): string {
  if (!isUtf8(body)) throw invalidArgument('body', '', 'The message of a commit is text in UTF-8')
  // What an editor or `echo` ends a file with is no part of it.
  return body.toString('utf8').trimEnd()
}
