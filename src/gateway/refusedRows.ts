// Bounds what a storm of refusals writes: beyond so many a second, requests of a key that were refused before any call are only counted.
import type { Call } from './call.ts'

export interface RefusedRows {
  /** Whether a refused request has a row. `now`: milliseconds of a clock that never goes back. Counts it if it has none. */
  keeps(call: RefusedCall, now: number): boolean
  /** Refused requests without a row so far. */
  readonly dropped: number
}

export type RefusedCall = Pick<Call, 'key' | 'attempts' | 'assigned'> & {
  readonly snapshot: { readonly ledger: { readonly refusalsPerSecond: number } }
}

/** Keys in a second beyond which those of seconds that are over are forgotten. */
const remembered = 1_000
/** Milliseconds between two words to the operator. */
const tellEvery = 60_000

/**
 * @param told at the first refusal without a row and then once a minute while there are any: the key that the last one was of, and how
 * many there were since the last word. `key` undefined = the gateway has no keys.
 */
export function createRefusedRows(
  told: (key: string | undefined, count: number, perSecond: number) => void,
): RefusedRows {
  const counts = new Map<string, { second: number; rows: number }>()
  let dropped = 0
  let untold = 0
  let toldAt = Number.NEGATIVE_INFINITY

  /** How many of a key in this second, this one included. */
  function countOf(key: string, second: number): number {
    const known = counts.get(key)
    if (known?.second === second) return ++known.rows
    if (known) {
      known.second = second
      known.rows = 1
      return 1
    }
    if (counts.size >= remembered)
      for (const [name, { second: then }] of counts) if (then !== second) counts.delete(name)
    counts.set(key, { second, rows: 1 })
    return 1
  }

  return {
    keeps({ key, attempts, assigned, snapshot }, now) {
      const { refusalsPerSecond: most } = snapshot.ledger
      // A call has cost something, and what a rollout has assigned is evidence: both are read back from rows.
      if (most === 0 || attempts.length > 0 || assigned !== undefined) return true
      if (countOf(key?.name ?? '', Math.floor(now / 1000)) <= most) return true
      dropped++
      untold++
      if (now - toldAt >= tellEvery) {
        told(key?.name, untold, most)
        untold = 0
        toldAt = now
      }
      return false
    },
    get dropped() {
      return dropped
    },
  }
}
