// Settles what a run that died left open: intents without an attempt become attempts by estimate.
import { makeRowWriter } from './batch.ts'
import type { Sqlite } from './driver.ts'
import { firstIdOf, requestOf } from './ledgerId.ts'
import { type AttemptReason, type AttemptRow, noTokens, type RequestRow } from './ledgerRow.ts'

interface OpenIntent {
  id: number
  route: string
  key: string
  team: string
  user: string | null
  dialect: string
  stream: number
  config: number
  target: string
  provider: string
  model: string
  lane: string
  reason: AttemptReason
  input: number
  output: number
  cost: number | null
  price_source: string
  price_version: string
}

const text = (column: string): string => `(SELECT text FROM name WHERE id = i.${column}) AS ${column}`
const selectOpen = `SELECT i.id, ${['route', 'key', 'team', 'dialect', 'target', 'provider', 'model', 'lane', 'reason', 'price_source', 'price_version'].map(text).join(', ')},
  i.user, i.stream, i.config, i.input, i.output, i.cost
  FROM intent i WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.id = i.id) ORDER BY i.id`

/**
 * Writes an estimated attempt for every open intent, and the request where it is missing too (`interrupted`), in one transaction.
 * All open intents belong to runs that are dead: this one holds the writer's lock and has not begun. Returns the number of attempts.
 */
export function settleOrphans(db: Sqlite): number {
  const open = db.prepare(selectOpen).all() as OpenIntent[]
  if (open.length === 0 && !db.prepare('SELECT 1 FROM intent LIMIT 1').get()) return 0
  const rows = makeRowWriter(db)
  const hasRequest = db.prepare('SELECT 1 FROM request WHERE id = ?')
  db.exec('BEGIN IMMEDIATE')
  try {
    for (const group of groupByRequest(open)) {
      const attempts = group.map(toAttempt)
      const request = toRequest(group[0] as OpenIntent)
      if (hasRequest.get(request.id)) rows.addAttempts(request, attempts)
      else rows.writeSettled(request, attempts)
    }
    rows.finish(false)
    db.exec('DELETE FROM intent')
    db.exec('COMMIT')
    return open.length
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/** The greatest id that may have been used: in the tables or, where the clock went back since, by the time of the last heartbeat. */
export function lastId(db: Sqlite, now: number): number {
  const greatest = db
    .prepare('SELECT max((SELECT coalesce(max(id), 0) FROM request), (SELECT coalesce(max(id), 0) FROM attempt))')
    .pluck()
    .get() as number
  const beat = (db.prepare('SELECT max(heartbeat_at) FROM instance').pluck().get() as number | null) ?? 0
  // Ids given out after the last heartbeat and never committed lie within its interval.
  return now < beat ? Math.max(greatest, firstIdOf(beat + 10_000)) : greatest
}

function groupByRequest(open: readonly OpenIntent[]): OpenIntent[][] {
  const groups = new Map<number, OpenIntent[]>()
  for (const intent of open) {
    const request = requestOf(intent.id)
    const group = groups.get(request)
    if (group) group.push(intent)
    else groups.set(request, [intent])
  }
  return [...groups.values()]
}

function toRequest(intent: OpenIntent): RequestRow {
  return {
    id: requestOf(intent.id),
    route: intent.route,
    key: intent.key,
    team: intent.team,
    user: intent.user ?? undefined,
    dialect: intent.dialect,
    stream: intent.stream === 1,
    config: intent.config,
    status: 0,
    outcome: 'interrupted',
    error: 'interrupted',
  }
}

function toAttempt(intent: OpenIntent): AttemptRow {
  return {
    id: intent.id,
    target: intent.target,
    provider: intent.provider,
    model: intent.model,
    lane: intent.lane,
    reason: intent.reason,
    status: 0,
    fault: 'interrupted',
    tokens: { ...noTokens(), input: intent.input, output: intent.output },
    estimated: true,
    priceSource: intent.price_source,
    priceVersion: intent.price_version,
    cost: intent.cost,
  }
}
