// Keeps answers in memory: what was not asked for the longest goes first when the bytes run out.
import {
  type CacheEntry,
  type CacheStore,
  type EntryFilter,
  type Farewell,
  type Holding,
  isMeant,
  sizeOf,
} from './entry.ts'

export interface MemoryStoreOptions {
  /** Bytes of all entries together, overhead included. */
  size(): number
  /** Unix milliseconds. */
  now(): number
  /** Told of each entry that is no longer there. */
  gone?: ((entry: CacheEntry, why: Farewell) => void) | undefined
}

export interface MemoryStore extends CacheStore {
  get(key: string): CacheEntry | undefined
  remove(filter: EntryFilter): number
  /** Whether this very entry is still there. */
  holds(entry: CacheEntry): boolean
  /** Puts an entry in place of the same one in another form, unless that was replaced or removed by now. */
  swap(before: CacheEntry, after: CacheEntry): void
  /** Takes up an entry of an earlier process, unless its key is taken, its time is over or its place would be another one's. */
  restore(entry: CacheEntry): void
  /** Takes out what is over, and what a smaller bound has no room for. */
  sweep(): void
  readonly entries: number
  readonly bytes: number
}

export function createMemoryStore({ size, now, gone }: MemoryStoreOptions): MemoryStore {
  /** In the order of use: the first was not asked for the longest. */
  const kept = new Map<string, CacheEntry>()
  const byRoute = new Map<string, Holding>()
  let bytes = 0

  function add(entry: CacheEntry): void {
    kept.set(entry.key, entry)
    const holding = byRoute.get(entry.route) ?? { entries: 0, bytes: 0 }
    byRoute.set(entry.route, holding)
    holding.entries++
    holding.bytes += sizeOf(entry)
    bytes += sizeOf(entry)
  }

  function take(entry: CacheEntry): void {
    kept.delete(entry.key)
    const holding = byRoute.get(entry.route)!
    holding.entries--
    holding.bytes -= sizeOf(entry)
    if (holding.entries === 0) byRoute.delete(entry.route)
    bytes -= sizeOf(entry)
  }

  function drop(entry: CacheEntry, why: Farewell): void {
    take(entry)
    gone?.(entry, why)
  }

  function makeRoom(limit: number): void {
    while (bytes > limit) drop(kept.values().next().value!, 'room')
  }

  return {
    get(key) {
      const entry = kept.get(key)
      if (!entry) return undefined
      if (entry.deadAt <= now()) {
        drop(entry, 'expired')
        return undefined
      }
      kept.delete(key)
      kept.set(key, entry)
      return entry
    },
    put(entry) {
      const before = kept.get(entry.key)
      if (before) drop(before, 'replaced')
      const limit = size()
      if (sizeOf(entry) > limit) return
      makeRoom(limit - sizeOf(entry))
      add(entry)
    },
    swap(before, after) {
      if (kept.get(before.key) !== before) return
      take(before)
      makeRoom(size() - sizeOf(after))
      add(after)
    },
    holds: (entry) => kept.get(entry.key) === entry,
    restore(entry) {
      if (kept.has(entry.key) || entry.deadAt <= now() || bytes + sizeOf(entry) > size()) return
      add(entry)
    },
    remove(filter) {
      const candidates = filter.key === undefined ? [...kept.values()] : [kept.get(filter.key)]
      const found = candidates.filter((entry) => entry !== undefined && isMeant(entry, filter))
      for (const entry of found) drop(entry!, 'removed')
      return found.length
    },
    sweep() {
      const time = now()
      for (const entry of kept.values()) if (entry.deadAt <= time) drop(entry, 'expired')
      makeRoom(size())
    },
    holdings: () => byRoute,
    get entries() {
      return kept.size
    },
    get bytes() {
      return bytes
    },
  }
}
