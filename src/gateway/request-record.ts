import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AccessKey, type AccessLog, type Clock, type Metrics, SignatureError } from '../kernel/index.ts'
import type { S3Error } from './s3/codes.ts'
import type { Reply } from './s3/operation.ts'
import type { S3Request } from './s3/request.ts'

/** Longer ones say no more about who it was. */
const MAX_USER_AGENT = 256
/** A key has at most 1,024 bytes; what was refused may be longer. */
const MAX_PATH_CHARACTERS = 2_048

/** What one request turned out to be, noted as it goes on. */
export interface RequestRecord {
  readonly id: string
  readonly remote: string
  readonly startedMs: number
  readonly beganAtMs: number
  /** `Unknown` until the signature is verified and the registry was asked: nobody else may choose what is counted. */
  operation: string
  request: S3Request | undefined
  caller: AccessKey | undefined
  refusal: S3Error | undefined
  commit: string | undefined
  bytesOut: number
}

export interface ObserverOptions {
  readonly metrics: Metrics
  readonly accessLog: AccessLog
  readonly clock: Clock
}

/** Counts each request of the S3 endpoint and notes it in the access log. */
export class Observer {
  readonly #options: ObserverOptions
  readonly #requests
  readonly #seconds
  readonly #errors
  readonly #authFailures
  readonly #received
  readonly #sent
  #underWay = 0

  constructor(options: ObserverOptions) {
    this.#options = options
    const { metrics } = options
    this.#requests = metrics.counter('sluice_s3_requests_total', 'Requests that were answered.', [
      'operation',
      'status',
    ])
    this.#seconds = metrics.histogram(
      'sluice_s3_request_duration_seconds',
      'From the head of a request to the end of its answer.',
      ['operation'],
    )
    this.#errors = metrics.counter('sluice_s3_errors_total', 'Answers that were errors, by S3 code.', ['code'])
    this.#authFailures = metrics.counter(
      'sluice_s3_auth_failures_total',
      'Requests whose signature was not believed, by why.',
      ['reason'],
    )
    this.#received = metrics.counter(
      'sluice_s3_received_bytes_total',
      'Bytes of bodies that came, with their framing.',
    )()
    this.#sent = metrics.counter('sluice_s3_sent_bytes_total', 'Bytes of bodies that were sent.')()
    metrics.read('sluice_s3_requests_in_flight', 'Requests that are not answered yet.', () => this.#underWay)
  }

  begin(id: string, message: IncomingMessage): RequestRecord {
    this.#underWay++
    return {
      id,
      // A socket that has closed does not say any more whose it was.
      remote: (this.#options.accessLog.enabled && message.socket.remoteAddress) || '',
      startedMs: performance.now(),
      beganAtMs: this.#options.clock.now(),
      operation: 'Unknown',
      request: undefined,
      caller: undefined,
      refusal: undefined,
      commit: undefined,
      bytesOut: 0,
    }
  }

  refused(record: RequestRecord, refusal: S3Error, error: unknown): void {
    record.refusal = refusal
    this.#errors(refusal.code).add()
    if (error instanceof SignatureError) this.#authFailures(error.code).add()
  }

  answered(record: RequestRecord, { headers }: Reply): void {
    const commit = headers['x-sluice-commit']
    if (commit !== undefined) record.commit = String(commit)
  }

  end(record: RequestRecord, message: IncomingMessage, response: ServerResponse, bytesIn: number): void {
    this.#underWay--
    const ms = performance.now() - record.startedMs
    const { statusCode } = response
    this.#requests(record.operation, String(statusCode)).add()
    this.#seconds(record.operation).observe(ms / 1000)
    if (bytesIn > 0) this.#received.add(bytesIn)
    if (record.bytesOut > 0) this.#sent.add(record.bytesOut)
    if (this.#options.accessLog.enabled) this.#note(record, message, response, { bytesIn, ms })
  }

  #note(
    record: RequestRecord,
    message: IncomingMessage,
    response: ServerResponse,
    measured: { bytesIn: number; ms: number },
  ): void {
    const { request, caller, refusal, commit } = record
    const userAgent = message.headers['user-agent']?.slice(0, MAX_USER_AGENT)
    const about =
      request === undefined
        ? { path: (message.url ?? '').split('?', 1)[0]!.slice(0, MAX_PATH_CHARACTERS) }
        : {
            ...(request.bucketName !== '' && { bucket: request.bucketName.slice(0, MAX_PATH_CHARACTERS) }),
            ...(request.keyText !== '' && { key: request.keyText.slice(0, MAX_PATH_CHARACTERS) }),
          }
    this.#options.accessLog.write({
      time: new Date(record.beganAtMs).toISOString(),
      door: 's3',
      requestId: record.id,
      remote: record.remote,
      ...(caller && { user: caller.name, accessKeyId: caller.accessKeyId }),
      method: message.method ?? '',
      operation: record.operation,
      ...about,
      status: response.statusCode,
      ...(refusal && { error: refusal.code }),
      bytesIn: measured.bytesIn,
      bytesOut: record.bytesOut,
      ms: Math.round(measured.ms * 1000) / 1000,
      ...(!response.writableEnded && { cut: true as const }),
      ...(commit !== undefined && { commit }),
      ...(userAgent !== undefined && { userAgent }),
    })
  }
}
