// The ledger's writer: takes intents and settled requests, and makes them durable together, once per turn of the event loop.
import { type Backlog, makeBacklog } from './backlog.ts'
import { type BatchWriter, type Entry, makeBatchWriter } from './batch.ts'
import { makeDiskSync } from './diskSync.ts'
import { classifyFailure, isRowFault } from './failure.ts'
import { journalFile } from './journal.ts'
import { takeUpJournal } from './journalReplay.ts'
import { type Keeper, makeKeeper } from './keeper.ts'
import { keepRows } from './keptRows.ts'
import { makeIdSource, timeOf } from './ledgerId.ts'
import { type AttemptRow, checkIntent, checkRows, type Intent, LedgerError, type RequestRow } from './ledgerRow.ts'
import { type LedgerStats, makeStats } from './ledgerStats.ts'
import type { Store } from './open.ts'
import { lastId, settleOrphans } from './orphans.ts'
import { waitUntil } from './patience.ts'
import { makeRescue } from './rescue.ts'

/**
 * `process`: a row survives the death of the process (`kill -9`) when its promise resolves. It is in SQLite or, where rows come one by one and
 * fast, in the journal, which SQLite follows within 20 ms and which the next start brings in.
 * `power`: it is on the disk, and survives a power cut too. `relaxed`: promises resolve at once; a death loses up to 50 ms.
 */
export type LedgerMode = 'process' | 'power' | 'relaxed'

export interface LedgerOptions {
  mode?: LedgerMode | undefined
  /** What the caller does when `intend` or `settle` rejects. Kept here for it; the ledger itself always rejects. */
  onLedgerFailure?: 'refuse' | 'serve' | undefined
  /** Milliseconds that a row waits for a locked database before its promise rejects. A database locked for as long is not waited for. */
  lockTimeout?: number | undefined
  /** Transactions of a few rows that may be made before the journal takes such rows: 512 unless given, for tests. */
  smallCommits?: number | undefined
  /** Told of every failure, at most once a second per kind, with the number since the last time. */
  onTrouble?: ((error: LedgerError, count: number) => void) | undefined
  /** Told of every commit: milliseconds from the arrival of its oldest row until it was durable. */
  onCommit?: ((ms: number) => void) | undefined
  now?: (() => number) | undefined
  /** Puts a commit off to the end of the turn of the event loop; default: `setImmediate`. */
  soon?: ((commit: () => void) => void) | undefined
}

export interface Ledger {
  readonly mode: LedgerMode
  readonly onLedgerFailure: 'refuse' | 'serve'
  /** Why `intend` rejects at the moment; undefined while it does not. Tried again by itself, every few seconds at least. */
  readonly trouble: LedgerError | undefined
  /** A new request id; also the time of its arrival. Attempts: `attemptId(id, n)`. */
  nextRequestId(): number
  /** Resolves when the intent is durable as the mode says. Rejects with `LedgerError`: then nothing was written. */
  intend(intent: Intent): Promise<void>
  /**
   * An attempt of this intent is certain to have cost nothing: if the process dies before the request is settled, nothing is booked for it.
   * Written before every row that is handed over later.
   */
  free(attempt: number): void
  /**
   * Resolves when the request and all its attempts are durable. Call once per request, with every attempt that had an intent.
   * Rejects with `LedgerError`; with `kept` the rows are held in memory and written as soon as it works again.
   */
  settle(request: RequestRow, attempts: readonly AttemptRow[]): Promise<void>
  /** Resolves when everything handed over so far is in SQLite or was refused; or when SQLite takes nothing: then the journal has it. */
  flush(): Promise<void>
  /**
   * Sees to it that a reader of the database finds the row of every reply that went out. True at once as a rule; where the database is locked
   * at the moment it is waited for, and false says that not all is there: for 2 seconds, or that SQLite takes nothing.
   */
  bringIn(): true | Promise<boolean>
  /** Resolves when what was handed over before is in the database; false when some of it is not, and may be written later. */
  written(): Promise<boolean>
  /** Flushes, also the rows kept after failures as far as possible, and takes no more. */
  close(): Promise<void>
  readonly stats: LedgerStats
  /** Checkpoints, retention and erasure, in a thread of their own. Closed with the ledger. */
  readonly keeper: Keeper
}

/** Rows that wait for a commit; more than a hundred thousand means that the database has stood still for long. */
const maxPending = 100_000
/** Entries in one transaction: about 2 ms of work. */
const maxBatch = 256
/** From so many entries on, a transaction of their own is as cheap as the journal and a share of a later one: 25 µs against 1.5 µs an entry. */
const worthCommit = 16
/** Transactions of fewer entries: these many at once, and so many a second (a few percent of the thread). */
const smallCommits = 512
const smallCommitsPerSecond = 200
const relaxedDelay = 50
const heartbeatEvery = 5000
/** How the write-ahead log grows, in pages of 4 KB, and at how many it is moved into the file: 32 MB. */
const pagesOfCommit = 6
const pagesOfEntry = 0.07
const pagesPerCheckpoint = 8192

interface Waiting {
  entry: Entry
  since: number
  resolve(): void
  reject(error: LedgerError): void
}

/** Opens the ledger on an open store; settles what a dead run left behind. The store must stay open until after `close()`. */
export function openLedger(store: Store, options: LedgerOptions = {}): Ledger {
  const mode = options.mode ?? 'process'
  const now = options.now ?? Date.now
  const lockTimeout = options.lockTimeout ?? 5000
  const soon = options.soon ?? setImmediate
  const stats = makeStats(options.onTrouble, { waiting: () => waiting.length, behind: () => backlog?.size ?? 0 })
  const writer: BatchWriter = makeBatchWriter(store.db, store.instance)
  const journal = takeUpJournal(store, writer, stats, mode === 'process')
  stats.orphans = settleOrphans(store.db)
  const ids = makeIdSource(lastId(store.db, now()), now)
  const keeper = makeKeeper(store.file)
  const backlog: Backlog | undefined =
    journal && makeBacklog(journal, writer, stats, { lockTimeout, committed: written })
  const takesSmall = makeAllowance(options.smallCommits ?? smallCommits, smallCommitsPerSecond)
  const disk = mode === 'power' ? makeDiskSync(store.file) : undefined
  const rescue = makeRescue(store.db, store.file, now, (error) => stats.fail(error), undefined, store.keepLock)

  let waiting: Waiting[] = []
  let isDue = false
  let timer: NodeJS.Timeout | undefined
  let busySince = 0
  /** Since when no commit got through for a lock: rows do not wait one after the other for what has long been known. */
  let lockedSince = 0
  /** Pages of the write-ahead log since the last checkpoint, about. */
  let logGrown = 0
  /** The failure of the last transaction, where that says that the next ones fail too. */
  let failing: LedgerError | undefined
  let closed = false

  const pulse = setInterval(() => beat(), heartbeatEvery)
  pulse.unref()
  const kept = keepRows(writer, stats, maxBatch, () => {
    lockedSince = 0
    failing = undefined
  })

  function beat(): void {
    if (!closed) void rescue.look().then(lookForJournal)
    if (rescue.trouble) return
    // Never behind the ids: when the clock goes back before the next start, ids must go on from here.
    if (waiting.length < maxPending)
      push({ kind: 'heartbeat', at: Math.max(now(), timeOf(ids.last) + 1) }, ignore, ignore)
    if (logGrown > 0 && !closed) checkpointDue()
  }

  function lookForJournal(): void {
    // With the database it was moved aside, and comes back.
    if (closed || rescue.trouble) return
    try {
      if (!backlog?.renew()) return
      rescue.followJournal()
      const file = journalFile(store.file)
      stats.fail(
        new LedgerError('io', `The journal ${file} was removed or replaced while it is in use: it is begun anew.`),
      )
    } catch (error) {
      stats.fail(classifyFailure(error))
    }
  }

  function push(entry: Entry, resolve: () => void, reject: (error: LedgerError) => void): void {
    waiting.push({ entry, since: performance.now(), resolve, reject })
    // While the database is locked the retry timer runs; another turn would only find it locked again.
    if (busySince > 0 || isDue) return
    if (mode === 'relaxed' && waiting.length < maxBatch) timer ??= setTimeout(commitWaiting, relaxedDelay)
    else commitSoon()
  }

  function commitSoon(): void {
    isDue = true
    soon(commitWaiting)
  }

  function commitWaiting(): void {
    isDue = false
    clearTimeout(timer)
    timer = undefined
    const batch = waiting.length > maxBatch ? waiting.splice(0, maxBatch) : waiting
    if (batch === waiting) waiting = []
    if (batch.length === 0) {
      // All that waited for the lock was given up: the next entry starts a turn of its own.
      busySince = 0
      return
    }
    if (backlog && !commitsAtOnce(backlog, batch.length)) setDown(backlog, batch)
    else commit(batch)
    if (waiting.length > 0 && !isDue && !timer) commitSoon()
  }

  function commitsAtOnce({ open, size }: Backlog, entries: number): boolean {
    // What a long lock has left behind is brought in by shares.
    if (!open || size > maxBatch) return false
    return entries >= worthCommit || size + entries >= maxBatch || (size === 0 && takesSmall())
  }

  function commit(batch: Waiting[]): void {
    try {
      const entries = batch.map(entryOf)
      const doubles = backlog ? backlog.write(entries) : writer.write(entries)
      if (!backlog) written(entries.length)
      busySince = 0
      committed(batch, doubles)
    } catch (error) {
      // A lock passes, and the journal has no need to wait for it.
      if (backlog && (backlog.size > 0 || classifyFailure(error).code === 'locked')) setDown(backlog, batch)
      else failed(batch, error)
    }
  }

  /** Into the journal. While SQLite takes nothing, only what belongs to calls that were made. */
  function setDown(to: Backlog, batch: Waiting[]): void {
    const { trouble } = to
    const taken = trouble ? batch.filter(({ entry }) => entry.kind !== 'intent') : batch
    if (trouble)
      rejectAll(
        batch.filter(({ entry }) => entry.kind === 'intent'),
        trouble,
        false,
      )
    if (taken.length === 0) return
    try {
      to.add(taken.map(entryOf))
    } catch (error) {
      return failed(taken, error)
    }
    durable(taken)
    resolveAll(taken)
  }

  function durable(batch: readonly Waiting[]): void {
    options.onCommit?.(performance.now() - (batch[0] as Waiting).since)
  }

  /** After each transaction. */
  function written(entries: number): void {
    // In the mode `power` a commit is no success before it is on the disk.
    if (!disk) failing = undefined
    stats.commits++
    stats.entries += entries
    logGrown += pagesOfCommit + entries * pagesOfEntry
    if (logGrown >= pagesPerCheckpoint) checkpointDue()
  }

  function committed(batch: Waiting[], doubles: number[]): void {
    lockedSince = 0
    if (doubles.length > 0) {
      for (const place of doubles)
        refuse(batch[place] as Waiting, new LedgerError('duplicate', 'This row is in the ledger already.'))
      batch = batch.filter((_, place) => !doubles.includes(place))
    }
    if (disk)
      disk.sync().then(
        () => {
          failing = undefined
          durable(batch)
          resolveAll(batch)
        },
        (error) => rejectAll(batch, classifyFailure(error), false),
      )
    else {
      durable(batch)
      resolveAll(batch)
    }
  }

  function failed(batch: Waiting[], error: unknown): void {
    const failure = classifyFailure(error)
    if (failure.code === 'locked') {
      stats.busy++
      const time = performance.now()
      busySince ||= time
      lockedSince ||= time
      const patience = time - lockedSince < lockTimeout ? lockTimeout : 0
      // Entries are in the order of their arrival: those that waited too long come first.
      const late = batch.findIndex((one) => time - one.since < patience)
      rejectAll(late < 0 ? batch : batch.slice(0, late), failure, true)
      waiting = late < 0 ? waiting : [...batch.slice(late), ...waiting]
      timer = setTimeout(commitWaiting, time - busySince < 50 ? 1 : 10)
      return
    }
    busySince = 0
    if (isRowFault(failure) && batch.length > 1) {
      // One row that SQLite does not accept must not take its neighbours down.
      for (const one of batch) writeAlone(one)
      return
    }
    rejectAll(batch, failure, failure.code !== 'invalid')
  }

  function writeAlone(one: Waiting): void {
    try {
      const doubles = writer.write([one.entry])
      written(1)
      committed([one], doubles)
    } catch (error) {
      const failure = classifyFailure(error)
      rejectAll([one], failure, failure.code !== 'invalid')
    }
  }

  /** `keep`: settled rows are not lost but written later. */
  function rejectAll(batch: readonly Waiting[], failure: LedgerError, keep: boolean): void {
    if (batch.length > 0 && !isRowFault(failure)) failing = failure
    for (const one of batch) {
      const keeps = keep && one.entry.kind === 'settle'
      if (keeps) kept.add(one.entry)
      refuse(one, keeps ? new LedgerError(failure.code, failure.message, true, failure) : failure)
    }
  }

  function refuse(one: Waiting, failure: LedgerError): void {
    stats.fail(failure)
    one.reject(failure)
  }

  function checkpointDue(): void {
    logGrown = 0
    // The keeper opens the file by its name: the log must not be moved into another one.
    rescue
      .look()
      .then(() => (rescue.trouble || closed ? undefined : keeper.checkpoint()))
      .then(ignore, (error) => stats.fail(classifyFailure(error)))
  }

  function enqueue(entry: Entry): Promise<void> {
    try {
      checkEntry(entry)
    } catch (error) {
      return Promise.reject(error)
    }
    if (closed) return Promise.reject(new LedgerError('closed', 'The ledger is closed.'))
    // Calls that are under way are settled all the same: what is saved has them.
    if (entry.kind === 'intent' && rescue.trouble) {
      stats.fail(rescue.trouble)
      return Promise.reject(rescue.trouble)
    }
    if (waiting.length + (backlog?.size ?? 0) >= maxPending) {
      const failure = new LedgerError('overloaded', `The ledger has ${maxPending} rows waiting and takes no more.`)
      stats.fail(failure)
      return Promise.reject(failure)
    }
    if (mode === 'relaxed') {
      push(entry, ignore, ignore)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => push(entry, resolve, reject))
  }

  function bringIn(): true | Promise<boolean> {
    const isHopeless = (): boolean => kept.isStuck || closed || backlog?.trouble !== undefined
    return closed || bringsIn() || waitUntil(bringsIn, isHopeless)
  }

  function bringsIn(): boolean {
    if (mode === 'relaxed') while (waiting.length > 0 && busySince === 0) commitWaiting()
    while (kept.write());
    backlog?.bringIn()
    return kept.size === 0 && (backlog?.size ?? 0) === 0 && (mode !== 'relaxed' || waiting.length === 0)
  }

  async function flush(): Promise<void> {
    while (waiting.length > 0) {
      if (mode === 'relaxed' && !isDue && busySince === 0) commitWaiting()
      else await new Promise((resolve) => setTimeout(resolve, 1))
    }
    for (backlog?.bringIn(); backlog && backlog.size > 0 && !backlog.trouble; backlog.bringIn())
      await new Promise((resolve) => setTimeout(resolve, 1))
    await disk?.sync()
  }

  return {
    mode,
    onLedgerFailure: options.onLedgerFailure ?? 'refuse',
    get trouble() {
      return rescue.trouble ?? backlog?.trouble ?? (mode === 'relaxed' ? undefined : failing)
    },
    nextRequestId: ids.next,
    stats,
    keeper: {
      ...keeper,
      async erase(user) {
        await bringIn()
        await backlog?.wipe()
        if (kept.size > 0) throw new LedgerError('io', 'Some rows cannot be written yet, of that user maybe.')
        return keeper.erase(user)
      },
    },
    intend: (intent) => enqueue({ kind: 'intent', intent }),
    free(attempt) {
      if (!closed && waiting.length < maxPending) push({ kind: 'free', attempt }, ignore, ignore)
    },
    settle: (request, attempts) => enqueue({ kind: 'settle', request, attempts }),
    written: () =>
      new Promise((resolve) => {
        if (closed) return resolve(false)
        const at = Math.max(now(), timeOf(ids.last) + 1)
        const isAllIn = (): boolean => {
          backlog?.bringIn()
          return kept.size === 0 && (backlog?.size ?? 0) === 0
        }
        push(
          { kind: 'heartbeat', at },
          () => resolve(isAllIn()),
          () => resolve(false),
        )
      }),
    flush,
    bringIn,
    async close() {
      if (closed) return
      closed = true
      clearInterval(pulse)
      beat()
      await flush()
      await backlog?.close()
      kept.close()
      await rescue.close()
      disk?.close()
      await keeper.close()
    },
  }
}

function checkEntry(entry: Entry): void {
  if (entry.kind === 'intent') checkIntent(entry.intent)
  else if (entry.kind === 'settle') checkRows(entry.request, entry.attempts)
}

/** Allows `most` at once, and `perSecond` in the long run: a token bucket. */
function makeAllowance(most: number, perSecond: number): () => boolean {
  let left = most
  let at = performance.now()
  return () => {
    const time = performance.now()
    left = Math.min(most, left + ((time - at) / 1000) * perSecond)
    at = time
    if (left < 1) return false
    left--
    return true
  }
}

const entryOf = (one: Waiting): Entry => one.entry
const ignore = (): void => {}

function resolveAll(batch: readonly Waiting[]): void {
  for (const one of batch) one.resolve()
}
