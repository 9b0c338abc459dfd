import { type BranchAddress, scratchArea } from '../../versioning/index.ts'
import type { Context } from './operation.ts'
import type { RequestHeaders } from './request.ts'

/** Hadoop's S3A begins its user agent with its version: `Hadoop 3.4.1, aws-sdk-java/2.29.52 …`. */
export function isFromJob(headers: RequestHeaders): boolean {
  return /\bHadoop[ /]\d/.test(headers['user-agent'] ?? '')
}

/**
 * Overwriting jobs delete what is there long before they write: then the batch waits for them. Deletes of folder markers (S3A makes
 * them all the time) and of scratch files say nothing.
 */
export function noteJobDeletes(
  context: Context,
  at: BranchAddress,
  deleted: readonly { readonly path: string; readonly existed: boolean }[],
): void {
  const isRewrite = deleted.some(
    ({ path, existed }) => existed && !path.endsWith('/') && scratchArea(path) === undefined,
  )
  if (isRewrite) context.versioning.rewriting(at)
}

/** Committers that keep files on the workers' disks until the end make the folder first, and nothing else for as long as the job takes. */
export function noteJobFolder(context: Context, at: BranchAddress, path: string): void {
  if (path.endsWith('/') && scratchArea(path) === undefined) context.versioning.preparing(at)
}
