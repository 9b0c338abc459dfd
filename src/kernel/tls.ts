import { createPrivateKey, X509Certificate } from 'node:crypto'
import { unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { createSecureContext } from 'node:tls'
import { errorMessage, InvalidConfig } from './errors.ts'
import type { Log } from './log.ts'

/** Where the certificate (with its chain) and its private key are, both in PEM. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** The certificate of this server, for all its ports. */
export interface Tls {
  /** An HTTPS server with these settings; it takes new certificates as they come. */
  createServer(options: http.ServerOptions, handle: http.RequestListener): http.Server
  /** Reads the files again. What can't be used is logged, and the certificate before it stays. */
  reload(): Promise<void>
  /** Stops looking at the files. */
  close(): void
}

interface Pair {
  readonly cert: Buffer
  readonly key: Buffer
}

/** How often the files are looked at: renewals come weeks ahead. By name, since renewals replace files and links. */
const WATCH_MS = 10_000
/** A client that has not shaken hands by then is holding the connection. */
const HANDSHAKE_MS = 20_000

/** Opens certificate and key. Throws InvalidConfig that says which file is wrong, and how. */
export async function openTls(files: TlsFiles, log: Log): Promise<Tls> {
  let pair = await readPair(files)
  const servers = new Set<https.Server>()
  const reload = async () => {
    try {
      const read = await readPair(files)
      if (read.cert.equals(pair.cert) && read.key.equals(pair.key)) return
      pair = read
      for (const server of servers) server.setSecureContext(pair)
      log.info({ certFile: files.certFile, validTo: new X509Certificate(pair.cert).validTo }, 'new TLS certificate')
    } catch (error) {
      // Often one of the two files is already new and the other is not yet: its change comes here as well.
      log.error({ err: error }, 'the new TLS certificate can not be used; the one before it stays')
    }
  }
  const watched = [files.certFile, files.keyFile]
  for (const file of watched) watchFile(file, { interval: WATCH_MS, persistent: false }, () => void reload())
  return {
    createServer(options, handle) {
      const server = https.createServer({ ...options, ...pair, handshakeTimeout: HANDSHAKE_MS }, handle)
      servers.add(server)
      server.once('close', () => servers.delete(server))
      return server
    },
    reload,
    close: () => {
      for (const file of watched) unwatchFile(file)
    },
  }
}

/** A server with these settings: HTTPS with `tls`, else HTTP. */
export function createHttpServer(
  tls: Tls | undefined,
  options: http.ServerOptions,
  handle: http.RequestListener,
): http.Server {
  return tls ? tls.createServer(options, handle) : http.createServer(options, handle)
}

async function readPair({ certFile, keyFile }: TlsFiles): Promise<Pair> {
  const problems: string[] = []
  const read = async (setting: string, file: string) => {
    try {
      return await readFile(file)
    } catch (error) {
      problems.push(`${setting}=${file} can't be read: ${errorMessage(error)}`)
      return Buffer.alloc(0)
    }
  }
  const pair = { cert: await read('SLUICE_TLS_CERT', certFile), key: await read('SLUICE_TLS_KEY', keyFile) }
  if (problems.length > 0) throw new InvalidConfig(problems)
  const cert = parse(
    problems,
    `SLUICE_TLS_CERT=${certFile} holds no certificate in PEM`,
    () => new X509Certificate(pair.cert),
  )
  const key = parse(problems, `SLUICE_TLS_KEY=${keyFile} holds no private key in PEM (without a passphrase)`, () =>
    createPrivateKey(pair.key),
  )
  if (cert && key && !cert.checkPrivateKey(key)) {
    problems.push(`SLUICE_TLS_KEY=${keyFile} is not the key of the certificate in SLUICE_TLS_CERT=${certFile}`)
  }
  if (problems.length === 0) {
    parse(problems, `SLUICE_TLS_CERT=${certFile} can't be used`, () => createSecureContext(pair))
  }
  if (problems.length > 0) throw new InvalidConfig(problems)
  return pair
}

function parse<T>(problems: string[], what: string, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    problems.push(`${what}: ${errorMessage(error)}`)
    return undefined
  }
}
