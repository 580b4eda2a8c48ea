// The live health of all targets, by their stable ids: outlives configurations, tells of every transition.
import {
  Breaker,
  type BreakerReport,
  type BreakerSettings,
  type BreakerState,
  type Permit,
  type Transition,
  type Verdict,
} from './breaker.ts'

export interface SavedHealth {
  readonly target: string
  readonly state: BreakerState
  readonly reason: string
}

export interface HealthOptions {
  /** Settings of a target now; asked at each decision, so that a swap takes effect at once. */
  settings(target: string): BreakerSettings
  /** Told of each transition: metrics, log, store. */
  told?(target: string, transition: Transition): void
  /** Uniform in [0, 1), for the jitter of restored breakers. */
  random?: () => number
  now?: () => number
}

export interface Health {
  /** The right to make one call to the target now; undefined when its breaker does not let one through. */
  admit(target: string): Permit | undefined
  /** For when every target of a route is shut: one probe through the one that would open first. */
  lastResort(targets: readonly string[]): { target: string; permit: Permit } | undefined
  settle(target: string, permit: Permit, verdict: Verdict, kind?: string): void
  /** Milliseconds until the first of the targets may be called; Infinity when all are switched off. */
  wait(targets: readonly string[]): number
  stateOf(target: string): BreakerState
  report(target: string): BreakerReport
  disable(target: string, reason: string): void
  /** Closes the breaker and forgets its faults; also switches on what was switched off. */
  reset(target: string, reason: string): void
  restore(saved: readonly SavedHealth[]): void
  /** These are configured: others are forgotten where they have nothing to remember, and when there are too many. */
  prune(known: ReadonlySet<string>): void
  close(): void
}

/** Implicit routes have targets whose names come from clients, so there has to be an end. */
const MAX_TARGETS = 5_000

/** Restored breakers probe within this many milliseconds, each at a moment of its own. */
const RESTORE_SPREAD = 5_000

/** The breakers of all targets, made when a target is first asked for. */
export function createHealth(options: HealthOptions): Health {
  const { random = Math.random, now = Date.now, told } = options
  const breakers = new Map<string, Breaker>()
  let configured: ReadonlySet<string> = new Set()
  const forget = (target: string, breaker: Breaker): void => {
    breaker.close()
    breakers.delete(target)
  }
  /** Names that clients make up push out each other, not what is configured, and last what somebody has switched off. */
  const forgetOldest = (): void => {
    let oldest: [string, Breaker] | undefined
    for (const one of breakers) {
      if (configured.has(one[0])) continue
      oldest ??= one
      if (one[1].state === 'disabled') continue
      return forget(...one)
    }
    if (oldest) forget(...oldest)
  }
  const of = (target: string): Breaker => {
    let breaker = breakers.get(target)
    if (!breaker) {
      if (breakers.size >= MAX_TARGETS) forgetOldest()
      breaker = new Breaker(
        () => options.settings(target),
        (transition) => told?.(target, transition),
        now,
      )
      breakers.set(target, breaker)
    }
    return breaker
  }
  return {
    admit: (target) => of(target).admit(),
    lastResort(targets) {
      const soonest = targets.toSorted((a, b) => of(a).wait() - of(b).wait())
      for (const target of soonest) {
        const permit = of(target).lastResort()
        if (permit) return { target, permit }
      }
      return undefined
    },
    settle: (target, permit, verdict, kind) => of(target).settle(permit, verdict, kind),
    wait: (targets) => Math.min(...targets.map((target) => of(target).wait())),
    stateOf: (target) => breakers.get(target)?.state ?? 'closed',
    report: (target) => of(target).report(),
    disable: (target, reason) => of(target).disable(reason),
    reset: (target, reason) => of(target).reset(reason),
    restore(saved) {
      for (const { target, state, reason } of saved)
        of(target).restore({ state, reason }, 1 + random() * RESTORE_SPREAD)
    },
    prune(known) {
      configured = known
      for (const [target, breaker] of breakers) {
        if (known.has(target) || breaker.state !== 'closed') continue
        forget(target, breaker)
      }
    },
    close() {
      for (const breaker of breakers.values()) breaker.close()
      breakers.clear()
    },
  }
}
