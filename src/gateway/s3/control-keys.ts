import { CONTROL_FOLDER } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'

/** For every write below `.sluice/`. */
export function controlFolderReadOnly(): S3Error {
  return new S3Error(
    'AccessDenied',
    `${CONTROL_FOLDER} is the control folder of every bucket and can not be written: choose another key`,
  )
}
