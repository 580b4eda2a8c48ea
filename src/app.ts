// Puts Turnout together: no globals, everything handed in. What `turnout serve`, embedders and tests mount.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Snapshot } from './config/snapshot.ts'
import { createHandle } from './gateway/handle.ts'
import { createPools } from './gateway/pools.ts'
import { createSettle } from './gateway/settle.ts'
import { clientAddress, trustRanges } from './http/clientAddress.ts'
import { createDataPlane } from './http/dataPlane.ts'
import { type ListeningServer, listen } from './http/server.ts'
import { createStatusPage } from './http/status.ts'
import type { Log } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'
import { version } from './version.ts'

export interface TurnoutOptions {
  snapshot: Snapshot
  log: Log
  metrics: Metrics
  /** Answer any `Host` although no key is configured. */
  insecure?: boolean
  /** Uniform in [0, 1); tests hand in their own. */
  random?: () => number
}

export interface Turnout {
  /** The request listener, to mount in a server of one's own. */
  readonly listener: (req: IncomingMessage, res: ServerResponse) => void
  readonly snapshot: Snapshot
  /** Opens the configured port. */
  listen(): Promise<ListeningServer>
  /** Makes another configuration the current one. Requests in flight keep theirs. */
  swap(next: Snapshot): void
  /** Tells balancers to send no more, lets what runs finish, closes upstream sockets. Resolves to the connections cut off. */
  close(): Promise<number>
}

export function createTurnout(options: TurnoutOptions): Turnout {
  const { log, metrics, insecure = false } = options
  let snapshot = options.snapshot
  let isTrusted = trustRanges(snapshot.server.trustedProxies)
  let draining = false
  let server: ListeningServer | undefined
  const pools = createPools(snapshot.server.connectionsPerOrigin)
  const handle = createHandle({
    snapshot: () => snapshot,
    pools,
    insecure,
    nextId: createIds(),
    random: options.random ?? Math.random,
    started: () => metrics.requestStarted(),
    settled: createSettle({
      metrics,
      log,
      address: (call) => (call.snapshot.log.clientAddress ? clientAddress(call.req, isTrusted) : undefined),
    }),
    crashed: (error, call) => log.error('a request failed by a fault of the gateway', { event: call.id, error }),
  })
  const listener = createDataPlane({
    snapshot: () => snapshot,
    insecure,
    handle,
    draining: () => draining,
    metrics: () => metrics.expose(),
    status: createStatusPage({
      version,
      startedAt: new Date(),
      pools,
      snapshot: () => snapshot,
      draining: () => draining,
      inFlight: () => metrics.inFlight,
    }),
  })

  function swap(next: Snapshot): void {
    snapshot = next
    isTrusted = trustRanges(next.server.trustedProxies)
    metrics.setConfiguration({ version: next.version, routes: next.routes.keys(), targets: next.targets.keys() })
  }
  swap(snapshot)

  return {
    listener,
    get snapshot() {
      return snapshot
    },
    async listen() {
      server = await listen(listener, snapshot.server)
      return server
    },
    swap,
    async close() {
      draining = true
      const cut = (await server?.drain(snapshot.server.drainTimeout)) ?? 0
      await pools.close()
      return cut
    },
  }
}

/** Time-ordered ids: milliseconds, a counter and a part of this process's own. */
function createIds(): () => string {
  const own = randomBytes(4).toString('hex')
  let count = 0
  return () => `req_${Date.now().toString(36)}${own}${(count++).toString(36).padStart(4, '0')}`
}
