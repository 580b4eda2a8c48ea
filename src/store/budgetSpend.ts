// Reads what was spent since a moment, by the names that budgets count by: how their state comes back after a restart.
import type { Sqlite } from './driver.ts'
import { firstKept } from './firstKept.ts'
import { dayOf, firstIdOf, timeOf } from './ledgerId.ts'

/** What the ledger can tell spending apart by. `user` is the stored hash. */
export type SpendScope = 'key' | 'team' | 'user' | 'route' | 'target'

export interface BudgetSpendAsk {
  readonly by: readonly SpendScope[]
  /** Unix milliseconds of the first moment that counts; below 0 = all there is. */
  readonly from: number
  /** How finely the moments of spending must be known, in milliseconds; a day or more is read from daily sums. Absent: not at all. */
  readonly slice?: number | undefined
  /** Names whose spending alone is wanted; more may be told. */
  readonly only?: Readonly<Partial<Record<SpendScope, string>>> | undefined
}

/** Nano-USD of one combination of names, spent at or before `at` (Unix milliseconds), and after the one before. */
export interface BudgetSpend {
  readonly at: number
  readonly nano: number
  readonly key?: string
  readonly team?: string
  readonly user?: string
  readonly route?: string
  readonly target?: string
}

const day = 86_400_000

/**
 * Spending since `from`, oldest first. Whole UTC days come from the daily sums, a day that begins before `from` from its rows. Daily sums
 * know no users and no targets: for these the rows are read, as far back as they are kept. Where the rows of the first day are gone, all
 * of that day counts: rather too much than too little.
 */
export function readBudgetSpend(db: Sqlite, ask: BudgetSpendAsk): BudgetSpend[] {
  const from = Math.max(0, ask.from)
  const needsRows = ask.by.includes('user') || ask.by.includes('target') || (ask.slice ?? day) < day
  if (needsRows) return readRows(db, ask, firstIdOf(from), Number.MAX_SAFE_INTEGER)
  const midnight = Math.ceil(from / day) * day
  if (from === midnight || firstIdOf(from) < firstKept(db)) return readSums(db, ask, dayOf(firstIdOf(from)))
  const partial = readRows(db, ask, firstIdOf(from), firstIdOf(midnight))
  return [...partial, ...readSums(db, ask, dayOf(firstIdOf(midnight)))]
}

/** The names of `only` as conditions on their numbers, and what these are; a user stands as a text in the rows. */
function conditionsOf(
  { only = {} }: BudgetSpendAsk,
  column: (scope: SpendScope) => string,
): { where: string; names: string[] } {
  const named = Object.entries(only) as [SpendScope, string][]
  const conditions = named.map(([scope]) =>
    scope === 'user' ? `${column(scope)} = ?` : `${column(scope)} = (SELECT id FROM name WHERE text = ?)`,
  )
  return { where: conditions.map((condition) => ` AND ${condition}`).join(''), names: named.map(([, name]) => name) }
}

function readSums(db: Sqlite, ask: BudgetSpendAsk, firstDay: number): BudgetSpend[] {
  const { by, slice } = ask
  const own = conditionsOf(ask, (scope) => `rollup.${scope}`)
  const groups = [...(slice === undefined ? [] : ['day']), ...by]
  const names = by.map((scope) => `(SELECT text FROM name WHERE id = rollup.${scope}) AS ${scope}`)
  const moment = slice === undefined ? 'max(day) AS day' : 'day'
  const rows = db
    .prepare(
      `SELECT ${[moment, ...names, 'sum(cost) AS nano'].join(', ')} FROM rollup WHERE day >= ?${own.where}
       ${groups.length > 0 ? `GROUP BY ${groups.map((name) => `rollup.${name}`).join(', ')}` : ''} HAVING sum(cost) > 0
       ORDER BY day`,
    )
    .all(firstDay, ...own.names) as ({ day: number } & Raw)[]
  return rows.map(({ day: date, ...raw }) => toSpend(endOfDay(date), raw))
}

function readRows(db: Sqlite, ask: BudgetSpendAsk, from: number, to: number): BudgetSpend[] {
  const { by, slice } = ask
  const ids = slice === undefined ? undefined : sliceIds(slice)
  // Only what a request alone knows makes the join necessary: it is half of the time.
  const own = by.every((scope) => scope === 'target')
  const column = (scope: SpendScope): string => (scope === 'target' ? 'a.target' : `r.${scope}`)
  const groups = [...(ids === undefined ? [] : [`a.id / ${ids}`]), ...by.map(column)]
  const fields = by.map((scope) => `${column(scope)} AS ${scope}`)
  const mine = conditionsOf(ask, column)
  const rows = db
    .prepare(
      `SELECT max(a.id) AS id, ${fields.map((field) => `${field}, `).join('')}sum(a.cost) AS nano
       FROM attempt a ${own ? '' : 'JOIN request r ON r.id = a.id - a.id % 64'}
       WHERE a.id >= ? AND a.id < ? AND a.cost > 0${mine.where} ${groups.length > 0 ? `GROUP BY ${groups.join(', ')}` : ''}
       HAVING sum(a.cost) > 0 ORDER BY 1`,
    )
    .all(from, to, ...mine.names) as ({ id: number } & Record<string, unknown>)[]
  const nameOf = db.prepare('SELECT text FROM name WHERE id = ?').pluck()
  const known = new Map<unknown, unknown>()
  const lookUp = (id: unknown): unknown => {
    if (!known.has(id)) known.set(id, nameOf.get(id))
    return known.get(id)
  }
  return rows.map(({ id, ...raw }) => {
    for (const scope of by) if (scope !== 'user') raw[scope] = lookUp(raw[scope])
    return toSpend(Math.ceil(timeOf(id)), raw as Raw)
  })
}

type Raw = { nano: number } & Partial<Record<SpendScope, string | null>>

/** A name that was not given is absent. */
function toSpend(at: number, { nano, ...names }: Raw): BudgetSpend {
  const given = Object.entries(names).filter(([, name]) => name !== null && name !== '')
  return { at, nano, ...Object.fromEntries(given) }
}

/** Ids of a stretch of time, so that ids divided by it are its number. */
const sliceIds = (ms: number): number => Math.max(1, Math.floor(ms)) * 4096

function endOfDay(date: number): number {
  return Date.UTC(Math.floor(date / 10_000), (Math.floor(date / 100) % 100) - 1, date % 100) + day - 1
}
