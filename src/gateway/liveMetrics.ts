// Shows on /metrics what lives outside of requests: breakers, targets of routes, sockets, the bypass.
import type { Snapshot } from '../config/snapshot.ts'
import type { Transition } from '../state/breaker.ts'
import type { Health } from '../state/health.ts'
import type { Configured } from '../telemetry/configuredRows.ts'
import type { Sample } from '../telemetry/families.ts'
import { breakerStates } from '../telemetry/journeyTable.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Pools } from './pools.ts'

export interface LiveParts {
  snapshot(): Snapshot
  readonly health: Health
  readonly pools: Pools
  readonly log: Pick<Log, 'failures' | 'dropped'>
}

/** Call once. Only configured targets and routes are shown: names that clients choose have breakers too. */
export function showLive(metrics: Metrics, { snapshot, health, pools, log }: LiveParts): void {
  const targets = (): string[] => [...snapshot().targets.keys()]
  metrics.gauge('breakerState', () =>
    targets().flatMap((target) => {
      const now = health.stateOf(target)
      return breakerStates.map((state) => ({ labels: { target, state }, value: state === now ? 1 : 0 }))
    }),
  )
  metrics.gauge('consecutiveFailures', () =>
    targets().map((target) => ({ labels: { target }, value: health.report(target).consecutive })),
  )
  metrics.gauge('routeTargets', () =>
    [...snapshot().routes.values()].map(({ name, targets }) => ({ labels: { route: name }, value: targets.length })),
  )
  metrics.gauge('healthyTargets', () =>
    [...snapshot().routes.values()].map((route) => ({
      labels: { route: route.name },
      value: route.targets.filter(({ id }) => health.stateOf(id) === 'closed').length,
    })),
  )
  metrics.gauge('bypass', () => [{ labels: {}, value: snapshot().bypass ? 1 : 0 }])
  metrics.gauge('connections', () => connections(pools))
  metrics.gauge('logFailures', () => [{ labels: {}, value: log.failures }])
  metrics.gauge('logDropped', () => [{ labels: {}, value: log.dropped }])
}

/** Pools of one origin that differ in their timeout are one to whoever looks at sockets. */
function connections(pools: Pools): Sample[] {
  const origins = new Map<string, Record<string, number>>()
  for (const { origin, connected, free, running, queued } of pools.stats()) {
    const sum = origins.get(origin) ?? { connected: 0, free: 0, running: 0, queued: 0 }
    sum.connected! += connected
    sum.free! += free
    sum.running! += running
    sum.queued! += queued
    origins.set(origin, sum)
  }
  return [...origins].flatMap(([origin, sum]) =>
    Object.entries(sum).map(([state, value]) => ({ labels: { origin, state }, value })),
  )
}

/** Counts a change of state of a target's breaker. */
export function countTransition(metrics: Metrics, target: string, { from, to }: Transition): void {
  // A probe of the only target begins its wait anew, and changes nothing.
  if (from === to) return
  const row = metrics.counter('breakerTransitions').row(metrics.labels.target(target))
  row[breakerStates.indexOf(from) * breakerStates.length + breakerStates.indexOf(to)]!++
}

/** What of a configuration becomes labels. */
export function configuredIn({ version, routes, targets, keys, webhooks }: Snapshot): Configured {
  const degrading = [...routes.values()].filter(({ onAllFailed }) => onAllFailed === 'message')
  return {
    version,
    routes: [...routes.keys()],
    targets: [...targets.keys()],
    chains: [...routes.values()].map(({ name, targets }) => [name, targets.map(({ id }) => id)]),
    degrading: new Set(degrading.map(({ name }) => name)),
    keys: [...keys.values()].map(({ name, team }) => ({ name, team })),
    webhooks: webhooks.keys(),
  }
}
