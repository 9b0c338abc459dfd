import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Duplex } from 'node:stream'
import { InvalidConfig } from '../kernel/index.ts'
import { isClosed, isLoopback, normalAddress } from './addresses.ts'
import { StoreDenied, StoreRejected } from './object-store.ts'

/** Decides which addresses may be reached. The decision is made on the very address that is connected to. */
export interface TargetGuard {
  /**
   * Resolves the host and throws StoreDenied if the target is loopback, link-local or a metadata service and not allowed by
   * name. A name that does not resolve throws what the resolver says (ENOTFOUND, EAI_AGAIN).
   */
  check(host: string, port: number): Promise<void>
  /** Agents whose every connection is checked after name resolution, so that no later answer of a name server slips by. */
  agents(options: { maxSockets: number }): { http: http.Agent; https: https.Agent }
}

interface Pattern {
  readonly host: string
  /** Undefined: any. */
  readonly port: number | undefined
}

/** `lookup` is the system's resolver; tests hand in another. */
export function createTargetGuard(options: { allowTargets: readonly string[]; lookup?: LookupFunction }): TargetGuard {
  const resolver = options.lookup ?? (systemLookup as LookupFunction)
  const patterns = parsePatterns(options.allowTargets)
  const decide = (host: string, port: number, addresses: readonly LookupAddress[]): StoreDenied | undefined => {
    const closed = addresses.find(({ address }) => isClosed(address) && !isAllowed(patterns, host, port, address))
    return closed && refusal(host, port, closed.address)
  }
  const guardedLookup =
    (port: number): LookupFunction =>
    (hostname, lookupOptions, callback) => {
      resolver(hostname, { ...lookupOptions, all: true }, (error, found) => {
        if (error) return callback(error, [])
        const addresses = found as LookupAddress[]
        const refused = decide(hostname, port, addresses)
        const first = addresses[0]
        if (refused) return callback(refused, [])
        if (!first) return callback(Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' }), [])
        if (lookupOptions.all) callback(null, addresses)
        else callback(null, first.address, first.family)
      })
    }
  const guardConnection: GuardConnection = (connection) => {
    const host = unbracketed(connection.host ?? 'localhost')
    const port = Number(connection.port ?? 0)
    // An address is connected to without being looked up.
    const refused = isIP(host) ? decide(host, port, [{ address: host, family: isIP(host) }]) : undefined
    return refused ? { refused } : { lookup: guardedLookup(port) }
  }
  return {
    check: (host, port) =>
      new Promise((resolve, reject) => {
        guardedLookup(port)(unbracketed(host), { all: true }, (error) => (error ? reject(error) : resolve()))
      }),
    agents: ({ maxSockets }) => ({
      http: new GuardedHttpAgent(guardConnection, { keepAlive: true, maxSockets }),
      https: new GuardedHttpsAgent(guardConnection, { keepAlive: true, maxSockets }),
    }),
  }
}

type GuardConnection = (connection: {
  host?: string | null | undefined
  port?: number | string | null | undefined
}) => { readonly refused: StoreDenied } | { readonly lookup: LookupFunction }

class GuardedHttpAgent extends http.Agent {
  readonly #guard: GuardConnection
  constructor(guard: GuardConnection, options: http.AgentOptions) {
    super(options)
    this.#guard = guard
  }
  override createConnection(
    options: http.ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const guarded = this.#guard(options)
    if ('refused' in guarded) return refuse(guarded.refused, callback)
    return super.createConnection({ ...options, ...guarded }, callback)
  }
  addRequest(request: http.ClientRequest, options: unknown): void {
    refuseUpgrade(request)
    addRequest.call(this, request, options)
  }
}

class GuardedHttpsAgent extends https.Agent {
  readonly #guard: GuardConnection
  constructor(guard: GuardConnection, options: https.AgentOptions) {
    super(options)
    this.#guard = guard
  }
  override createConnection(
    options: https.RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const guarded = this.#guard(options)
    if ('refused' in guarded) return refuse(guarded.refused, callback)
    return super.createConnection({ ...options, ...guarded }, callback)
  }
  addRequest(request: http.ClientRequest, options: unknown): void {
    refuseUpgrade(request)
    addRequest.call(this, request, options)
  }
}

/** How a request comes to its agent (that of https has the same); it is part of Node, and not of its types. */
const { addRequest } = http.Agent.prototype as unknown as {
  addRequest(this: http.Agent, request: http.ClientRequest, options: unknown): void
}

/** Else Node ends the connection without a word: no answer, no error, no time limit, and whoever waits would wait for ever. */
function refuseUpgrade(request: http.ClientRequest): void {
  request.once('upgrade', (_answer, socket: Duplex) => {
    socket.destroy()
    request.emit('error', new StoreRejected('the store answers with another protocol than HTTP (status 101)'))
  })
}

/** By callback: what an agent throws leaves the timers of the request behind. */
function refuse(
  refused: StoreDenied,
  callback: ((error: Error | null, stream: Duplex) => void) | undefined,
): undefined {
  if (!callback) throw refused
  process.nextTick(callback as (error: Error) => void, refused)
  return undefined
}

function isAllowed(patterns: readonly Pattern[], host: string, port: number, address: string): boolean {
  return patterns.some((pattern) => {
    if (pattern.port !== undefined && pattern.port !== port) return false
    return (
      pattern.host === host.toLowerCase() ||
      normalAddress(pattern.host) === (normalAddress(address) ?? '') ||
      (pattern.host === 'localhost' && isLoopback(address))
    )
  })
}

/** Throws InvalidConfig that lists every pattern that is not one. */
function parsePatterns(texts: readonly string[]): readonly Pattern[] {
  const problems: string[] = []
  const patterns = texts.flatMap((text): Pattern[] => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\*|\d{1,5})$/.exec(text)
    if (!match) {
      problems.push(`SLUICE_ALLOW_TARGETS: ${JSON.stringify(text)} is not host:port or host:*`)
      return []
    }
    return [{ host: unbracketed(match[1]!).toLowerCase(), port: match[2] === '*' ? undefined : Number(match[2]) }]
  })
  if (problems.length > 0) throw new InvalidConfig(problems)
  return patterns
}

function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

function refusal(host: string, port: number, address: string): StoreDenied {
  const named = host === address ? `${host}:${port}` : `${host}:${port} (${address})`
  return new StoreDenied(
    `${named} is a loopback, link-local or metadata address, which targets may not be; to allow it, start Sluice with SLUICE_ALLOW_TARGETS=${isIP(host) === 6 ? `[${host}]` : host}:${port}`,
    { host, port, address },
  )
}
