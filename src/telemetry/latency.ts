// How long targets take at the moment, for people who look at their health: a moving mean, kept in memory.

export interface Latency {
  /** Upstream calls seen, failed ones included. */
  readonly count: number
  /** Milliseconds. The mean leans to the last twenty calls or so. */
  readonly mean: number
  readonly last: number
}

export interface Latencies {
  observe(target: string, ms: number): void
  of(target: string): Latency | undefined
}

const weight = 0.1
/** Targets of client-chosen names are bounded like everything else. */
const maxTargets = 2000

/** Moving means of latency by target, in milliseconds. Lost with the process. */
export function createLatencies(): Latencies {
  const known = new Map<string, { count: number; mean: number; last: number }>()
  return {
    observe(target, ms) {
      const latency = known.get(target)
      if (latency) {
        latency.count++
        latency.mean += (ms - latency.mean) * weight
        latency.last = ms
        return
      }
      if (known.size >= maxTargets) known.delete(known.keys().next().value!)
      known.set(target, { count: 1, mean: ms, last: ms })
    },
    of: (target) => known.get(target),
  }
}
