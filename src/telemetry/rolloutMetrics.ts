// Shows rollouts on /metrics: where each stands, whom it assigned, and every change.

import type { Metrics } from './metrics.ts'
import { assignments, rolloutArms, transitionCauses, transitionPhases } from './rolloutTable.ts'

/** A rollout as metrics show it. */
export interface ShownRollout {
  readonly name: string
  readonly route: string
  readonly phase: string
  readonly stable: string
  readonly canary: string
  readonly weightPpm: number
  /** Unix milliseconds since when it is as it is. */
  readonly updatedAt: number
  /** Of the attempt that runs. Nats. */
  readonly guards: readonly ShownGuard[]
  readonly exposed: number | undefined
}

export interface ShownGuard {
  readonly id: string
  readonly logHarm: number
  readonly logLimit: number
  readonly logSafe: number | undefined
  readonly logSafeLimit: number | undefined
  readonly bad: { readonly stable: number; readonly canary: number }
  readonly ratio: { readonly point: number | null; readonly lower: number; readonly upper: number | null }
}

export interface RolloutMetrics {
  assigned(rollout: string, arm: string, assignment: string): void
  changed(from: string, to: string, cause: string): void
  /** Milliseconds until an abort was in force. */
  aborted(ms: number): void
}

/** Call once. @param list what there is now, the latest of each name */
export function showRollouts(
  metrics: Metrics,
  read: () => readonly ShownRollout[],
  now: () => number = Date.now,
): RolloutMetrics {
  let known: readonly ShownRollout[] = []
  let readAt = Number.NEGATIVE_INFINITY
  // One scrape asks for each metric; their intervals cost milliseconds.
  const list = (): readonly ShownRollout[] => {
    if (now() - readAt > 100) {
      known = read()
      readAt = now()
    }
    return known
  }
  const gauge = (
    key: Parameters<Metrics['gauge']>[0],
    of: (rollout: ShownRollout) => { labels: Record<string, string>; value: number },
  ): void => metrics.gauge(key, () => list().map(of))
  gauge('rolloutInfo', ({ name, route, phase, stable, canary }) => ({
    labels: { rollout: name, route, phase, stable, canary },
    value: 1,
  }))
  gauge('rolloutWeight', ({ name, weightPpm }) => ({ labels: { rollout: name }, value: weightPpm / 1_000_000 }))
  gauge('rolloutStateAge', ({ name, updatedAt }) => ({
    labels: { rollout: name },
    value: Math.max(0, now() - updatedAt) / 1000,
  }))
  const each = (
    key: Parameters<Metrics['gauge']>[0],
    label: string,
    of: (guard: ShownGuard) => Record<string, number | null | undefined>,
  ): void =>
    metrics.gauge(key, () =>
      list().flatMap(({ name, guards }) =>
        guards.flatMap((guard) =>
          Object.entries(of(guard)).flatMap(([value, number]) =>
            typeof number === 'number'
              ? [{ labels: { rollout: name, guard: guard.id, [label]: value }, value: number }]
              : [],
          ),
        ),
      ),
    )
  each('rolloutBad', 'arm', ({ bad }) => ({ ...bad }))
  each('rolloutEvidence', 'direction', ({ logHarm, logSafe }) => ({ harm: logHarm, safe: logSafe }))
  each('rolloutLimit', 'direction', ({ logLimit, logSafeLimit }) => ({ harm: logLimit, safe: logSafeLimit }))
  each('rolloutRatio', 'bound', ({ ratio }) => ({ ...ratio }))
  metrics.gauge('rolloutUnits', () =>
    list().flatMap(({ name, exposed }) =>
      exposed === undefined ? [] : [{ labels: { rollout: name }, value: exposed }],
    ),
  )
  const requests = metrics.counter('rolloutRequests')
  const rows = new Map<string, Float64Array>()
  const transitions = metrics.counter('rolloutTransitions').seed()
  const aborts = metrics.histogram('rolloutAbort').row()
  return {
    aborted: (ms) => aborts.observe(ms / 1000),
    assigned(rollout, arm, assignment) {
      let row = rows.get(rollout)
      if (!row) {
        row = requests.seed(rollout)
        rows.set(rollout, row)
      }
      row[indexOf(rolloutArms, arm) * assignments.length + indexOf(assignments, assignment)]!++
    },
    changed(from, to, cause) {
      const start = indexOf(transitionPhases, from) * transitionPhases.length + indexOf(transitionPhases, to)
      transitions[start * transitionCauses.length + indexOf(transitionCauses, cause)]!++
    },
  }
}

/** What is none of them counts as the first, which stands for "nothing before". */
const indexOf = (values: readonly string[], value: string): number => Math.max(0, values.indexOf(value))
