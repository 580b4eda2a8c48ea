// The response cache of one process: its store, and the counts of what it did.
import { setImmediate as turn } from 'node:timers/promises'
import { type CacheDisk, type DiskPlace, entryOfRow, rowOf } from './disk.ts'
import { type CacheEntry, type CacheStore, ENTRY_OVERHEAD, type EntryFilter, type Farewell, isMeant } from './entry.ts'
import { createMemoryStore, type MemoryStore } from './memoryStore.ts'
import { pack } from './pack.ts'
import { Repeats } from './repeats.ts'

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
  /** Requests that it answered lately. */
  readonly repeats: Repeats
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
  /** Where the answers are kept for the next process; undefined where they are not. */
  readonly disk: CacheDisk | undefined
  /** Removes answers, and keeps those from coming that are on their way. Returns how many there were in memory. */
  remove(filter: EntryFilter): number
  /**
   * The same, and waits until they are gone from the disk, too. `disk` is how many there were, undefined where none is used. Rejects when
   * they cannot be taken out of it.
   */
  forget(filter: EntryFilter): Promise<{ memory: number; disk: number | undefined }>
  /** Drops all that came from a target. */
  dropTarget(target: string): number
  /** Grows with each removal. */
  readonly epoch: number
  /** Whether such an answer was removed since. What was asked before may be what somebody wants to be rid of. */
  wasRemoved(answer: Removable, since: number): boolean
  /** Other bounds, at once; and the routes that have a cache now, which are counted from the start. */
  configure(limits: CacheLimits, routes: Iterable<string>): void
  /** Takes up what an earlier process kept, and resolves when that is done. Call once traffic is served; further calls share the first. Never rejects. */
  load(): Promise<void>
  /** Resolves when what there is to be written for the next process is written. */
  close(): Promise<void>
}

/** All that answers are removed by. */
export type Removable = Pick<CacheEntry, 'route' | 'key' | 'target' | 'owner'>

const SWEEP_EVERY = 30_000
const REMOVALS_KEPT = 64
/** Bytes that may wait for being compressed. What comes beyond is kept as it is: memory that waits is in nobody's bound. */
const PACKING_MOST = 8 * 1024 ** 2

/** Bytes: all entries together, and from which length on an answer is compressed. */
export interface CacheLimits {
  readonly size: number
  readonly compressAbove: number
  /** Keep the answers for the next process, too. */
  readonly persist: boolean
  /** Bytes of the file in which they are kept then. */
  readonly diskSize: number
}

/** Answers that an earlier process was to remove, and perhaps did not. */
export interface Leftover {
  readonly filter: EntryFilter
  /** Called when they are gone from the disk. */
  gone(): Promise<void>
}

export interface ResponseCacheOptions {
  readonly settings: CacheLimits
  /** Without one nothing outlives the process, whatever the settings say. */
  readonly place?: DiskPlace | undefined
  /** Asked once, before anything that an earlier process kept is taken up. */
  readonly leftovers?: (() => readonly Leftover[]) | undefined
  readonly now?: (() => number) | undefined
}

export function createResponseCache({
  settings: first,
  place,
  leftovers,
  now = Date.now,
}: ResponseCacheOptions): ResponseCache {
  let settings = first
  let { size, compressAbove } = settings
  let epoch = 0
  let packing = 0
  const removals: EntryFilter[] = []
  const farewells: Record<Farewell, number> = { room: 0, expired: 0, replaced: 0, removed: 0 }
  const counts = new Map<string, CacheCounts>()
  const store: MemoryStore = createMemoryStore({
    size: () => size,
    now,
    gone: (_, why) => farewells[why]++,
  })
  const repeats = new Repeats()
  // What nobody asks for again must not stay until its place is needed.
  const sweeping = setInterval(() => {
    store.sweep()
    repeats.sweep()
    disk?.sweep()
  }, SWEEP_EVERY).unref()
  let disk: CacheDisk | undefined
  let persist: boolean | undefined
  /** What is opened, closed and deleted on the disk is so one after the other, once traffic is served. */
  let steps: Promise<void> | undefined
  let loaded: Promise<void> | undefined
  let removing: Promise<unknown> | undefined

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
    packing += entry.body.length
    const packed = await pack(entry).catch(() => undefined)
    packing -= entry.body.length
    if (!store.holds(entry)) return
    if (packed) store.swap(entry, packed)
    disk?.put(rowOf(packed ?? entry))
  }

  function note(filter: EntryFilter): number {
    epoch++
    repeats.clear()
    removals.push(filter)
    if (removals.length > REMOVALS_KEPT) removals.shift()
    return store.remove(filter)
  }

  function remove(filter: EntryFilter): number {
    // What goes wrong on the disk is told by the disk.
    disk?.remove(filter).catch(() => {})
    return note(filter)
  }

  function wasRemoved(answer: Removable, since: number): boolean {
    if (since === epoch) return false
    // Further back nobody remembers.
    if (since < epoch - removals.length) return true
    return removals.slice(since - epoch).some((filter) => isMeant(answer, filter))
  }

  async function takeUp(from: CacheDisk, left: readonly EntryFilter[]): Promise<void> {
    const since = epoch
    for await (const rows of from.load(size, ENTRY_OVERHEAD)) {
      if (from !== disk) return
      for (const row of rows) {
        const answer = { ...row, owner: row.owner ?? undefined }
        // Those that could not be removed from the disk are there still.
        if (left.some((filter) => isMeant(answer, filter)) || wasRemoved(answer, since)) continue
        store.restore(entryOfRow(row))
      }
      // Requests go first.
      await turn()
    }
  }

  /** Opens or gives up the file, as the settings say. What cannot be deleted is told by the place. */
  async function followSettings(there: DiskPlace): Promise<void> {
    if (persist === settings.persist) return disk?.resize(settings.diskSize)
    persist = settings.persist
    const before = disk
    disk = persist ? there.open(settings.diskSize) : undefined
    for (const filter of removals) disk?.remove(filter).catch(() => {})
    await before?.close()
    if (!disk) await there.discard()
  }

  function askLeftovers(): readonly Leftover[] | undefined {
    try {
      return leftovers?.() ?? []
    } catch {
      return undefined
    }
  }

  async function loadFirst(): Promise<void> {
    if (!place) return
    steps = followSettings(place)
    await steps
    if (!disk) return
    const from = disk
    // What is not known to be good is not taken up.
    const left = askLeftovers()
    if (!left) return
    removing = Promise.all(left.map(({ filter, gone }) => from.remove(filter).then(gone, () => {})))
    await takeUp(
      from,
      left.map(({ filter }) => filter),
    )
  }

  return {
    store,
    repeats,
    ended(route, { status, saved }) {
      const of = countsOf(route)
      of.requests[status]++
      if (saved !== null) of.saved += saved
    },
    stored(entry) {
      countsOf(entry.route).stored++
      store.put(entry)
      // While there is room, time is worth more: a stream of 200 events takes half a millisecond to compress.
      const wanted = disk !== undefined || store.bytes > size / 2
      if (wanted && entry.body.length > compressAbove && packing < PACKING_MOST) void compress(entry)
      else disk?.put(rowOf(entry))
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
    get disk() {
      return disk
    },
    remove,
    async forget(filter) {
      const gone = disk?.remove(filter)
      const memory = note(filter)
      return { memory, disk: await gone }
    },
    dropTarget: (target) => remove({ target }),
    get epoch() {
      return epoch
    },
    wasRemoved,
    configure(limits, routes) {
      for (const route of routes) countsOf(route)
      settings = limits
      ;({ size, compressAbove } = limits)
      store.sweep()
      repeats.clear()
      if (place) steps = steps?.then(() => followSettings(place))
    },
    load: () => (loaded ??= loadFirst()),
    async close() {
      clearInterval(sweeping)
      await steps
      await removing
      await disk?.close()
    },
  }
}

const zeros = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
