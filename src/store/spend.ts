// Reads what was spent, from the daily sums.
import type { Sqlite } from './driver.ts'
import type { Tokens } from './ledgerRow.ts'

export const spendDimensions = ['day', 'model', 'provider', 'key', 'team', 'route'] as const
export type SpendDimension = (typeof spendDimensions)[number]

export interface SpendAsk {
  /** What to group by, in order; none gives one line. */
  by: readonly SpendDimension[]
  /** UTC days as `YYYY-MM-DD`, both included. */
  from?: string | undefined
  to?: string | undefined
  /** Only these values. */
  only?: Partial<Record<Exclude<SpendDimension, 'day'>, string>> | undefined
  /** Dearest lines first, at most this many; 1000 when absent. The total counts all. */
  limit?: number | undefined
}

/** One line of a report: the names it was grouped by, counts, tokens, cost. */
export interface SpendLine extends Tokens {
  /** `YYYY-MM-DD`. */
  day?: string
  model?: string
  provider?: string
  key?: string
  team?: string
  route?: string
  requests: number
  failed: number
  attempts: number
  /** Integer nano-USD, exact. What has no known price is not in it: see `unpriced`. */
  cost: bigint
  /** Attempts whose cost is unknown, and attempts whose tokens are estimates. */
  unpriced: number
  estimated: number
}

export interface SpendReport {
  lines: SpendLine[]
  total: SpendLine
  /** Lines left out by `limit`. */
  more: number
}

const sums = `sum(requests) AS requests, sum(failed) AS failed, sum(attempts) AS attempts, sum(cost) AS cost, sum(unpriced) AS unpriced,
  sum(estimated) AS estimated, sum(input) AS input, sum(cache_read) AS cacheRead, sum(cache_write_5m) AS cacheWrite5m,
  sum(cache_write_1h) AS cacheWrite1h, sum(output) AS output, sum(reasoning) AS reasoning, sum(audio_in) AS audioIn, sum(audio_out) AS audioOut`

/** Groups the daily sums. A request counts for the model and provider of its last attempt, an attempt and its cost for its own. */
export function readSpend(db: Sqlite, ask: SpendAsk): SpendReport {
  const { where, values } = filterOf(ask)
  const by = ask.by.filter(
    (dimension, place) => spendDimensions.includes(dimension) && ask.by.indexOf(dimension) === place,
  )
  const total = toLine(db.prepare(`SELECT ${sums} FROM rollup ${where}`).safeIntegers().get(values) as Raw)
  if (by.length === 0) return { lines: [], total, more: 0 }
  const limit = ask.limit ?? 1000
  const columns = by.map((dimension) =>
    dimension === 'day' ? 'day' : `(SELECT text FROM name WHERE id = rollup.${dimension}) AS ${dimension}`,
  )
  // By day the lines read as a calendar, otherwise the dearest come first.
  const order = by[0] === 'day' ? 'rollup.day, cost DESC' : 'cost DESC, requests DESC'
  const group = `FROM rollup ${where} GROUP BY ${by.map((dimension) => `rollup.${dimension}`).join(', ')}`
  const rows = db
    .prepare(`SELECT ${columns.join(', ')}, ${sums} ${group} ORDER BY ${order} LIMIT @limit`)
    .safeIntegers()
  const lines = (rows.all({ ...values, limit }) as Raw[]).map(toLine)
  const all =
    lines.length < limit
      ? lines.length
      : (db.prepare(`SELECT count(*) FROM (SELECT 1 ${group})`).pluck().get(values) as number)
  return { lines, total, more: all - lines.length }
}

type Raw = Record<string, bigint | string | null>

function toLine(raw: Raw): SpendLine {
  const line: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(raw)) {
    if (name === 'day') line.day = printDay(Number(value))
    else if (name === 'cost') line.cost = value ?? 0n
    else line[name] = typeof value === 'string' ? value : Number(value ?? 0)
  }
  return line as unknown as SpendLine
}

function filterOf(ask: SpendAsk): { where: string; values: Record<string, unknown> } {
  const terms: string[] = []
  const values: Record<string, unknown> = {}
  if (ask.from !== undefined) {
    terms.push('day >= @from')
    values.from = parseDay(ask.from)
  }
  if (ask.to !== undefined) {
    terms.push('day <= @to')
    values.to = parseDay(ask.to)
  }
  for (const dimension of spendDimensions) {
    if (dimension === 'day' || ask.only?.[dimension] === undefined) continue
    // A name that nobody ever used has no number: -1 finds nothing.
    terms.push(`rollup.${dimension} = coalesce((SELECT id FROM name WHERE text = @${dimension}), -1)`)
    values[dimension] = ask.only[dimension]
  }
  return { where: terms.length > 0 ? `WHERE ${terms.join(' AND ')}` : '', values }
}

/** `YYYY-MM-DD` as the number YYYYMMDD. Throws RangeError. */
function parseDay(day: string): number {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day)
  if (!match || Number.isNaN(Date.parse(`${day}T00:00:00Z`)))
    throw new RangeError(`${day} is not a day like 2026-01-31`)
  return Number(`${match[1]}${match[2]}${match[3]}`)
}

/** The number YYYYMMDD as `YYYY-MM-DD`; the way back from `parseDay`. */
function printDay(day: number): string {
  const text = String(day)
  return `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}`
}
