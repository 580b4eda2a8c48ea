// What the response cache keeps of an answer, and what a place to keep answers has to be able to do.
import type { Usage } from '../../dialects/chat.ts'

/** How an answer is framed: one JSON document, or a stream without or with the usage chunk that clients ask for. */
export type Framing = 'json' | 'stream' | 'stream+usage'

/** One answer, whole and good. Times are Unix milliseconds. */
export interface CacheEntry {
  readonly key: string
  readonly route: string
  /** Whom it came from. */
  readonly target: string
  readonly provider: string
  readonly model: string
  readonly framing: Framing
  readonly contentType: string
  /** As the client of that framing got it; raw deflate where `packed`. */
  readonly body: Buffer
  readonly packed: boolean
  /** The vendor's id of it, which no second client gets. */
  readonly replyId: string | undefined
  readonly usage: Usage | undefined
  /** What it cost, in nano-USD; null = its price is not known. */
  readonly cost: number | null
  /** Names of the parameters that the target was not told of, as a header has them. */
  readonly dropped: string
  /** The installation's hash of the end user whose request bought it, so that it goes when that user is forgotten. */
  readonly owner: string | undefined
  readonly storedAt: number
  /** From then on it is stale, and from `deadAt` on it is not served for any reason. */
  readonly expiresAt: number
  readonly deadAt: number
}

/** Which entries: all that fit everything that is said. */
export interface EntryFilter {
  readonly route?: string | undefined
  readonly key?: string | undefined
  readonly target?: string | undefined
  readonly owner?: string | undefined
}

/** What a store holds of one route. */
export interface Holding {
  entries: number
  bytes: number
}

/** Why an entry went: its place was needed, its time was over, another took its place, somebody had it removed. */
export type Farewell = 'room' | 'expired' | 'replaced' | 'removed'

/**
 * Where answers are kept. One in memory answers at once; one elsewhere may answer with promises. It keeps to a bound of its own, and
 * may lose any entry at any time.
 */
export interface CacheStore {
  get(key: string): CacheEntry | undefined | Promise<CacheEntry | undefined>
  put(entry: CacheEntry): void
  /** Returns how many there were. */
  remove(filter: EntryFilter): number | Promise<number>
  /** By route. */
  holdings(): ReadonlyMap<string, Readonly<Holding>>
}

const filterNames = ['route', 'key', 'target', 'owner'] as const

/** Whether an answer is one of those that a filter names. */
export const isMeant = (answer: EntryFilter, filter: EntryFilter): boolean =>
  filterNames.every((name) => filter[name] === undefined || filter[name] === answer[name])

/** Bytes that an entry takes in memory beside its body: objects, strings, its place in the index (860), and what allocators lose on it. */
export const ENTRY_OVERHEAD = 2048

export const sizeOf = (entry: CacheEntry): number => entry.body.length + ENTRY_OVERHEAD
