import { type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Metrics } from '../kernel/index.ts'
import { HOST_ID } from './s3/error-document.ts'
import { leaf, node, XML_HEAD } from './s3/xml.ts'

interface Answer {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** What Node's HTTP parser gives up on, by its code; AWS's names where it has one. */
const answers: Readonly<Record<string, Answer>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'RequestHeaderSectionTooLarge',
    message: 'Your request header and query parameters used to make the request exceed the maximum allowed size.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'RequestTimeout',
    message: 'Your socket connection to the server was not read from or written to within the timeout period.',
  },
}
const malformed: Answer = {
  status: 400,
  code: 'BadRequest',
  message: 'The request is not HTTP that can be understood.',
}

/**
 * Answers what is no request (there is nothing to verify, and nobody to route it to) like every other error, with ids and as XML, counts
 * it, and ends the connection.
 */
export function answerUnreadable(server: Server, options: { readonly metrics: Metrics; nextId(): string }): void {
  const counter = options.metrics.counter(
    'sluice_s3_unreadable_requests_total',
    'What came and was no HTTP request, or not in time.',
    ['code'],
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const answer = answers[error.code ?? ''] ?? malformed
    // A client that has gone is no fault of anybody.
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') {
      socket.destroy()
      return
    }
    counter(answer.code).add()
    // Where an answer to an earlier request has begun, anything more would be taken for a part of it. Node's own handler asks the same.
    const { _httpMessage: underWay } = socket as Socket & { _httpMessage?: ServerResponse | null }
    if (!socket.writable || underWay?.headersSent) {
      socket.destroy()
      return
    }
    socket.end(write(answer, options.nextId()))
    // It is told; what else it sends is not waited for.
    socket.destroySoon()
  })
}

function write({ status, code, message }: Answer, id: string): string {
  const body =
    XML_HEAD +
    node('Error', leaf('Code', code), leaf('Message', message), leaf('RequestId', id), leaf('HostId', HOST_ID))
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: application/xml',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `x-amz-request-id: ${id}`,
    `x-amz-id-2: ${HOST_ID}`,
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
