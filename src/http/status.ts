// Is it alive, is it ready, what runs: the three pages that machines and people on call ask first. No secret, no key needed.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'
import type { Pools } from '../gateway/pools.ts'
import { sendJson } from './reply.ts'
import { mayKnowNames } from './scrape.ts'

export interface StatusSource {
  readonly version: string
  /** By the monotonic clock. */
  readonly startedAt: number
  readonly pools: Pools
  snapshot(): Snapshot
  draining(): boolean
  /** No call can be recorded at the moment, and so none is made. */
  isStuck(): boolean
  inFlight(): number
}

export interface StatusPage {
  live(req: IncomingMessage, res: ServerResponse): void
  ready(req: IncomingMessage, res: ServerResponse): void
  show(req: IncomingMessage, res: ServerResponse): void
}

/** The handlers of `/health/live`, `/health/ready` and `/status`. */
export function createStatusPage(source: StatusSource): StatusPage {
  const stateOf = () => (source.draining() ? 'draining' : source.isStuck() ? 'ledger_unavailable' : 'ready')
  return {
    live: (req, res) => sendJson(req, res, 200, { status: 'ok' }),
    /** False before a drain begins, and while every call would be refused: a balancer sends them where they are served. */
    ready(req, res) {
      const status = stateOf()
      sendJson(req, res, status === 'ready' ? 200 : 503, { status })
    },
    show(req, res) {
      const snapshot = source.snapshot()
      sendJson(req, res, 200, {
        name: 'turnout',
        version: source.version,
        status: stateOf(),
        uptime_seconds: Math.round((performance.now() - source.startedAt) / 1000),
        in_flight: source.inFlight(),
        bypass: snapshot.bypass,
        config: { version: snapshot.version, hash: snapshot.hash, source: snapshot.source },
        ...(mayKnowNames(req, snapshot) ? namesOf(snapshot, source.pools) : {}),
      })
    },
  }
}

const namesOf = ({ routes }: Snapshot, pools: Pools) => ({
  routes: [...routes.values()].map(({ name, policy, targets }) => ({
    name,
    policy,
    targets: targets.map(({ id }) => id),
  })),
  pools: pools.stats(),
})
