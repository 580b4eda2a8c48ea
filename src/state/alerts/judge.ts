// Judges how money is being spent: a rule and numbers in, a verdict out. No clock, no state.
import type { AlertSettings } from '../../config/alertTypes.ts'

/** A rule that is judged by what was spent; budgets tell by themselves. */
export type SpendRule = Exclude<AlertSettings, { kind: 'budget' }>

/** Of the rule's window. Integer nano-USD. */
export interface Seen {
  readonly nano: number
  readonly requests: number
  /** Of the same hour a day earlier; undefined when nothing is known of that time. */
  readonly yesterday?: number | undefined
  /** Of the target or route whose share is watched. */
  readonly part?: { readonly nano: number; readonly requests: number } | undefined
}

/** Nano-USD, but percent for shares. `threshold` is what `value` was measured against. */
export interface Verdict {
  readonly holds: boolean
  readonly value: number
  readonly threshold: number
}

export function judge(rule: SpendRule, seen: Seen): Verdict {
  switch (rule.kind) {
    case 'spend':
      return above(seen.nano, rule.nano)
    case 'average': {
      const value = seen.requests === 0 ? 0 : Math.round(seen.nano / seen.requests)
      return above(value, rule.nano, seen.requests >= Math.max(1, rule.minRequests))
    }
    case 'share': {
      const whole = rule.of === 'spend' ? seen.nano : seen.requests
      const part = rule.of === 'spend' ? (seen.part?.nano ?? 0) : (seen.part?.requests ?? 0)
      const value = whole === 0 ? 0 : (part / whole) * 100
      const enough = whole > 0 && seen.nano >= rule.minNano && seen.requests >= rule.minRequests
      // All of it is 100 percent, and no more.
      return { holds: enough && value >= rule.percent, value, threshold: rule.percent }
    }
    case 'spike':
      return above(
        seen.nano,
        Math.max(rule.minNano, Math.round((seen.yesterday ?? 0) * rule.times)),
        seen.yesterday !== undefined,
      )
  }
}

const above = (value: number, threshold: number, enough = true): Verdict => ({
  holds: enough && value > threshold,
  value,
  threshold,
})
