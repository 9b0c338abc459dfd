/** What node itself can do: an HTTP server that reads the body, keeps nothing, checks nothing, and answers. */
import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const small = Buffer.alloc(1024, 'x')
const [, , file] = process.argv

const server = createServer((request, response) => {
  if (request.method === 'GET' && request.url === '/file' && file !== undefined) {
    response.writeHead(200, { 'content-length': process.argv[3] })
    createReadStream(file, { highWaterMark: 1024 * 1024 }).pipe(response)
    return
  }
  request.on('data', () => undefined)
  request.on('end', () => {
    const body = request.method === 'GET' ? small : ''
    response.writeHead(200, { 'content-length': body.length, etag: '"0"' })
    response.end(body)
  })
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
