import { createHash } from 'node:crypto'
import { MAX_PATH_BYTES } from '../../kernel/index.ts'
import type { ImportEvent, Versioning } from '../../versioning/index.ts'
import { branchField, repoField } from '../addresses.ts'
import { BodyMismatch } from '../body.ts'
import type { ImportJson } from '../contract.ts'
import { flag, optional, present, text } from '../fields.ts'
import { type IncomingContent, lines, type Route, route } from '../route.ts'
import { commitWithProvenance } from '../views.ts'

export const importRoutes: readonly Route[] = [
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/import',
      summary:
        'Makes one commit of all files of a tar archive, plain or compressed with gzip or zstd: all of it or nothing. The answer begins when the archive has come.',
      needs: 'write',
      within: 'prefix',
      params: { repo: repoField, branch: branchField },
      query: {
        prefix: optional(text('Stands before the name of each file: a folder, with its slash.', MAX_PATH_BYTES)),
        message: optional(text('The message of the commit.')),
        skip: flag(
          'Leaves out, and names, what can not be stored: links, devices, names that are no paths. Else they are refused.',
        ),
        times: flag('Keeps the modification times, as user metadata `mtime` in seconds.'),
      },
      body: 'content',
      answer: { kind: 'lines', shape: 'Import' },
    },
    async ({ params, query, content, author, signal, services: { versioning } }) => {
      const { skip, times, ...named } = query
      const body = hashed(content!)
      const options = { author, skip, keepTimes: times, signal, verify: body.verify, ...present(named) }
      const received = await versioning.imports.receive(params, body.stream, options)
      return lines(received.land(), (event) => importJson(versioning, event))
    },
  ),
]

/** The body, and the comparison with what the signature covers, if it covers the body. */
function hashed({ stream, signedSha256 }: IncomingContent): { stream: AsyncIterable<Buffer>; verify: () => void } {
  if (signedSha256 === undefined) return { stream, verify: () => {} }
  const sum = createHash('sha256')
  return {
    stream: (async function* () {
      for await (const piece of stream) {
        sum.update(piece)
        yield piece
      }
    })(),
    verify: () => {
      if (sum.digest('hex') !== signedSha256) throw new BodyMismatch()
    },
  }
}

async function importJson(versioning: Versioning, event: ImportEvent): Promise<ImportJson> {
  if (event.kind === 'placing') return event
  const { kind, commit, files, bytes, added, changed, unchanged, skipped, skippedTotal } = event
  const shown = await commitWithProvenance(versioning, commit)
  return { kind, commit: shown, files, sizeBytes: bytes, added, changed, unchanged, skipped, skippedTotal }
}
