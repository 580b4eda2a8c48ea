// Writes a group of ledger rows in one transaction: all of it, or nothing.
import type { Sqlite, Statement } from './driver.ts'
import { type JournalPlace, makePlaceWriter } from './journalPlace.ts'
import { dayOf } from './ledgerId.ts'
import type { AttemptRow, Intent, RequestRow, RolloutFacts, TraceRow } from './ledgerRow.ts'
import { makeNames } from './names.ts'
import { factsOf, makeCases, type WideFacts } from './rolloutCases.ts'
import { makeRollup, type RollupKey } from './rollup.ts'

export type Entry =
  | { kind: 'intent'; intent: Intent }
  | { kind: 'settle'; request: RequestRow; attempts: readonly AttemptRow[] }
  /** An attempt with an intent has ended, and is certain to have cost nothing. */
  | { kind: 'free'; attempt: number }
  | { kind: 'heartbeat'; at: number }

export interface BatchWriter {
  /**
   * Writes the entries in one transaction and returns the places of those that were there already (they changed nothing).
   * Throws what SQLite throws, after a rollback. `journal`: what of the journal is in the database with this transaction.
   */
  write(entries: readonly Entry[], journal?: JournalPlace): number[]
}

/** The ledger's writer on an open connection. @param instance the id of this run, whose heartbeat it sets */
export function makeBatchWriter(db: Sqlite, instance: string): BatchWriter {
  const begin: Statement = db.prepare('BEGIN IMMEDIATE')
  const commit: Statement = db.prepare('COMMIT')
  const rows = makeRowWriter(db)
  const writePlace = makePlaceWriter(db)
  // Those of a dead run come late, and must not set the clock of this one back.
  const heartbeat: Statement = db.prepare('UPDATE instance SET heartbeat_at = max(heartbeat_at, ?) WHERE id = ?')

  const free: Statement = db.prepare('UPDATE intent SET input = 0, output = 0, cost = 0 WHERE id = ?')

  function writeEntries(entries: readonly Entry[]): number[] {
    const doubles: number[] = []
    const ended = attemptsIn(entries)
    let intents = false
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry
      if (entry.kind === 'intent') {
        if (ended?.has(entry.intent.id)) {
          rows.passOver(entry.intent)
          continue
        }
        intents = true
        if (!rows.writeIntent(entry.intent)) doubles.push(i)
      } else if (entry.kind === 'settle') {
        if (!rows.writeSettled(entry.request, entry.attempts)) doubles.push(i)
      } else if (entry.kind === 'free') free.run(entry.attempt)
      else heartbeat.run(entry.at, instance)
    }
    rows.finish(intents)
    return doubles
  }

  return {
    write(entries, journal) {
      begin.run()
      try {
        const doubles = writeEntries(entries)
        if (journal) writePlace(journal)
        commit.run()
        rows.keep()
        return doubles
      } catch (error) {
        // SQLite has rolled back by itself after some errors, a full disk among them.
        if (db.inTransaction) db.exec('ROLLBACK')
        rows.forget()
        throw error
      }
    },
  }
}

/** The attempts that are settled with these entries, if there are intents among them, too. */
function attemptsIn(entries: readonly Entry[]): Set<number> | undefined {
  if (!entries.some(({ kind }) => kind === 'intent')) return undefined
  let found: Set<number> | undefined
  for (const entry of entries) {
    if (entry.kind !== 'settle') continue
    found ??= new Set()
    for (const { id } of entry.attempts) found.add(id)
  }
  return found
}

export interface RowWriter {
  /** False when the row was there already. */
  writeIntent(intent: Intent): boolean
  /** Writes no row for an intent whose attempt is settled in the same transaction: nobody could ever read it. */
  passOver(intent: Intent): void
  writeSettled(request: RequestRow, attempts: readonly AttemptRow[]): boolean
  /** Adds attempts to a request that is there already, and to its sums. */
  addAttempts(request: RequestRow, attempts: readonly AttemptRow[]): void
  /** The sums, and the deletion of settled intents where their page is written anyway. Last in the transaction. */
  finish(withIntents: boolean): void
  /** After the commit. */
  keep(): void
  /** After a rollback. */
  forget(): void
}

/** Settled intents that wait for deletion; beyond it they are deleted in a transaction without new intents too. */
const maxSettledIntents = 512

/** Writes single rows; the caller holds the transaction. */
export function makeRowWriter(db: Sqlite): RowWriter {
  const names = makeNames(db)
  const rollup = makeRollup(db)
  const { idOf } = names
  const insertIntent = prepareInsert(db, 'intent', 18)
  const insertRequest = prepareInsert(db, 'request', 23)
  const cases = makeCases(db, names)
  const insertRollout = prepareInsert(db, 'request_rollout (id, case_id, arrival_seq, epoch)', 4)
  const insertWideRollout = prepareInsert(db, 'request_rollout', 7)
  const insertAttempt = prepareInsert(db, 'attempt', 26)
  // Made blobs by SQLite: a Buffer for each takes longer than all else of the row.
  const insertTrace: Statement = db.prepare(
    'INSERT INTO trace VALUES (?, unhex(?), unhex(?), ?, ?, ?) ON CONFLICT DO NOTHING',
  )
  const deleteIntent: Statement = db.prepare('DELETE FROM intent WHERE id = ?')
  /** Attempts whose intents can go: written in this transaction, and in earlier ones. */
  const settledNow: number[] = []
  const settledBefore: number[] = []
  /** Of this transaction. */
  let passedOver: Set<number> | undefined
  let deleted = false

  function writeAttempt(row: AttemptRow): boolean {
    const { tokens } = row
    const { changes } = insertAttempt.run(
      row.id,
      idOf(row.target),
      idOf(row.provider),
      idOf(row.model),
      idOf(row.served),
      idOf(row.lane),
      idOf(row.reason),
      row.status ?? 0,
      idOf(row.fault),
      idOf(row.finish),
      toMicroseconds(row.startedMs),
      toMicroseconds(row.latencyMs),
      toMicroseconds(row.firstTokenMs),
      tokens.input,
      tokens.cacheRead,
      tokens.cacheWrite5m,
      tokens.cacheWrite1h,
      tokens.output,
      tokens.reasoning,
      tokens.audioIn,
      tokens.audioOut,
      row.estimated ? 1 : 0,
      idOf(row.priceSource),
      idOf(row.priceVersion),
      row.cost,
      row.losses?.length ? JSON.stringify(row.losses) : null,
    )
    if (!passedOver?.has(row.id)) settledNow.push(row.id)
    return changes > 0
  }

  function writeRollout(id: number, facts: RolloutFacts | WideFacts): void {
    // The journal of an earlier program.
    if (!('case' in facts)) return writeRollout(id, factsOf(facts))
    const { unit, arrivalSeq = null, epoch = null, shares, shadowOf } = facts
    const one = cases.idOf(facts.case)
    if (unit === undefined && shares === undefined && shadowOf === undefined)
      insertRollout.run(id, one, arrivalSeq, epoch)
    else
      insertWideRollout.run(
        id,
        one,
        arrivalSeq,
        epoch,
        unit ?? null,
        shares ? JSON.stringify(shares) : null,
        shadowOf ?? null,
      )
  }

  function writeTrace(id: number, { trace, parent, sampled, bodyMs, planMs }: TraceRow): void {
    insertTrace.run(id, trace, parent ?? null, sampled ? 1 : 0, toMicroseconds(bodyMs), toMicroseconds(planMs))
  }

  /** Returns the key of the last attempt's sum. */
  function writeAttempts(
    id: number,
    route: number,
    key: number,
    team: number,
    attempts: readonly AttemptRow[],
  ): RollupKey {
    const sum: RollupKey = { day: dayOf(id), route, key, team, model: 0, provider: 0 }
    for (const attempt of attempts) {
      sum.model = idOf(attempt.model)
      sum.provider = idOf(attempt.provider)
      if (writeAttempt(attempt)) rollup.addAttempt(sum, attempt)
    }
    return sum
  }

  return {
    writeIntent(intent) {
      const { estimate } = intent
      const { changes } = insertIntent.run(
        intent.id,
        idOf(intent.route),
        idOf(intent.key),
        idOf(intent.team),
        intent.user ?? null,
        idOf(intent.dialect),
        intent.stream ? 1 : 0,
        intent.config ?? 0,
        idOf(intent.target),
        idOf(intent.provider),
        idOf(intent.model),
        idOf(intent.lane),
        idOf(intent.reason),
        estimate?.inputTokens ?? 0,
        estimate?.outputTokens ?? 0,
        estimate?.cost ?? null,
        idOf(estimate?.priceSource),
        idOf(estimate?.priceVersion),
      )
      return changes > 0
    },
    passOver({ id }) {
      passedOver ??= new Set()
      passedOver.add(id)
    },
    writeSettled(request, attempts) {
      const total = sumAttempts(attempts)
      const { cache } = request
      const route = idOf(request.route)
      const key = idOf(request.key)
      const team = idOf(request.team)
      const { changes } = insertRequest.run(
        request.id,
        route,
        key,
        team,
        request.user ?? null,
        request.tags ? JSON.stringify(request.tags) : null,
        idOf(request.dialect),
        request.stream ? 1 : 0,
        request.config ?? 0,
        request.status,
        idOf(request.outcome),
        idOf(request.error),
        toMicroseconds(request.latencyMs),
        toMicroseconds(request.firstTokenMs),
        toMicroseconds(request.overheadMs),
        attempts.length,
        total.tokensIn,
        total.tokensOut,
        total.cost,
        total.estimated ? 1 : 0,
        cache ? idOf(cache.status) : null,
        cache?.age ?? null,
        cache?.saved ?? null,
      )
      if (changes === 0) return false
      if (request.rollout) writeRollout(request.id, request.rollout)
      if (request.trace) writeTrace(request.id, request.trace)
      rollup.addRequest(writeAttempts(request.id, route, key, team, attempts), request.outcome !== 'ok')
      return true
    },
    addAttempts(request, attempts) {
      const total = sumAttempts(attempts)
      db.prepare(
        `UPDATE request SET attempts = attempts + ?, tokens_in = tokens_in + ?, tokens_out = tokens_out + ?, cost = cost + ?,
          estimated = max(estimated, ?) WHERE id = ?`,
      ).run(attempts.length, total.tokensIn, total.tokensOut, total.cost, total.estimated ? 1 : 0, request.id)
      writeAttempts(request.id, idOf(request.route), idOf(request.key), idOf(request.team), attempts)
    },
    finish(withIntents) {
      rollup.write()
      if (!withIntents && settledBefore.length < maxSettledIntents) return
      for (const id of settledBefore) deleteIntent.run(id)
      deleted = true
    },
    keep() {
      names.keep()
      cases.keep()
      if (deleted) settledBefore.length = 0
      deleted = false
      for (const id of settledNow) settledBefore.push(id)
      settledNow.length = 0
      passedOver = undefined
    },
    forget() {
      names.forget()
      cases.forget()
      rollup.clear()
      deleted = false
      settledNow.length = 0
      passedOver = undefined
    },
  }
}

function prepareInsert(db: Sqlite, table: string, columns: number): Statement {
  return db.prepare(`INSERT INTO ${table} VALUES (${Array(columns).fill('?').join(', ')}) ON CONFLICT DO NOTHING`)
}

/** Sums of a request: the cost is unknown when that of any attempt is. */
function sumAttempts(attempts: readonly AttemptRow[]): {
  tokensIn: number
  tokensOut: number
  cost: number | null
  estimated: boolean
} {
  let tokensIn = 0
  let tokensOut = 0
  let cost: number | null = 0
  let estimated = false
  for (const { tokens, cost: part, estimated: guessed } of attempts) {
    tokensIn += tokens.input + tokens.cacheRead + tokens.cacheWrite5m + tokens.cacheWrite1h + tokens.audioIn
    tokensOut += tokens.output + tokens.reasoning + tokens.audioOut
    cost = cost === null || part === null ? null : cost + part
    estimated ||= guessed
  }
  return { tokensIn, tokensOut, cost, estimated }
}

function toMicroseconds(ms: number | undefined): number | null {
  return ms === undefined || !Number.isFinite(ms) ? null : Math.max(0, Math.round(ms * 1000))
}
