// Checks the whole ledger against itself: sums, gaps, strays, doubles, daily sums.
import type { Sqlite } from './driver.ts'
import { dayOf, idsPerRequest, printId, requestOf } from './ledgerId.ts'

export type ProblemKind = 'sum' | 'gap' | 'stray' | 'open' | 'rollup' | 'file'

export interface Problem {
  kind: ProblemKind
  text: string
}

export interface Verification {
  ok: boolean
  requests: number
  attempts: number
  /** Calls in flight: intents of the run that is writing. */
  open: number
  /** Known costs of all rows in nano-USD. */
  cost: bigint
  /** All problems by kind, and the first hundred in words. */
  counts: Record<ProblemKind, number>
  problems: Problem[]
}

const maxProblems = 100

interface RequestSum {
  id: number
  route: number
  key: number
  team: number
  failed: number
  attempts: number
  tokens_in: number
  tokens_out: number
  cost: number | null
  estimated: number
}

interface AttemptSum {
  id: number
  model: number
  provider: number
  cost: number | null
  estimated: number
  values: number[]
  tokens_in: number
  tokens_out: number
}

/**
 * Reads everything in one snapshot. `sum`: a request's attempts, tokens or cost are not those of its attempts. `gap`: attempt numbers with a
 * hole. `stray`: an attempt, or what a rollout made of a request, without its request; or without the case that its rollout's row names. `open`: a call whose run is dead and that was not settled. `rollup`: a day's sum
 * is not that of its rows. `file`: SQLite's own check, which also finds doubles, or a part of the file that cannot be read.
 */
export function verifyLedger(db: Sqlite): Verification {
  db.exec('BEGIN')
  try {
    return new Verifier(db).run()
  } finally {
    // Where not even the schema can be read, this fails too; nothing was written.
    try {
      if (db.inTransaction) db.exec('ROLLBACK')
    } catch {}
  }
}

class Verifier {
  readonly #db: Sqlite
  readonly #found: Verification = {
    ok: true,
    requests: 0,
    attempts: 0,
    open: 0,
    cost: 0n,
    counts: { sum: 0, gap: 0, stray: 0, open: 0, rollup: 0, file: 0 },
    problems: [],
  }
  /** Sums made from the rows of one day, by names: per request without model and provider, because its last attempt may change. */
  readonly #byAttempt = new Map<string, bigint[]>()
  readonly #byRequest = new Map<string, bigint[]>()

  constructor(db: Sqlite) {
    this.#db = db
  }

  run(): Verification {
    let from = 0
    const hasMark = this.#canRead('marks', () => {
      const mark = this.#db.prepare("SELECT value FROM ledger_mark WHERE mark = 'rows_from_id'").pluck().get()
      from = (mark as number | undefined) ?? 0
    })
    // Of the day in which retention stopped only a part may be left. Sums are held against all rows of a day, or none.
    if (hasMark) this.#canRead('rows', () => this.#checkRows(from, from === 0 ? 0 : dayOf(from - 1)))
    if (hasMark) this.#canRead('rows of rollouts', () => this.#checkRollouts(from))
    this.#canRead('calls in flight', () => this.#checkOpen())
    this.#canRead('file', () => {
      for (const line of this.#db.pragma('integrity_check(20)') as { integrity_check: string }[]) {
        if (line.integrity_check !== 'ok') this.#report('file', line.integrity_check)
      }
    })
    return this.#found
  }

  /** Damage that SQLite stumbles over is a finding like any other, and what can be read is looked at all the same. */
  #canRead(what: string, look: () => void): boolean {
    try {
      look()
      return true
    } catch (error) {
      if (!String((error as { code?: unknown }).code).startsWith('SQLITE_')) throw error
      this.#report('file', `the ${what} cannot be read: ${(error as Error).message}`)
      return false
    }
  }

  #report(kind: ProblemKind, text: string): void {
    this.#found.ok = false
    this.#found.counts[kind]++
    if (this.#found.problems.length < maxProblems) this.#found.problems.push({ kind, text })
  }

  /**
   * Both tables are in the order of ids, and attempts lie between requests: one pass over each. A day's sums are compared when its rows are
   * through: those of all days, of thousands of keys, would fill the memory. @param after the last day whose sums are not looked at
   */
  #checkRows(from: number, after: number): void {
    const days = new Set<number>()
    let today = 0
    let areReadable = true
    const compareDay = (day: number): void => {
      days.add(day)
      if (day > after && areReadable) areReadable = this.#canRead('daily sums', () => this.#checkRollup(day))
      this.#byAttempt.clear()
      this.#byRequest.clear()
    }
    const attempts = attemptsFrom(this.#db, from)
    let next = attempts.next()
    const strayUntil = (id: number): void => {
      while (!next.done && next.value.id < id) {
        this.#report(
          'stray',
          `attempt ${next.value.id % idsPerRequest} of ${printId(requestOf(next.value.id))} has no request`,
        )
        next = attempts.next()
      }
    }
    try {
      for (const request of requestsFrom(this.#db, from)) {
        strayUntil(request.id)
        const day = dayOf(request.id)
        if (day !== today && today !== 0) compareDay(today)
        today = day
        const own: AttemptSum[] = []
        while (!next.done && next.value.id < request.id + idsPerRequest) {
          own.push(next.value)
          next = attempts.next()
        }
        this.#checkRequest(request, own)
      }
      strayUntil(Number.MAX_SAFE_INTEGER)
      if (today !== 0) compareDay(today)
    } finally {
      // Left open, it would be in the way of whatever comes next on this connection.
      attempts.return(undefined)
    }
    if (!areReadable) return
    this.#canRead('daily sums', () => {
      const summed = this.#db.prepare('SELECT DISTINCT day FROM rollup WHERE day > ?').pluck().all(after) as number[]
      for (const day of summed) if (!days.has(day)) compareDay(day)
    })
  }

  #checkRequest(request: RequestSum, own: AttemptSum[]): void {
    this.#found.requests++
    this.#found.attempts += own.length
    const name = printId(request.id)
    const unknown = own.some((one) => one.cost === null)
    const expected = {
      attempts: own.length,
      tokens_in: own.reduce((sum, one) => sum + one.tokens_in, 0),
      tokens_out: own.reduce((sum, one) => sum + one.tokens_out, 0),
      cost: unknown ? null : own.reduce((sum, one) => sum + (one.cost ?? 0), 0),
      estimated: own.some((one) => one.estimated === 1) ? 1 : 0,
    }
    for (const [column, value] of Object.entries(expected)) {
      const stored = request[column as keyof typeof expected]
      if (stored !== value) this.#report('sum', `${name}: ${column} is ${stored}, its attempts make ${value}`)
    }
    own.forEach((one, place) => {
      if (one.id !== request.id + place + 1)
        this.#report('gap', `${name}: attempt ${place + 1} is missing before ${one.id - request.id}`)
    })
    const day = dayOf(request.id)
    const who = `${day},${request.route},${request.key},${request.team}`
    addTo(this.#byRequest, who, [1n, BigInt(request.failed)])
    for (const one of own) {
      const cost = BigInt(one.cost ?? 0)
      this.#found.cost += cost
      addTo(this.#byAttempt, `${who},${one.model},${one.provider}`, [
        1n,
        ...one.values.map(BigInt),
        cost,
        one.cost === null ? 1n : 0n,
        BigInt(one.estimated),
      ])
    }
  }

  #checkRollup(day: number): void {
    const keys = 'day, route, key, team, model, provider'
    const own = `attempts, ${tokenColumns.join(', ')}, cost, unpriced, estimated`
    const rows = this.#db.prepare(`SELECT ${keys}, ${own} FROM rollup WHERE day = ?`).raw().safeIntegers()
    for (const row of rows.iterate(day) as IterableIterator<bigint[]>)
      this.#compare(this.#byAttempt, row.slice(0, 6), row.slice(6))
    const requests = this.#db
      .prepare(
        'SELECT day, route, key, team, sum(requests), sum(failed) FROM rollup WHERE day = ? GROUP BY day, route, key, team',
      )
      .raw()
      .safeIntegers()
    for (const row of requests.iterate(day) as IterableIterator<bigint[]>)
      this.#compare(this.#byRequest, row.slice(0, 4), row.slice(4))
    for (const rest of [this.#byAttempt, this.#byRequest]) {
      for (const key of rest.keys()) this.#report('rollup', `no daily sum for day,route,key,team,… = ${key}`)
    }
  }

  #compare(made: Map<string, bigint[]>, key: bigint[], stored: bigint[]): void {
    const name = key.join(',')
    const sums = made.get(name) ?? stored.map(() => 0n)
    made.delete(name)
    if (stored.every((value, place) => value === sums[place])) return
    this.#report(
      'rollup',
      `daily sum of day,route,key,team,… = ${name} is ${stored.join(' ')}, its rows make ${sums.join(' ')}`,
    )
  }

  /** A decision of a rollout is recomputed from these rows: one that says nothing would be missing in it. */
  #checkRollouts(from: number): void {
    // Rows of an older program say all themselves.
    if (!this.#db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'rollout_case'").get()) return
    const strays = this.#db
      .prepare(
        `SELECT x.id, r.id AS request, x.case_id AS named FROM request_rollout x LEFT JOIN request r ON r.id = x.id
         LEFT JOIN rollout_case c ON c.id = x.case_id WHERE x.id >= ? AND (r.id IS NULL OR c.id IS NULL) ORDER BY x.id`,
      )
      .iterate(from) as IterableIterator<{ id: number; request: number | null; named: number }>
    for (const { id, request, named } of strays) {
      const what = request === null ? 'has no request' : `names case ${named}, which is not there`
      this.#report('stray', `the rollout's row of ${printId(id)} ${what}`)
    }
  }

  #checkOpen(): void {
    const started = (this.#db.prepare('SELECT max(started_at) FROM instance').pluck().get() as number | null) ?? 0
    const open = this.#db
      .prepare(
        'SELECT i.id, i.id / 4096 + 1735689600000 AS at FROM intent i WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.id = i.id)',
      )
      .iterate() as IterableIterator<{ id: number; at: number }>
    for (const { id, at } of open) {
      // Those of the newest run are in flight; if it is dead they are settled at the next start.
      if (at >= started) this.#found.open++
      else this.#report('open', `attempt ${id % idsPerRequest} of ${printId(requestOf(id))} was never settled`)
    }
  }
}

const tokenColumns = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'reasoning',
  'audio_in',
  'audio_out',
]

function requestsFrom(db: Sqlite, from: number): IterableIterator<RequestSum> {
  return db
    .prepare(
      `SELECT id, route, key, team, outcome <> coalesce((SELECT id FROM name WHERE text = 'ok'), -1) AS failed, attempts, tokens_in, tokens_out,
        cost, estimated FROM request WHERE id >= ? ORDER BY id`,
    )
    .iterate(from) as IterableIterator<RequestSum>
}

function* attemptsFrom(db: Sqlite, from: number): Generator<AttemptSum, undefined> {
  const rows = db
    .prepare(
      `SELECT id, model, provider, cost, estimated, ${tokenColumns.join(', ')} FROM attempt WHERE id >= ? ORDER BY id`,
    )
    .raw()
    .iterate(from) as IterableIterator<number[]>
  for (const [id, model, provider, cost, estimated, ...values] of rows) {
    const [input, read, write5m, write1h, output, reasoning, audioIn, audioOut] = values as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    yield {
      id: id as number,
      model: model as number,
      provider: provider as number,
      cost: cost as number | null,
      estimated: estimated as number,
      values,
      tokens_in: input + read + write5m + write1h + audioIn,
      tokens_out: output + reasoning + audioOut,
    }
  }
}

function addTo(sums: Map<string, bigint[]>, key: string, values: bigint[]): void {
  const known = sums.get(key)
  if (!known) sums.set(key, values)
  else
    values.forEach((value, place) => {
      known[place] = (known[place] as bigint) + value
    })
}
