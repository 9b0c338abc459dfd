import { connect, type Socket } from 'node:net'

export interface RawReply {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** A socket that says exactly what it is told to, and reads answers one by one. */
export interface RawConnection {
  readonly socket: Socket
  write(data: string | Buffer): void
  /** The next answer (100 too); undefined if the connection ends without one. */
  reply(options?: { bodiless?: boolean }): Promise<RawReply | undefined>
  /** Resolves when the other side has closed. */
  readonly closed: Promise<void>
  close(): void
}

export async function openRaw(port: number): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1')
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  let received = Buffer.alloc(0)
  let ended = false
  let wake = () => {}
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes])
    wake()
  })
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      ended = true
      wake()
      resolve()
    })
  })
  // A reset is how some of these connections are meant to end; `closed` says so.
  socket.on('error', () => {})
  const until = async <T>(read: () => T | undefined): Promise<T | undefined> => {
    for (;;) {
      const found = read()
      if (found !== undefined || ended) return found
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  const take = (bytes: number) => {
    const taken = received.subarray(0, bytes).toString('latin1')
    received = received.subarray(bytes)
    return taken
  }
  return {
    socket,
    closed,
    write: (data) => void socket.write(data),
    close: () => socket.destroy(),
    reply: async ({ bodiless } = {}) => {
      const headEnd = await until(() => {
        const at = received.indexOf('\r\n\r\n')
        return at < 0 ? undefined : at
      })
      if (headEnd === undefined) return undefined
      const [first = '', ...lines] = take(headEnd + 4)
        .trimEnd()
        .split('\r\n')
      const headers = new Map(
        lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      )
      const status = Number(first.split(' ')[1])
      const length = bodiless || status < 200 ? 0 : Number(headers.get('content-length') ?? 0)
      await until(() => (received.length >= length ? true : undefined))
      return { status, headers, body: take(length) }
    },
  }
}

/** The head of a request as it goes on the wire. */
export function rawHead(method: string, path: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}
