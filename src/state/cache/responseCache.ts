// The response cache of one process: its store, and the counts of what it did.
import type { CacheEntry, CacheStore, EntryFilter, Farewell } from './entry.ts'
import { createMemoryStore, type MemoryStore } from './memoryStore.ts'
import { pack } from './pack.ts'

/** What the cache did for a request. `bypass`: it was not asked. `refresh`: a call of its own, for an answer that had become stale. */
export const cacheStatuses = ['hit', 'miss', 'stale', 'coalesced', 'bypass', 'refresh'] as const
export type CacheStatus = (typeof cacheStatuses)[number]

/** Why an answer was not kept. */
export const unkeptReasons = [
  'truncated',
  'filtered',
  'unfinished',
  'tool_calls',
  'too_large',
  'fallback',
  'status',
  'unreadable',
  'dropped',
] as const
export type UnkeptReason = (typeof unkeptReasons)[number]

export interface CacheCounts {
  readonly requests: Record<CacheStatus, number>
  stored: number
  readonly unkept: Record<UnkeptReason, number>
  /** Nano-USD that requests did not cost because the cache answered. Of answers whose price is known. */
  saved: number
}

export interface ResponseCache {
  readonly store: CacheStore
  /** Counts the end of a request. `saved` in nano-USD. */
  ended(route: string, turn: { status: CacheStatus; saved: number | null }): void
  stored(entry: CacheEntry): void
  unkept(route: string, reason: UnkeptReason): void
  counts(): ReadonlyMap<string, Readonly<CacheCounts>>
  /** Requests that wait for another's call at the moment, and calls that go on for others alone because their own client has left. */
  followers: number
  leaderless: number
  /** How many entries went, by why. */
  readonly farewells: Readonly<Record<Farewell, number>>
  readonly entries: number
  readonly bytes: number
  readonly size: number
  /** Removes answers, and keeps those from coming that are on their way. Returns how many there were. */
  remove(filter: EntryFilter): number
  /** Drops all that came from a target. */
  dropTarget(target: string): number
  /** Grows with each removal. */
  readonly epoch: number
  /** Whether such an answer was removed since. What was asked before may be what somebody wants to be rid of. */
  wasRemoved(answer: Required<EntryFilter>, since: number): boolean
  /** Other bounds, at once; and the routes that have a cache now, which are counted from the start. */
  configure(limits: CacheLimits, routes: Iterable<string>): void
  close(): void
}

const SWEEP_EVERY = 30_000
const REMOVALS_KEPT = 64

/** Bytes: all entries together, and from which length on an answer is compressed. */
export interface CacheLimits {
  readonly size: number
  readonly compressAbove: number
}

export interface ResponseCacheOptions {
  readonly settings: CacheLimits
  readonly now?: (() => number) | undefined
}

export function createResponseCache({ settings, now = Date.now }: ResponseCacheOptions): ResponseCache {
  let { size, compressAbove } = settings
  let epoch = 0
  const removals: EntryFilter[] = []
  const farewells: Record<Farewell, number> = { room: 0, expired: 0, replaced: 0, removed: 0 }
  const counts = new Map<string, CacheCounts>()
  const store: MemoryStore = createMemoryStore({
    size: () => size,
    now,
    gone: (_, why) => farewells[why]++,
  })
  // What nobody asks for again must not stay until its place is needed.
  const sweeping = setInterval(() => store.sweep(), SWEEP_EVERY).unref()

  function countsOf(route: string): CacheCounts {
    let found = counts.get(route)
    if (!found) {
      found = { requests: zeros(cacheStatuses), stored: 0, unkept: zeros(unkeptReasons), saved: 0 }
      counts.set(route, found)
    }
    return found
  }

  /** The entry serves as it is until its smaller form is there. What cannot be packed stays as it is. */
  async function compress(entry: CacheEntry): Promise<void> {
    const packed = await pack(entry).catch(() => undefined)
    if (packed) store.swap(entry, packed)
  }

  function remove(filter: EntryFilter): number {
    epoch++
    removals.push(filter)
    if (removals.length > REMOVALS_KEPT) removals.shift()
    return store.remove(filter)
  }

  return {
    store,
    ended(route, { status, saved }) {
      const of = countsOf(route)
      of.requests[status]++
      if (saved !== null) of.saved += saved
    },
    stored(entry) {
      countsOf(entry.route).stored++
      store.put(entry)
      if (entry.body.length > compressAbove) void compress(entry)
    },
    unkept: (route, reason) => void countsOf(route).unkept[reason]++,
    counts: () => counts,
    followers: 0,
    leaderless: 0,
    farewells,
    get entries() {
      return store.entries
    },
    get bytes() {
      return store.bytes
    },
    get size() {
      return size
    },
    remove,
    dropTarget: (target) => remove({ target }),
    get epoch() {
      return epoch
    },
    wasRemoved(answer, since) {
      if (since === epoch) return false
      // Further back nobody remembers.
      if (since < epoch - removals.length) return true
      return removals.slice(since - epoch).some((filter) => fits(filter, answer))
    },
    configure(limits, routes) {
      for (const route of routes) countsOf(route)
      ;({ size, compressAbove } = limits)
      store.sweep()
    },
    close: () => clearInterval(sweeping),
  }
}

const fits = (filter: EntryFilter, answer: EntryFilter): boolean =>
  (['route', 'key', 'target'] as const).every((name) => filter[name] === undefined || filter[name] === answer[name])

const zeros = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
