// The windows of clean units of all guards of a rollout: one for those that have seen the same, which are nearly all of them for a long time.
import { CleanShare, longest, shareOf } from './cleanShare.ts'

interface Pool {
  /** Guards whose window it is, as bits. */
  guards: number
  readonly window: CleanShare
}

/** Requests in their order: their buckets, and the guards that have looked at them, as bits. */
export interface Taken {
  readonly buckets: Uint32Array
  readonly seen: Uint32Array
}

/** What the windows held when a request came, in the order of the pools at that time; of it follow the shares, once one is wanted. */
export interface Looked {
  /** By pool. */
  readonly held: readonly number[]
  /** Pools at that time, as bits of guards. */
  readonly pools: readonly number[]
}

/**
 * Each guard has a window of its own, because a unit is clean by one and not by another. As long as no unit has had a bad event that they
 * differ by, the windows are the same; so guards share one, and part when a request comes that only some of them take. From then on
 * each costs a few nanoseconds a request.
 */
export class CleanWindows {
  readonly #pools: Pool[] = []
  #guards: readonly number[] = []

  /** @param guards that have a window, as bits */
  constructor(guards: number) {
    if (guards !== 0) this.#pools.push({ guards, window: new CleanShare() })
    this.#guards = this.#pools.map(({ guards: bits }) => bits)
  }

  /** A request comes. @param dirty guards that do not take it, as bits; @returns what they held before it */
  take(bucket: number, weightPpm: number, dirty: number): Looked {
    if (dirty !== 0) this.#part(dirty)
    const held: number[] = []
    for (const { guards, window } of this.#pools) {
      held.push(window.look(weightPpm))
      if ((guards & dirty) === 0) window.push(bucket)
    }
    return { held, pools: this.#guards }
  }

  /** The same for a request that came before a restart. */
  retake(bucket: number, dirty: number): void {
    if (dirty !== 0) this.#part(dirty)
    for (const { guards, window } of this.#pools) if ((guards & dirty) === 0) window.push(bucket)
  }

  /** The same for many, in their order; those that no window would still hold are left out. @param guards that have a window, as bits */
  recall(rows: readonly Taken[], guards: number): void {
    let from = rows.length
    const held = new Map<number, number>()
    for (let g = 0; guards >>> g !== 0; g++) if (guards & (1 << g)) held.set(1 << g, 0)
    while (from > 0 && [...held.values()].some((count) => count < longest)) {
      const { seen } = rows[--from]!
      for (const [guard, count] of held) {
        let more = 0
        for (let row = 0; row < seen.length; row++) if (seen[row]! & guard) more++
        held.set(guard, count + more)
      }
    }
    for (const { buckets, seen } of rows.slice(from)) {
      for (let row = 0; row < buckets.length; row++) this.retake(buckets[row]!, guards & ~seen[row]!)
    }
  }

  /** Afterwards each pool takes the request as a whole, or does not. */
  #part(dirty: number): void {
    for (let i = this.#pools.length - 1; i >= 0; i--) {
      const pool = this.#pools[i]!
      const apart = pool.guards & dirty
      if (apart === 0 || apart === pool.guards) continue
      pool.guards &= ~apart
      this.#pools.push({ guards: apart, window: pool.window.copy() })
      this.#guards = this.#pools.map(({ guards }) => guards)
    }
  }
}

/** The share that a bad event is judged by, parts per million; the weight itself for guards without a window. */
export function shareAt({ held, pools }: Looked, guard: number, weightPpm: number): number {
  const pool = pools.findIndex((guards) => guards & (1 << guard))
  return pool === -1 ? weightPpm : shareOf(held[pool]!, weightPpm)
}
