// Reads what was spent in the last day or so, step by step: how alerts know at the start what they would have seen.
import type { Sqlite } from './driver.ts'
import { firstIdOf, timeOf } from './ledgerId.ts'

export type AlertSpendName = 'key' | 'team' | 'route' | 'target'

export interface AlertSpendAsk {
  /** Unix milliseconds, by the arrival of requests: the first included, the last not. */
  readonly from: number
  readonly to: number
  /** How finely the moments must be known, in milliseconds. */
  readonly step: number
  readonly by: readonly AlertSpendName[]
}

/** Calls of one combination of names in one step. Names that were not given are absent. */
export interface AlertSpend extends Partial<Record<AlertSpendName, string>> {
  /** When the last of them arrived, Unix milliseconds. */
  readonly at: number
  /** What is known of their cost, nano-USD. */
  readonly nano: number
  /** Requests whose last call is among them. */
  readonly requests: number
}

/** Oldest first. */
export function readAlertSpend(db: Sqlite, { from, to, step, by }: AlertSpendAsk): AlertSpend[] {
  const columns = by.map((name) => `${name === 'target' ? 'a' : 'r'}.${name} AS ${name}, `)
  const groups = [
    `a.id / ${Math.max(1, Math.floor(step)) * 4096}`,
    ...by.map((name) => (name === 'target' ? 'a.target' : `r.${name}`)),
  ]
  const rows = db
    .prepare(
      `SELECT max(a.id) AS id, ${columns.join('')}coalesce(sum(a.cost), 0) AS nano, sum(a.id % 64 = r.attempts) AS requests
       FROM attempt a JOIN request r ON r.id = a.id - a.id % 64
       WHERE a.id >= ? AND a.id < ? GROUP BY ${groups.join(', ')} ORDER BY 1`,
    )
    .all(firstIdOf(from), firstIdOf(to)) as ({ id: number; nano: number; requests: number } & Partial<
    Record<AlertSpendName, number>
  >)[]
  const find = db.prepare('SELECT text FROM name WHERE id = ?').pluck()
  const known = new Map<number, string>()
  const textOf = (id: number): string => {
    const text = known.get(id) ?? (find.get(id) as string | undefined) ?? ''
    known.set(id, text)
    return text
  }
  return rows.map(({ id, nano, requests, ...ids }) => {
    const names = Object.entries(ids).flatMap(([name, number]) => {
      const text = textOf(number)
      return text === '' ? [] : [[name, text] as const]
    })
    return { at: timeOf(id), nano, requests, ...Object.fromEntries(names) }
  })
}

/** When the first request arrived that is on record, Unix milliseconds; undefined when none is. */
export function readFirstRecord(db: Sqlite): number | undefined {
  const id = db.prepare('SELECT min(id) FROM request').pluck().get() as number | null
  return id === null ? undefined : timeOf(id)
}
