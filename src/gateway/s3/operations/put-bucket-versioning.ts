import { KIB } from '../../../kernel/index.ts'
import { S3Error } from '../codes.ts'
import { operation } from '../operation.ts'
import { malformed, readXml } from '../xml-read.ts'

export const putBucketVersioning = operation({
  name: 'PutBucketVersioning',
  on: 'bucket',
  needs: 'owner',
  partly: 'Enabled only: versioning can not be suspended, and there is no MFA delete',
  documentBytes: 64 * KIB,
  read: ({ bucket }, bytes) => {
    const root = readXml(bytes, 'VersioningConfiguration')
    const status = root.child('Status')?.text.trim()
    if (status !== 'Enabled' && status !== 'Suspended') throw malformed('Status must be Enabled or Suspended')
    if (root.child('MfaDelete')?.text.trim() === 'Enabled') {
      throw new S3Error('NotImplemented', 'MFA delete is not implemented')
    }
    return { bucket, status }
  },
  run: async ({ bucket, status }, context) => {
    const at = await context.branch(bucket)
    if (status === 'Enabled') return context.versioning.versions.enable(at)
    // A bucket that is not there is that first of all.
    await context.describe({ kind: 'branch', ...at })
    throw new S3Error(
      'InvalidBucketState',
      'Versioning can not be suspended: every write to a versioned repo is a version',
    )
  },
  write: () => ({ status: 200, headers: {} }),
})
