// The sockets to upstreams: one undici pool per origin, kept across swaps, never destroyed with requests in flight.
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { Dispatcher, buildConnector as UndiciConnector, Pool as UndiciPool } from 'undici'
import type { Provider } from '../config/snapshot.ts'
import { connectorThrough } from '../egress/tunnel.ts'
import { Roster } from '../state/roster.ts'

/** undici in whole is 110 files, of which a pool needs 22: that is an eighth of the time until the first answer. */
const undici = createRequire(import.meta.url)
const Pool = undici('undici/lib/dispatcher/pool.js') as typeof UndiciPool
const buildConnector = undici('undici/lib/core/connect.js') as typeof UndiciConnector
const { kParser } = undici('undici/lib/core/symbols.js') as { readonly kParser: symbol }

/** A call that wants a socket. */
export interface Caller extends Dispatcher.DispatchHandler {
  /** Set while it has one: to be called when nothing more comes of it. */
  onOver: (() => void) | undefined
}

/** Where a call goes. */
export type Place = Pick<Provider, 'origin' | 'proxy'>

export interface Pools {
  /**
   * Makes the call, as soon as there is a socket for it, through the proxy if there is one. Returns what takes a call back that still waits
   * for one, and says whether it did: whoever gives up must not be held, with all that belongs to it, until others are through.
   */
  dispatch(place: Place, connectTimeout: number, request: Dispatcher.DispatchOptions, caller: Caller): () => boolean
  /** Counts of sockets for `/status`. */
  stats(): { origin: string; connected: number; free: number; running: number; queued: number }[]
  /** Waits for what runs, then closes. */
  close(): Promise<void>
}

/** Lines that are kept whether anybody comes or not. Addresses change with the configuration, and what belongs to an old one takes 23 KB. */
const keptLines = 64

/** `connections`: most sockets to one origin. */
export function createPools(connections: number): Pools {
  const lines = new Map<string, Line>()
  const lineOf = (place: Place, connectTimeout: number): Line => {
    const { origin, proxy } = place
    const key = proxy === undefined ? `${origin} ${connectTimeout}` : `${origin} ${connectTimeout} ${proxy}`
    let line = lines.get(key)
    if (!line) {
      if (lines.size >= keptLines) forgetIdle(lines)
      line = new Line(openPool(place, connectTimeout, connections), connections)
      lines.set(key, line)
    }
    return line
  }
  return {
    dispatch: (place, connectTimeout, request, caller) => lineOf(place, connectTimeout).take(request, caller),
    stats() {
      return [...lines].map(([key, { pool, waiting }]) => {
        const { connected, free, running, queued } = pool.stats
        return { origin: key.split(' ', 1)[0]!, connected, free, running, queued: queued + waiting }
      })
    },
    async close() {
      await Promise.all([...lines.values()].map(closeIdle))
    },
  }
}

/** Closes those that have no socket, no call and nobody who waits: whoever comes again finds a new one. */
function forgetIdle(lines: Map<string, Line>): void {
  for (const [key, line] of lines) {
    if (!line.isIdle) continue
    lines.delete(key)
    void line.pool.destroy()
  }
}

function openPool({ origin, proxy }: Place, connectTimeout: number, connections: number): UndiciPool {
  const direct = buildConnector({
    timeout: connectTimeout,
    noDelay: true,
    // Of several addresses each but the last is given up after so long. Node's 250 ms are less than a far vendor takes, or a lost packet.
    autoSelectFamilyAttemptTimeout: Math.max(250, Math.ceil(connectTimeout / 4)),
  } as Parameters<typeof UndiciConnector>[0])
  const dial = proxy === undefined ? direct : connectorThrough(proxy, direct, connectTimeout)
  const pool = new Pool(origin, {
    connections,
    pipelining: 1,
    connect: (options, callback) =>
      dial(options, (...dialled) => {
        dialled[1]?.on('error', releaseParser).on('end', resumeParser)
        const [error] = dialled
        // undici (7) has a way of its own for this code, on which the failed call holds its place in the pool for ever.
        if ((error as NodeJS.ErrnoException | null)?.code === 'ERR_TLS_CERT_ALTNAME_INVALID')
          callback(new Error('wrong name', { cause: error }), null)
        else callback(...dialled)
      }),
    // Deadlines are ours: the first token, the gap between tokens and the whole, which undici cannot tell apart.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 300_000,
    maxHeaderSize: 64 * 1024,
  })
  // It takes a socket that could not be dialled out of the pool; the one in its place then passes for free while it has a call, and the next
  // call waits behind that (undici 7). One that stays dials again with its next call.
  pool.removeAllListeners('connectionError')
  return pool
}

type Parsed = Socket & {
  [kParser]?: { paused: boolean; ptr: number; llhttp: { llhttp_resume(ptr: number): void } } | null
}

/**
 * A reply whose end is the connection's, and whose reader is slow: when that connection breaks, undici (7) goes on with a parser that it
 * has paused, asserts that it has not, and what is thrown in an event of a socket ends the process. To be heard before undici's own listener.
 */
function releaseParser(this: Parsed): void {
  const parser = this[kParser]
  if (parser) parser.paused = false
}

/** So it does where the connection ends: TLS hands over the last bytes and the end in one turn. All that came has been read then. */
function resumeParser(this: Parsed): void {
  const parser = this[kParser]
  if (!parser?.paused) return
  parser.llhttp.llhttp_resume(parser.ptr)
  parser.paused = false
}

const isMade = (): boolean => false

/** Calls to one origin: those that have a socket, and in their order those that wait for one. undici's own queue gives nothing back. */
class Line {
  readonly pool: UndiciPool
  readonly #most: number
  readonly #waiting = new Roster<() => void>()
  #running = 0

  constructor(pool: UndiciPool, most: number) {
    this.pool = pool
    this.#most = most
  }

  get waiting(): number {
    return this.#waiting.size
  }

  get isIdle(): boolean {
    const { connected, size } = this.pool.stats
    return this.#running === 0 && this.waiting === 0 && connected === 0 && size === 0
  }

  take(request: Dispatcher.DispatchOptions, caller: Caller): () => boolean {
    if (this.#running < this.#most) {
      this.#make(request, caller)
      return isMade
    }
    return this.#waiting.add(() => this.#make(request, caller))
  }

  #make(request: Dispatcher.DispatchOptions, caller: Caller): void {
    this.#running++
    caller.onOver = this.#nextSoon
    this.pool.dispatch(request, caller)
  }

  /** Not while undici still ends the call before: it does not expect another one then. */
  readonly #nextSoon = (): void => queueMicrotask(this.#next)

  readonly #next = (): void => {
    this.#running--
    this.#waiting.shift()?.()
  }
}

/** Waits for what runs. A connection that is still being dialled for somebody who has gone is not waited for: that may take seconds. */
async function closeIdle(line: Line): Promise<void> {
  const { pool } = line
  while (pool.stats.running > 0 || line.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await pool.destroy()
}
