// Reads requests and their attempts back from the ledger: pages, single ones, and those that were settled last.
import type { Sqlite } from './driver.ts'
import { firstIdOf, idsPerRequest } from './ledgerId.ts'

/** A row of the view `requests`. Times in microseconds, cost in nano-USD; flags are 0 or 1. */
export interface StoredRequest {
  id: number
  /** Unix milliseconds. */
  at: number
  route: string
  key: string
  team: string
  user: string | null
  tags: string | null
  dialect: string
  stream: number
  config: number
  status: number
  outcome: string
  error: string
  latency_us: number | null
  first_us: number | null
  overhead_us: number | null
  attempts: number
  tokens_in: number
  tokens_out: number
  cost: number | null
  estimated: number
  rollout: string | null
  revision: number | null
  arm: string | null
  propensity_ppm: number | null
  assignment: string | null
  unit: string | null
  arrival_seq: number | null
  first_attempt_class: string | null
  bad_mask: number | null
  clean_share_ppm: number | null
  served_arm: string | null
  shadow_of: number | null
  /** What the response cache did, the seconds since its answer was new, and the nano-USD that this saved. */
  cache: string | null
  cache_age_s: number | null
  cache_saved: number | null
}

/** A row of the view `attempts`. */
export interface StoredAttempt {
  id: number
  request: number
  n: number
  target: string
  provider: string
  model: string
  served: string
  lane: string
  reason: string
  status: number
  fault: string
  finish: string
  started_us: number | null
  latency_us: number | null
  first_us: number | null
  input: number
  cache_read: number
  cache_write_5m: number
  cache_write_1h: number
  output: number
  reasoning: number
  audio_in: number
  audio_out: number
  estimated: number
  price_source: string
  price_version: string
  cost: number | null
  /** JSON. */
  losses: string | null
}

export interface RequestFilter {
  route?: string | undefined
  key?: string | undefined
  team?: string | undefined
  /** From `hashUser`. */
  user?: string | undefined
  outcome?: string | undefined
  error?: string | undefined
  rollout?: string | undefined
  status?: number | undefined
  /** Some attempt went there. */
  target?: string | undefined
  provider?: string | undefined
  model?: string | undefined
  /** Unix milliseconds: `[from, to)`. */
  from?: number | undefined
  to?: number | undefined
}

export interface PageAsk extends RequestFilter {
  /** Requests with ids below it: the `next` of the page before. */
  before?: number | undefined
  /** 1 to 1000; 100 when absent. */
  limit?: number | undefined
}

const byName = ['route', 'key', 'team', 'outcome', 'error'] as const
const byAttempt = ['target', 'provider', 'model'] as const

export interface RequestPage {
  rows: StoredRequest[]
  next: number | undefined
}

/** A page, newest first. `next` is undefined on the last one. */
export function readPage(db: Sqlite, ask: PageAsk): RequestPage {
  const limit = Math.min(1000, Math.max(1, ask.limit ?? 100))
  const { terms, values } = filterTerms(ask)
  if (ask.before !== undefined) {
    terms.push('r.id < @before')
    values.before = ask.before
  }
  const ids = db
    .prepare(`SELECT r.id FROM request r ${whereOf(terms)} ORDER BY r.id DESC LIMIT @limit`)
    .pluck()
    .all({ ...values, limit: limit + 1 }) as number[]
  const shown = ids.slice(0, limit)
  return { rows: readRequests(db, shown), next: ids.length > limit ? shown.at(-1) : undefined }
}

/** One request with its attempts in order; undefined when there is none. */
export function readRequest(db: Sqlite, id: number): { request: StoredRequest; attempts: StoredAttempt[] } | undefined {
  const [request] = readRequests(db, [id])
  if (!request) return undefined
  const attempts = db.prepare('SELECT * FROM attempts WHERE id > ? AND id < ? ORDER BY id').all(id, id + idsPerRequest)
  return { request, attempts: attempts as StoredAttempt[] }
}

/**
 * Requests that ended at `since` (Unix milliseconds) or later, by their end. Requests are stored when they end, so that one that began an
 * hour ago may be the newest row; `window` is how far back (milliseconds) beginnings are looked for.
 */
export function readSettled(db: Sqlite, since: number, window: number, limit: number): StoredRequest[] {
  const ids = db
    .prepare(
      `SELECT id FROM request WHERE id >= ? AND id / 4096 + 1735689600000 + coalesce(latency_us, 0) / 1000 >= ?
       ORDER BY id / 4096 + 1735689600000 + coalesce(latency_us, 0) / 1000 DESC, id DESC LIMIT ?`,
    )
    .pluck()
    .all(firstIdOf(since - window), since, limit) as number[]
  return readRequests(db, ids.reverse())
}

/** Those that are there, in the order of `ids`. */
export function readRequests(db: Sqlite, ids: readonly number[]): StoredRequest[] {
  const read = db.prepare('SELECT * FROM requests WHERE id = ?')
  return ids.map((id) => read.get(id) as StoredRequest | undefined).filter((row) => row !== undefined)
}

/** Conditions on `request r`, and their values. */
export function filterTerms(filter: RequestFilter): { terms: string[]; values: Record<string, unknown> } {
  const terms: string[] = []
  const values: Record<string, unknown> = {}
  const add = (name: string, term: string, value: unknown): void => {
    terms.push(term)
    values[name] = value
  }
  const nameId = (name: string): string => `coalesce((SELECT id FROM name WHERE text = @${name}), -1)`
  for (const name of byName) {
    if (filter[name] !== undefined) add(name, `r.${name} = ${nameId(name)}`, filter[name])
  }
  for (const name of byAttempt) {
    if (filter[name] === undefined) continue
    add(
      name,
      `EXISTS (SELECT 1 FROM attempt a WHERE a.id > r.id AND a.id < r.id + ${idsPerRequest} AND a.${name} = ${nameId(name)})`,
      filter[name],
    )
  }
  if (filter.rollout !== undefined) {
    add(
      'rollout',
      `EXISTS (SELECT 1 FROM request_rollout x WHERE x.id = r.id AND x.case_id IN (SELECT id FROM rollout_case WHERE rollout = ${nameId('rollout')}))`,
      filter.rollout,
    )
  }
  if (filter.user !== undefined) add('user', 'r.user = @user', filter.user)
  if (filter.status !== undefined) add('status', 'r.status = @status', filter.status)
  if (filter.from !== undefined) add('from', 'r.id >= @from', firstIdOf(filter.from))
  if (filter.to !== undefined) add('to', 'r.id < @to', firstIdOf(filter.to))
  return { terms, values }
}

export function whereOf(terms: readonly string[]): string {
  return terms.length > 0 ? `WHERE ${terms.join(' AND ')}` : ''
}
