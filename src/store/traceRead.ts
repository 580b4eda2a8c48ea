// Reads traces back: the requests that have one, with the moments that only a trace knows.
import type { Sqlite } from './driver.ts'
import { firstIdOf } from './ledgerId.ts'
import {
  filterTerms,
  type RequestFilter,
  readRequest,
  type StoredAttempt,
  type StoredRequest,
  whereOf,
} from './requestRead.ts'

/** A row of `trace`, ids as hex. */
export interface StoredTrace {
  readonly id: number
  readonly trace: string
  readonly parent: string | null
  readonly sampled: number
  readonly body_us: number | null
  readonly plan_us: number | null
}

export interface TraceAsk extends Pick<RequestFilter, 'route' | 'from' | 'status'> {
  /** Only those that went well, or only the others. */
  ok?: boolean | undefined
  /** Requests with ids below it. */
  before?: number | undefined
  limit: number
}

export interface TracedRequest {
  readonly trace: StoredTrace
  readonly request: StoredRequest
  readonly attempts: StoredAttempt[]
}

const columns = 't.id, lower(hex(t.trace)) AS trace, lower(hex(t.parent)) AS parent, t.sampled, t.body_us, t.plan_us'

/** Newest first. */
export function readTraces(db: Sqlite, ask: TraceAsk): { rows: TracedRequest[]; next: number | undefined } {
  const { ok, before, limit, ...filter } = ask
  const { terms, values } = filterTerms(filter)
  if (ok !== undefined) terms.push(`r.outcome ${ok ? '=' : '!='} (SELECT id FROM name WHERE text = 'ok')`)
  if (before !== undefined) {
    terms.push('t.id < @before')
    values.before = before
  }
  // The rows of `trace` are the fewer: they lead.
  if (filter.from !== undefined) {
    terms.push('t.id >= @since')
    values.since = firstIdOf(filter.from)
  }
  const found = db
    .prepare(
      `SELECT ${columns} FROM trace t CROSS JOIN request r ON r.id = t.id ${whereOf(terms)} ORDER BY t.id DESC LIMIT @limit`,
    )
    .all({ ...values, limit: limit + 1 }) as StoredTrace[]
  const shown = found.slice(0, limit)
  return { rows: complete(db, shown), next: found.length > limit ? shown.at(-1)?.id : undefined }
}

/**
 * The requests of a trace, oldest first: a client may have made several in one.
 * @param request the request that has begun the trace, if it has begun here; or the one that is asked for
 */
export function readTrace(db: Sqlite, ask: { trace?: string; request?: number }): TracedRequest[] {
  const rows: StoredTrace[] = []
  if (ask.request !== undefined)
    rows.push(...(db.prepare(`SELECT ${columns} FROM trace t WHERE t.id = ?`).all(ask.request) as StoredTrace[]))
  if (ask.trace !== undefined) {
    const own = rows.filter(({ trace }) => trace === ask.trace)
    const others = db
      .prepare(`SELECT ${columns} FROM trace t WHERE t.parent IS NOT NULL AND t.trace = ? ORDER BY t.id LIMIT 100`)
      .all(Buffer.from(ask.trace, 'hex')) as StoredTrace[]
    return complete(db, [...own, ...others])
  }
  return complete(db, rows)
}

function complete(db: Sqlite, rows: readonly StoredTrace[]): TracedRequest[] {
  return rows.flatMap((trace) => {
    const found = readRequest(db, trace.id)
    return found ? [{ trace: { ...trace, parent: trace.parent === '' ? null : trace.parent }, ...found }] : []
  })
}
