import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'

/** Connections without a first request yet: Node does not count them as idle, so that they would keep a server from closing. */
export class UnusedConnections {
  readonly #sockets = new Set<Socket>()

  constructor(server: Server) {
    if (server instanceof TlsServer) this.#watchHandshakes(server)
    else server.on('connection', (socket: Socket) => this.#watch(socket))
  }

  /** To be called with every request, before anything else. */
  used(request: IncomingMessage): void {
    this.#sockets.delete(request.socket)
  }

  destroy(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  /** The socket that has shaken hands is another one than the connection's: they are known to belong together by their addresses. */
  #watchHandshakes(server: TlsServer): void {
    const shaking = new Map<string, Socket>()
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#watch(socket)
      shaking.set(peer, socket)
      socket.once('close', () => shaking.delete(peer))
    })
    server.on('secureConnection', (socket: Socket) => {
      const peer = peerOf(socket)
      const raw = shaking.get(peer)
      if (raw) this.#sockets.delete(raw)
      shaking.delete(peer)
      this.#watch(socket)
    })
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
