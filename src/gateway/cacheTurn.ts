// What the cache has to do with one request.
import type { CacheEntry, Framing } from '../state/cache/entry.ts'
import type { CacheStatus, UnkeptReason } from '../state/cache/responseCache.ts'
import type { CacheFacts } from '../store/ledgerRow.ts'
import type { Flight } from './cacheFlight.ts'
import type { BypassReason } from './cacheJudge.ts'
import { asksForCost, type Call } from './call.ts'

/** What is told of it beside the status. */
export type CacheReason = BypassReason | UnkeptReason | 'reframed' | 'error' | 'revalidating'

/** Who gave an answer, and the parameters that it was not told. */
export type AnswerSource = Pick<CacheEntry, 'target' | 'provider' | 'model' | 'dropped'>

export interface CacheTurn {
  /** Of the answer, once it was asked for: what an operator may remove it by. */
  key: string | undefined
  status: CacheStatus
  reason: CacheReason | undefined
  /** Seconds since the answer came from its target; of answers out of the cache. */
  age: number | undefined
  /** The answer that it got from the cache, or from another request's call. */
  entry: CacheEntry | undefined
  /** Whom a stream comes from that another request's call brings. */
  source: AnswerSource | undefined
  /** What that would have cost, in nano-USD; null = not known, or nothing was saved. */
  saved: number | null
  /** A stale answer that may be given when all targets fail. */
  fallback: CacheEntry | undefined
  /** What it fetches, for the cache and for whoever joins. */
  flight: Flight | undefined
}

export const openTurn = (status: CacheStatus = 'miss'): CacheTurn => ({
  key: undefined,
  status,
  reason: undefined,
  age: undefined,
  entry: undefined,
  source: undefined,
  saved: null,
  fallback: undefined,
  flight: undefined,
})

/** How the client wants its answer framed. */
export function framingOf(call: Call): Framing {
  const { ask } = call.inspected!
  if (!ask.stream) return 'json'
  return ask.includeUsage || asksForCost(call) ? 'stream+usage' : 'stream'
}

/** What the ledger keeps of it; undefined where the request went its usual way. */
export function cacheFacts({ cache }: Call): CacheFacts | undefined {
  if (!cache || cache.status === 'miss' || cache.status === 'bypass') return undefined
  return { status: cache.status, age: cache.age, saved: cache.saved }
}

/** The value of `x-turnout-cache` on a reply. */
export function tellCache({ status, reason, age }: CacheTurn): string {
  return `${status}${age === undefined ? '' : `; age=${age}`}${reason === undefined ? '' : `; reason=${reason}`}`
}
