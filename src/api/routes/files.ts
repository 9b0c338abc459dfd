import { MAX_LIST_KEYS } from '../../kernel/index.ts'
import type { CommitRef, Target, Versioning } from '../../versioning/index.ts'
import { branchField, pathField, repoField, resolve, revisionField, writablePath } from '../addresses.ts'
import { receiveContent } from '../body.ts'
import type { DeletedJson, DirectoryJson, FilesJson, WrittenJson } from '../contract.ts'
import { optional, present, text, whole } from '../fields.ts'
import { json, type Route, route } from '../route.ts'
import { changeJson, fileJson } from '../views.ts'

const MAX_DELIMITER = 1024

const commitParams = { repo: repoField, revision: revisionField }
const branchParams = { repo: repoField, branch: branchField }

export const fileRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/files',
      summary: 'Lists files of a commit in the order of their paths; with a delimiter, folders with their sizes.',
      needs: 'read',
      within: 'prefix',
      params: commitParams,
      query: {
        prefix: optional(text('Only paths that begin so.')),
        delimiter: optional(text('Paths are folded up to the next one of it.', MAX_DELIMITER, 1)),
        after: optional(text('Only paths after this one: the `next` of the page before.')),
        limit: optional(whole(`How many at most; ${MAX_LIST_KEYS} if left out.`, 1, MAX_LIST_KEYS)),
      },
      answer: { kind: 'json', status: 200, shape: 'Files' },
    },
    async ({ params, query: { limit = MAX_LIST_KEYS, ...query }, services: { versioning } }) => {
      const at = await resolve(versioning, params)
      const page = await versioning.list(targetOf(at), { limit, ...present(query) })
      const answer: FilesJson = {
        ...at,
        files: page.entries.map(fileJson),
        directories: await measure(versioning, at, page.prefixes),
        next: page.next ?? null,
      }
      return json(answer)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/file',
      summary: 'Shows a file of a commit.',
      needs: 'read',
      within: 'path',
      params: commitParams,
      query: { path: pathField },
      answer: { kind: 'json', status: 200, shape: 'File' },
    },
    async ({ params, query, services: { versioning } }) =>
      json(fileJson(await versioning.stat(targetOf(await resolve(versioning, params)), query.path))),
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/content',
      summary: 'The content of a file of a commit.',
      needs: 'read',
      within: 'path',
      params: commitParams,
      query: { path: pathField },
      answer: { kind: 'content' },
    },
    async ({ params, query, services: { versioning } }) => {
      const at = await resolve(versioning, params)
      const entry = await versioning.stat(targetOf(at), query.path)
      return {
        kind: 'content',
        stream: versioning.content.read(entry.content),
        size: entry.size,
        headers: { etag: `"${entry.etag}"`, 'x-sluice-repo': at.repo, 'x-sluice-commit': at.commit },
      }
    },
  ),
  route(
    {
      method: 'PUT',
      path: '/v1/repos/:repo/branches/:branch/file',
      summary:
        'Writes a file of at most 5 GiB to a branch; it is durable and part of the open commit when the answer comes.',
      needs: 'write',
      within: 'path',
      params: branchParams,
      query: { path: pathField },
      body: 'content',
      answer: { kind: 'json', status: 201, shape: 'Written' },
    },
    async ({ params, query, content, author, services: { versioning } }) => {
      const path = writablePath(query.path)
      // Before a long body is read for nothing.
      await versioning.getBranch(params)
      const written = versioning.writing(params)
      try {
        const { staged, md5 } = await receiveContent(content!, versioning)
        const attributes = { metadata: {}, ...present({ contentType: content!.contentType }) }
        const change = await versioning.put(params, { path, staged, etag: md5, attributes, author })
        const answer: WrittenJson = {
          ...params,
          path,
          ...changeJson(change.version),
          etag: md5,
          sizeBytes: staged.size,
        }
        return json(answer, 201)
      } finally {
        written()
      }
    },
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo/branches/:branch/file',
      summary: 'Deletes a file from a branch; that there is none is no error.',
      needs: 'write',
      within: 'path',
      params: branchParams,
      query: { path: pathField },
      answer: { kind: 'json', status: 200, shape: 'Deleted' },
    },
    async ({ params, query, author, services: { versioning } }) => {
      const path = writablePath(query.path)
      const { version, existed } = await versioning.delete(params, path, { author })
      const answer: DeletedJson = { ...params, path, ...changeJson(version), existed }
      return json(answer)
    },
  ),
]

function targetOf({ repo, commit }: CommitRef): Target {
  return { kind: 'commit', repo, commit }
}

/** Folders of a page with what is in them: each is O(log n), and a page has at most 1,000. */
async function measure(versioning: Versioning, at: CommitRef, paths: readonly string[]): Promise<DirectoryJson[]> {
  if (paths.length === 0) return []
  const { root } = await versioning.getCommit(at.repo, at.commit)
  const directories: DirectoryJson[] = []
  for (const path of paths) {
    const { objects, bytes } = await versioning.trees.measure(root, path)
    directories.push({ path, files: objects, sizeBytes: bytes })
  }
  return directories
}
