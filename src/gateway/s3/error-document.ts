import type { S3Error } from './codes.ts'
import { leaf, node, XML_HEAD } from './xml.ts'

/** What AWS calls the host id; it stands beside the request id in error reports. */
export const HOST_ID = 'sluice'

/** The error as S3 writes it, with its extra elements. */
export function errorDocument(error: S3Error, request: { readonly id: string; readonly path: string }): string {
  return (
    XML_HEAD +
    node(
      'Error',
      leaf('Code', error.code),
      leaf('Message', error.message),
      ...Object.entries(error.fields).map(([name, value]) => leaf(name, value)),
      leaf('Resource', request.path),
      leaf('RequestId', request.id),
      leaf('HostId', HOST_ID),
    )
  )
}
