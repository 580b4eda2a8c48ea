// Targets as the control plane shows them: where they stand, how they are, what they cost and can do.
import * as z from 'zod'
import type { Route, Snapshot, Target } from '../../config/snapshot.ts'
import { formatDecimal } from '../../pricing/decimal.ts'
import { perMillionScale } from '../../pricing/rates.ts'
import type { AdminFacts } from './control.ts'
import { texts, time, whole } from './shape.ts'

export const healthFields = {
  is_healthy: z.boolean(),
  breaker: z.object({
    state: z.enum(['closed', 'open', 'half_open', 'disabled']),
    until: time.nullable(),
    reason: z.string().nullable(),
    consecutive_faults: whole,
  }),
  last_fault: z.object({ kind: z.string(), at: time }).nullable(),
  latency: z.object({ calls: whole, mean_ms: z.number(), last_ms: z.number() }).nullable(),
}

export const modelFields = {
  prices: z.object({ source: z.string(), per: z.string() }).catchall(z.string()).nullable(),
  context_window: whole.nullable(),
  max_output: whole.nullable(),
  capabilities: texts.nullable(),
}

const link = z.object({ model: z.string(), healthy: z.boolean() })
export const chainFields = {
  route: z.string(),
  primary_model: z.string(),
  primary_healthy: z.boolean(),
  fallback_models: z.array(link),
  fallback_enabled: z.boolean(),
}

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
    last_fault: lastFault ? { kind: lastFault.kind, at: new Date(lastFault.at).toISOString() } : null,
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
          source: source!,
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
