/** What a client of the engine sees, over HTTP or without: just enough to ask for what the promises are about. */
import { createHash } from 'node:crypto'
import {
  type BranchAddress,
  type CommitId,
  ConditionFailed,
  type FileWrite,
  NothingToFinish,
  PathNotFound,
  parseBranchName,
  parsePath,
  parseTransactionName,
  type Target,
  TransactionConflict,
  transactionBranch,
  type Versioning,
} from '../../src/versioning/index.ts'
import type { Answer, Client } from '../faults/client.ts'

export interface Condition {
  /** The value that it must hold; null: nothing. */
  readonly expected: string | null
}

export interface Page {
  readonly files: readonly { readonly key: string; readonly size: number; readonly etag: string }[]
  /** Set when there is more. */
  readonly next?: string
}

/** A promise rejects where nobody knows what came of it. Values are texts, and say which writer wrote them when. */
export interface System {
  get(key: string): Promise<string | null>
  /** False: the condition did not hold. */
  put(key: string, value: string, condition?: Condition): Promise<boolean>
  upload(key: string, value: string): Promise<void>
  /** The ETag of what was copied; null: there was nothing. */
  copy(from: string, to: string): Promise<string | null>
  remove(key: string): Promise<void>
  removeMany(keys: readonly string[]): Promise<void>
  /** Of the branch, or of a commit. */
  page(input: { prefix: string; limit: number; after?: string; commit?: string }): Promise<Page>
  /** All of it or nothing, in one commit. False: it was refused. */
  transaction(name: string, files: ReadonlyMap<string, string>): Promise<boolean>
  /** Makes a commit of what was gathered; undefined: there was nothing. */
  commit(message: string): Promise<string | undefined>
  /** The newest finished commit. */
  head(): Promise<string | undefined>
  /** All commits of the branch, newest first. */
  log(): Promise<readonly string[]>
  /** Writes these on another branch and merges that. Where merging is not offered it is left out. */
  merge?(name: string, files: ReadonlyMap<string, string>): Promise<boolean>
}

/** By which a value is known to have been written as an upload of one part, which has another ETag. */
export const UPLOADED = 'uploaded '

const md5 = (bytes: string | Buffer) => createHash('md5').update(bytes).digest()

export function etagOf(value: string): string {
  return value.startsWith(UPLOADED) ? `${md5(md5(value)).toString('hex')}-1` : md5(value).toString('hex')
}

async function putText(
  versioning: Versioning,
  at: BranchAddress,
  key: string,
  value: string,
  more: Pick<FileWrite, 'conditions'> = {},
): Promise<void> {
  const bytes = Buffer.from(value)
  await versioning.put(at, {
    path: parsePath(key),
    staged: await versioning.content.putBytes(bytes),
    etag: etagOf(value),
    attributes: { metadata: {} },
    ...more,
  })
}

/** What the engine says to its callers, without a gateway between. */
export function engineSystem(versioning: Versioning, branch: BranchAddress): System {
  const target: Target = { kind: 'branch', ...branch }
  const refusedAsFalse = async (work: () => Promise<unknown>) => {
    try {
      await work()
      return true
    } catch (error) {
      if (error instanceof ConditionFailed || error instanceof TransactionConflict) return false
      throw error
    }
  }
  const system: System = {
    get: async (key) => {
      try {
        const entry = await versioning.stat(target, parsePath(key))
        return (await versioning.content.readBytes(entry.content)).toString()
      } catch (error) {
        if (error instanceof PathNotFound) return null
        throw error
      }
    },
    put: (key, value, condition) =>
      refusedAsFalse(() => {
        const expected = condition?.expected
        const conditions =
          expected === undefined
            ? {}
            : { conditions: expected === null ? { ifNoneMatch: '*' } : { ifMatch: etagOf(expected) } }
        return putText(versioning, branch, key, value, conditions)
      }),
    upload: async (key, value) => {
      const path = parsePath(key)
      const upload = await versioning.uploads.create(branch, { path, attributes: { metadata: {} } })
      const staged = await versioning.content.putBytes(Buffer.from(value))
      const etag = md5(value).toString('hex')
      await versioning.uploads.putPart(branch, path, upload.id, { number: 1, staged, md5: etag })
      await versioning.uploads.complete(branch, path, upload.id, { parts: [{ number: 1, etag }] })
    },
    copy: async (from, to) => {
      try {
        const source = await versioning.stat(target, parsePath(from))
        await versioning.copy(branch, parsePath(to), { source, attributes: source.attributes })
        return source.etag
      } catch (error) {
        if (error instanceof PathNotFound) return null
        throw error
      }
    },
    remove: async (key) => void (await versioning.delete(branch, parsePath(key))),
    removeMany: async (keys) => {
      await versioning.deleteMany(
        branch,
        keys.map((key) => ({ path: parsePath(key) })),
      )
    },
    page: async ({ prefix, limit, after, commit }) => {
      const of: Target =
        commit === undefined ? target : { kind: 'commit', repo: branch.repo, commit: commit as CommitId }
      const { entries, next } = await versioning.list(of, { prefix, limit, ...(after === undefined ? {} : { after }) })
      const files = entries.map(({ path, size, etag }) => ({ key: path, size, etag }))
      return { files, ...(next === undefined ? {} : { next }) }
    },
    transaction: async (name, files) => {
      const at = { repo: branch.repo, branch: transactionBranch(parseTransactionName(name), branch.branch) }
      await versioning.transactions.open(at)
      for (const [key, value] of files) await putText(versioning, at, key, value)
      const done = await refusedAsFalse(() => versioning.transactions.finish(at))
      if (!done) await versioning.transactions.abort(at)
      return done
    },
    commit: async (message) => {
      try {
        return (await versioning.finishCommit(branch, { message })).id
      } catch (error) {
        if (error instanceof NothingToFinish) return undefined
        throw error
      }
    },
    merge: async (name, files) => {
      const { head } = await versioning.getBranch(branch)
      const side = { repo: branch.repo, branch: parseBranchName(name) }
      await versioning.createBranch(side, head === undefined ? {} : { from: head })
      for (const [key, value] of files) await putText(versioning, side, key, value)
      const { id } = await versioning.finishCommit(side)
      try {
        // Nobody else writes these files: there is nothing to decide.
        await versioning.merges.merge(branch, id, { allowUnrelated: true })
      } finally {
        await versioning.deleteBranch(side, { force: true })
      }
      return true
    },
    head: async () => (await versioning.getBranch(branch)).head,
    log: async () => {
      const commits = await versioning.listCommits(branch.repo, { branch: branch.branch })
      return commits.filter(({ state }) => state === 'finished').map(({ id }) => id)
    },
  }
  return system
}

/** What an S3 client sees of a bucket. `client` is asked for each time: it is another one after a restart. */
export function httpSystem(client: () => Client, bucket: string): System {
  const repo = bucket.slice(bucket.lastIndexOf('.') + 1)
  const send = async (method: string, path: string, options?: Parameters<Client['send']>[2]) => {
    const answer = await client().send(method, path, options)
    if (answer.status >= 500) throw new Error(`${method} ${path}: ${answer.status}`)
    return answer
  }
  const expect = (answer: Answer, ...statuses: readonly number[]) => {
    if (!statuses.includes(answer.status))
      throw new Error(`status ${answer.status}: ${answer.body.toString().slice(0, 300)}`)
    return answer
  }
  const putInto = async (place: string, key: string, value: string, headers: Record<string, string> = {}) =>
    expect(await send('PUT', `/${place}/${key}`, { body: Buffer.from(value), headers }), 200, 409, 412, 404)
  return {
    get: async (key) => {
      const { status, body } = expect(await send('GET', `/${bucket}/${key}`), 200, 404)
      return status === 404 ? null : body.toString()
    },
    put: async (key, value, condition) => {
      const headers =
        condition === undefined
          ? {}
          : condition.expected === null
            ? { 'if-none-match': '*' }
            : { 'if-match': `"${etagOf(condition.expected)}"` }
      return (await putInto(bucket, key, value, headers as Record<string, string>)).status === 200
    },
    upload: async (key, value) => {
      const begun = expect(await send('POST', `/${bucket}/${key}`, { query: 'uploads=' }), 200)
      const upload = encodeURIComponent(/<UploadId>([^<]+)</.exec(begun.body.toString())![1]!)
      const query = `partNumber=1&uploadId=${upload}`
      const part = expect(await send('PUT', `/${bucket}/${key}`, { query, body: Buffer.from(value) }), 200)
      const list = `<Part><PartNumber>1</PartNumber><ETag>${part.headers.etag}</ETag></Part>`
      const body = Buffer.from(`<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`)
      const done = expect(await send('POST', `/${bucket}/${key}`, { query: `uploadId=${upload}`, body }), 200)
      if (!done.body.includes('CompleteMultipartUploadResult')) throw new Error(done.body.toString())
    },
    copy: async (from, to) => {
      const headers = { 'x-amz-copy-source': `/${bucket}/${from}` }
      const { status, body } = expect(await send('PUT', `/${bucket}/${to}`, { headers }), 200, 404)
      return status === 404 ? null : /<ETag>(?:"|&quot;)?([0-9a-f-]+)/.exec(body.toString())![1]!
    },
    remove: async (key) => void expect(await send('DELETE', `/${bucket}/${key}`), 204),
    removeMany: async (keys) => {
      const body = Buffer.from(`<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`)
      const headers = { 'content-md5': md5(body).toString('base64') }
      const { body: answer } = expect(await send('POST', `/${bucket}`, { query: 'delete=', body, headers }), 200)
      if (answer.includes('<Error>')) throw new Error(answer.toString())
    },
    page: async ({ prefix, limit, after, commit }) => {
      const start = after === undefined ? '' : `&start-after=${encodeURIComponent(after)}`
      const query = `list-type=2&max-keys=${limit}&prefix=${encodeURIComponent(prefix)}${start}`
      const place = commit === undefined ? bucket : `${commit}.${repo}`
      const text = expect(await send('GET', `/${place}`, { query }), 200).body.toString()
      const files = [...text.matchAll(/<Contents>(.*?)<\/Contents>/gs)].map(([, one]) => ({
        key: /<Key>([^<]*)</.exec(one!)![1]!,
        size: Number(/<Size>(\d+)</.exec(one!)![1]),
        etag: /<ETag>(?:"|&quot;)?([0-9a-f-]+)/.exec(one!)![1]!,
      }))
      const last = files.at(-1)
      return { files, ...(text.includes('<IsTruncated>true') && last ? { next: last.key } : {}) }
    },
    transaction: async (name, files) => {
      const place = `tx-${name}.${bucket}`
      expect(await send('PUT', `/${place}`), 200)
      for (const [key, value] of files) expect(await putInto(place, key, value), 200)
      const { status } = await putInto(place, '.sluice/commit', '')
      if (status === 200) return true
      expect(await send('DELETE', `/${place}`), 204)
      return false
    },
    commit: async (message) => {
      const { status, headers } = await putInto(bucket, '.sluice/commit', message)
      return status === 200 ? String(headers['x-sluice-commit']) : undefined
    },
    head: async () => {
      const [newest] = await log()
      return newest
    },
    log: () => log(),
  }

  async function log(): Promise<string[]> {
    const { body } = expect(await send('GET', `/${bucket}/.sluice/log.json`), 200)
    const commits = JSON.parse(body.toString()) as { commit?: string; id?: string; state?: string }[]
    return commits
      .filter(({ state }) => state === undefined || state === 'finished')
      .map(({ commit, id }) => (commit ?? id)!)
  }
}
