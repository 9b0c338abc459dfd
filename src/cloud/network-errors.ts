import { errnoOf, errorMessage } from '../kernel/index.ts'
import { type StoreError, StoreRejected, StoreUnreachable } from './object-store.ts'

const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'EAI_AGAIN',
  'EAI_NODATA',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ERR_STREAM_PREMATURE_CLOSE',
])

/** What a failed connection to `service` is in the stores' vocabulary; undefined where the network did not fail. */
export function networkError(error: unknown, service: string): StoreError | undefined {
  const errno = errnoOf(error)
  if (errno === undefined) return undefined
  if (errno === 'ENOTFOUND') {
    return new StoreUnreachable(`the host of ${service} is not known (${errno}): check its name`, {}, error)
  }
  // What else a system says of a connect (a firewall: EPERM) is of the same kind.
  const connecting = (error as NodeJS.ErrnoException).syscall === 'connect'
  if (connecting || unreachable.has(errno))
    return new StoreUnreachable(`${service} can not be reached (${errno})`, {}, error)
  if (/^(CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(errno)) {
    return new StoreRejected(`the TLS certificate of ${service} is not trusted (${errno})`, {}, error)
  }
  if (errno === 'EPROTO' || errno.startsWith('ERR_SSL')) {
    return new StoreRejected(
      `${service} does not speak TLS; if it is meant to be reached by http, name it so with the credentials (--endpoint http://…)`,
      {},
      error,
    )
  }
  if (errno.startsWith('HPE_')) {
    return new StoreRejected(
      `${service} does not speak HTTP (${errno}); if it is meant to be reached by https, name it so with the credentials (--endpoint https://…)`,
      {},
      error,
    )
  }
  if (errno === 'ERR_INVALID_CHAR' || errno === 'ERR_INVALID_HTTP_TOKEN') {
    return new StoreRejected(`what describes the object can not be sent: ${errorMessage(error)}`, {}, error)
  }
  return undefined
}
