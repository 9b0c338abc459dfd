import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { discardRest, sendReply } from './send.ts'
import { openRaw, type RawConnection } from './testing/raw.ts'

const MIB = 1024 * 1024

/** A server that answers every request by `answer`, and one connection to it. */
async function withServer(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  work: (raw: RawConnection) => Promise<void>,
): Promise<void> {
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const raw = await openRaw((server.address() as AddressInfo).port)
  try {
    await work(raw)
  } finally {
    raw.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

/** Until it has stood still for a while. */
async function settled(read: () => number): Promise<number> {
  for (let last = -1; ; ) {
    const now = read()
    if (now === last) return now
    last = now
    await sleep(150)
  }
}

describe('an answer that is streamed', () => {
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

  it('is made no faster than it is taken, and let go of when nobody takes it', async () => {
    let made = 0
    let released = false
    async function* body() {
      try {
        for (; made < 500; made++) yield Buffer.alloc(MIB)
      } finally {
        released = true
      }
    }
    await withServer(
      (request, response) => sendReply(request, response, { status: 200, headers: {}, body: body() }, '1'),
      async (raw) => {
        raw.socket.pause()
        raw.write(get)
        // What the sockets of both sides hold.
        assert.ok((await settled(() => made)) < 50)
        raw.close()
        await settled(() => (released ? 1 : 0))
        assert.equal(released, true)
      },
    )
  })

  it('is cut off where it fails or is shorter than its head says', async () => {
    async function* failing() {
      yield Buffer.from('half')
      throw new Error('damaged')
    }
    async function* short() {
      yield Buffer.from('half')
    }
    for (const body of [failing, short]) {
      let rejected = false
      await withServer(
        (request, response) =>
          sendReply(request, response, { status: 200, headers: { 'Content-Length': 8 }, body: body() }, '1').catch(
            () => {
              rejected = true
            },
          ),
        async (raw) => {
          raw.write(get)
          await raw.closed
          assert.equal(rejected, true)
        },
      )
    }
  })
})

describe('a body that was refused', () => {
  it('is dropped up to a bound, and then the connection is cut', async () => {
    await withServer(
      async (request, response) => {
        discardRest(request)
        await sendReply(request, response, { status: 403, headers: {}, body: 'no' }, '1')
      },
      async (raw) => {
        raw.write(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${64 * MIB}\r\n\r\n`)
        assert.equal((await raw.reply())?.status, 403)
        for (let sent = 0; sent < 64 && !raw.socket.destroyed; sent++) {
          raw.write(Buffer.alloc(MIB))
          await sleep(2)
        }
        await raw.closed
      },
    )
  })
})
