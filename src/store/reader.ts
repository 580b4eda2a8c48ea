// Reads the ledger without touching the event loop: questions go to threads with a read-only connection.
import { setTimeout as pause } from 'node:timers/promises'
import { startThread } from '../thread.ts'
import type { AlertSpend, AlertSpendAsk } from './alertSpend.ts'
import type { BackupResult } from './backup.ts'
import type { BudgetSpend, BudgetSpendAsk } from './budgetSpend.ts'
import type { ExportAsk } from './export.ts'
import { makeRemote, type Remote } from './remote.ts'
import type { PageAsk, RequestPage, StoredAttempt, StoredRequest } from './requestRead.ts'
import type { RolloutPageAsk } from './rolloutRequests.ts'
import { nameOfFile } from './sameFile.ts'
import type { SpendAsk, SpendReport } from './spend.ts'
import type { TraceAsk, TracedRequest } from './traceRead.ts'
import type { Verification } from './verify.ts'

export type ReaderAsk = {
  id: number
  /** Of somebody who may leave before it is begun: not 0 once they have. */
  gone?: Int32Array
} & (
  | { verb: 'spend'; ask: SpendAsk }
  | { verb: 'budgetSpend'; ask: BudgetSpendAsk }
  | { verb: 'page'; ask: PageAsk }
  | { verb: 'rolloutPage'; ask: RolloutPageAsk }
  | { verb: 'request'; request: number }
  | { verb: 'settled'; since: number; window: number; limit: number }
  | { verb: 'export'; ask: ExportAsk }
  | { verb: 'alertSpend'; ask: AlertSpendAsk }
  | { verb: 'firstRecord' }
  | { verb: 'traces'; ask: TraceAsk }
  | { verb: 'trace'; ask: { trace?: string; request?: number } }
  | { verb: 'verify' }
  | { verb: 'backup'; to: string }
  | { verb: 'close' }
)

export interface ReaderAnswer {
  id: number
  value?: unknown
  error?: string
}

export interface Reader {
  /** The same reader: what is asked of it and not begun when `gone` comes is not begun any more, and rejects. */
  until(gone: AbortSignal): Reader
  spend(ask: SpendAsk): Promise<SpendReport>
  /** What budgets count, oldest first. */
  budgetSpend(ask: BudgetSpendAsk): Promise<BudgetSpend[]>
  /** Newest first. */
  requests(ask?: PageAsk): Promise<RequestPage>
  /** Those of one rollout, newest first. */
  rolloutRequests(ask: RolloutPageAsk): Promise<RequestPage>
  request(id: number): Promise<{ request: StoredRequest; attempts: StoredAttempt[] } | undefined>
  /** Requests whose trace was kept, newest first. */
  traces(ask: TraceAsk): Promise<{ rows: TracedRequest[]; next: number | undefined }>
  /** The requests of one trace, oldest first. */
  trace(ask: { trace?: string | undefined; request?: number | undefined }): Promise<TracedRequest[]>
  /** The last `limit` requests, by their end, and then each one as it is settled, until `signal`. */
  tail(options: { limit?: number; signal?: AbortSignal; every?: number }): AsyncGenerator<StoredRequest>
  /** Text in pieces; the next one is read when it is asked for. */
  export(ask: ExportAsk): AsyncGenerator<string>
  /** What was spent step by step, for alerts. */
  alertSpend(ask: AlertSpendAsk): Promise<AlertSpend[]>
  /** When the first request arrived that is on record, Unix milliseconds. */
  firstRecord(): Promise<number | undefined>
  verify(): Promise<Verification>
  /** Copies the database while it is in use to a file that must not exist. */
  backup(to: string): Promise<BackupResult>
  close(): Promise<void>
}

type Ask = (question: Record<string, unknown>) => Promise<unknown>

/** Rows of one turn may be committed a little after they ended: they are looked for again and told apart by their id. */
const overlap = 5000
/** How long a request may run and still be seen by `tail` when it ends, in milliseconds. */
const longest = 600_000

/**
 * Opens a reader on a database file; its threads start with their first question. The file must exist. `before` is asked before each question:
 * who writes the ledger in this process brings in what waits, and says whether all is there. Where it is not, the newest rows are missing in
 * what is read: shown as it is, but no budget begins with less than was spent.
 */
export function openReader(file: string, before: () => true | Promise<boolean> = () => true): Reader {
  const name = nameOfFile(file)
  /** Requests wait for what budgets ask: that does not stand behind a report that takes a minute, but has a thread of its own. */
  const remotes = new Map<'budgets' | 'reports', Remote>()
  let closings = 0
  const send = (question: Record<string, unknown>): Promise<unknown> => {
    const use = question.verb === 'budgetSpend' ? 'budgets' : 'reports'
    let remote = remotes.get(use)
    if (!remote || remote.ended) {
      remote = makeRemote(startThread('store/readerWorker', { workerData: { file, name } }))
      remotes.set(use, remote)
    }
    return remote.ask(question)
  }
  const ask: Ask = (question) => {
    const ready = before()
    if (ready === true) return send(question)
    const asked = closings
    return ready.then((isAllIn) => {
      if (closings !== asked) throw new Error('the reader is closed')
      if (!isAllIn && question.verb === 'budgetSpend')
        throw new Error('the last rows of the ledger cannot be written yet')
      return send(question)
    })
  }

  const readerOf = (ask: Ask): Reader => ({
    until: (gone) => readerOf((question) => ask({ ...question, gone: flagOf(gone) })),
    spend: (question) => ask({ verb: 'spend', ask: question }) as Promise<SpendReport>,
    budgetSpend: (question) => ask({ verb: 'budgetSpend', ask: question }) as Promise<BudgetSpend[]>,
    requests: (question = {}) => ask({ verb: 'page', ask: question }) as Promise<RequestPage>,
    rolloutRequests: (question) => ask({ verb: 'rolloutPage', ask: question }) as Promise<RequestPage>,
    request: (request) =>
      ask({ verb: 'request', request }) as Promise<{ request: StoredRequest; attempts: StoredAttempt[] } | undefined>,
    traces: (question) =>
      ask({ verb: 'traces', ask: question }) as Promise<{ rows: TracedRequest[]; next: number | undefined }>,
    trace: (question) => ask({ verb: 'trace', ask: question }) as Promise<TracedRequest[]>,
    tail: (options) => tail(ask, options),
    async *export(question) {
      for (let after = question.after; ; ) {
        const { text, next } = (await ask({ verb: 'export', ask: { ...question, after } })) as {
          text: string
          next: number | undefined
        }
        if (text !== '') yield text
        if (next === undefined) return
        after = next
      }
    },
    alertSpend: (question) => ask({ verb: 'alertSpend', ask: question }) as Promise<AlertSpend[]>,
    firstRecord: () => ask({ verb: 'firstRecord' }) as Promise<number | undefined>,
    verify: () => ask({ verb: 'verify' }) as Promise<Verification>,
    backup: (to) => ask({ verb: 'backup', to }) as Promise<BackupResult>,
    async close() {
      closings++
      const open = [...remotes.values()]
      remotes.clear()
      await Promise.all(open.map((remote) => remote.close()))
    },
  })
  return readerOf(ask)
}

async function* tail(
  ask: Ask,
  options: { limit?: number; signal?: AbortSignal; every?: number },
): AsyncGenerator<StoredRequest> {
  const look = (from: number): Promise<StoredRequest[]> =>
    ask({ verb: 'settled', since: from, window: longest, limit: 5000 }) as Promise<StoredRequest[]>
  let since = Date.now() - overlap
  // What ended before is not news, shown or not.
  const seen = new Map((await look(since)).map((row) => [row.id, endOf(row)]))
  const { rows } = (await ask({ verb: 'page', ask: { limit: options.limit ?? 10 } })) as { rows: StoredRequest[] }
  for (const row of rows) seen.set(row.id, endOf(row))
  yield* rows.toSorted((a, b) => endOf(a) - endOf(b))
  while (!options.signal?.aborted) {
    const start = performance.now()
    const settled = await look(since)
    // Under heavy traffic the window holds many rows: looking is at most a tenth of the time.
    const rest = 10 * (performance.now() - start)
    for (const row of settled) {
      if (!seen.has(row.id)) yield row
      seen.set(row.id, endOf(row))
    }
    since = Math.max(since, endOf(settled.at(-1)) - overlap)
    for (const [id, end] of seen) if (end < since) seen.delete(id)
    await pause(
      Math.max(options.every ?? 500, rest),
      undefined,
      options.signal ? { signal: options.signal } : {},
    ).catch(() => {})
  }
}

/** Shared with the thread: a message would be read after the question that it is about. */
function flagOf(signal: AbortSignal): Int32Array {
  const flag = new Int32Array(new SharedArrayBuffer(4))
  const raise = (): void => void Atomics.store(flag, 0, 1)
  if (signal.aborted) raise()
  else signal.addEventListener('abort', raise, { once: true })
  return flag
}

/** When a request ended, Unix milliseconds. */
function endOf(row: StoredRequest | undefined): number {
  return row ? row.at + (row.latency_us ?? 0) / 1000 : 0
}
