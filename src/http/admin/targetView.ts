// Targets as the control plane shows them: where they stand, how they are, what they cost and can do.
import type { Route, Snapshot, Target } from '../../config/snapshot.ts'
import { formatDecimal } from '../../pricing/decimal.ts'
import { perMillionScale } from '../../pricing/rates.ts'
import type { AdminFacts } from './control.ts'

/** Names of the routes in which each target stands, special chains included. */
export function routesByTarget(snapshot: Snapshot): Map<string, string[]> {
  const routes = new Map<string, string[]>()
  for (const route of snapshot.routes.values()) {
    for (const { id } of new Set([...route.targets, ...route.onContextWindow, ...route.onContentPolicy])) {
      const known = routes.get(id) ?? []
      if (!known.includes(route.name)) known.push(route.name)
      routes.set(id, known)
    }
  }
  return routes
}

/** Half open counts as not healthy yet: its one probe is still to come. */
export const isHealthy = (facts: AdminFacts, id: string): boolean => facts.health.stateOf(id) === 'closed'

export function presentHealth(target: Target, facts: AdminFacts) {
  const { state, until, reason, consecutive, lastFault } = facts.health.report(target.id)
  const latency = facts.latencies.of(target.id)
  return {
    is_healthy: state === 'closed',
    breaker: { state, until: iso(until), reason: reason ?? null, consecutive_faults: consecutive },
    last_fault: lastFault ? { kind: lastFault.kind, at: iso(lastFault.at) } : null,
    latency: latency ? { calls: latency.count, mean_ms: rounded(latency.mean), last_ms: rounded(latency.last) } : null,
  }
}

/** USD per million tokens as exact decimals; null where no list knows a price. */
export function presentModel(provider: string, model: string, facts: AdminFacts, snapshot: Snapshot) {
  const { source, variants, current, info } = facts.prices(snapshot).explain(provider, model)
  const base = variants[current]?.base
  return {
    prices: base
      ? {
          source,
          per: '1M tokens',
          ...Object.fromEntries(
            Object.entries(base).map(([name, rate]) => [name, formatDecimal(rate, perMillionScale)]),
          ),
        }
      : null,
    context_window: info.contextWindow ?? null,
    max_output: info.maxOutput ?? null,
    capabilities: info.capabilities ?? null,
  }
}

/** The route's chain with its first target apart, as operators speak of it. */
export function presentChain(route: Route, facts: AdminFacts) {
  const [primary, ...fallbacks] = route.targets.map(({ id }) => ({ model: id, healthy: isHealthy(facts, id) }))
  return {
    route: route.name,
    primary_model: primary!.model,
    primary_healthy: primary!.healthy,
    fallback_models: fallbacks,
    fallback_enabled: route.fallback,
  }
}

const iso = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString())
const rounded = (ms: number): number => Math.round(ms * 10) / 10
