// Rows that the journal holds and SQLite does not yet: keeps them in order, and brings them in together a moment later.
import type { BatchWriter, Entry } from './batch.ts'
import { classifyFailure, isRowFault } from './failure.ts'
import type { Journal } from './journal.ts'
import type { JournalPlace } from './journalPlace.ts'
import { LedgerError } from './ledgerRow.ts'
import type { LedgerStats } from './ledgerStats.ts'

export interface Backlog {
  /** Entries that wait for SQLite. */
  readonly size: number
  /** Why SQLite does not take them: for longer than the patience with a lock, or at all. Undefined while all is well. */
  readonly trouble: LedgerError | undefined
  /** Whether `write` is worth a try: false for a moment after SQLite refused. */
  readonly open: boolean
  /** Entries safe from the death of the process with its return, and in SQLite soon. Throws what `fs` throws: then none of them is kept. */
  add(entries: readonly Entry[]): void
  /**
   * Writes what waits, and `more` behind it, in one transaction. Returns the places in `more` that were there already.
   * Throws what SQLite throws: then all that waited still does.
   */
  write(more: readonly Entry[]): number[]
  /** Tries once to bring in what waits. */
  bringIn(): void
  /** Brings in what waits, and leaves none of it in the journal's file. Rejects with why SQLite does not take it. */
  wipe(): Promise<void>
  /** Where the journal's file was taken away: begins it anew with what waits. False where it is there. Throws what `fs` throws. */
  renew(): boolean
  /** Tries until all is in or `trouble` says why not; what could not be brought in stays in the file for the next start. */
  close(): Promise<void>
}

/** What shares a transaction waits so long for it, in milliseconds. */
const bringInAfter = 20
/** Entries in one transaction: about 2 ms of work, however many a long lock has left behind. */
const maxShare = 256
/** Pauses between tries, in milliseconds: for a lock, and for anything else. */
const lockRetry = 10
const otherRetry = 250
/** Bytes from which the file begins anew. */
const restartFrom = 4 * 1024 * 1024

const twice = new LedgerError('duplicate', 'This row is in the ledger already.')

export function makeBacklog(
  journal: Journal,
  writer: BatchWriter,
  stats: LedgerStats,
  options: { lockTimeout: number; committed: (entries: number) => void },
): Backlog {
  let waiting: Entry[] = []
  /** The journal's records of what waits: how many entries of each, and the place behind it. */
  let records: { entries: number; place: JournalPlace }[] = []
  let timer: NodeJS.Timeout | undefined
  let lockedSince = 0
  let triedAt = 0
  let trouble: LedgerError | undefined
  let closed = false

  function wake(ms: number): void {
    if (!closed) timer ??= setTimeout(bringInShare, ms)
  }

  function write(more: readonly Entry[]): number[] {
    const count = waiting.length
    const doubles = count === 0 ? writer.write(more) : writer.write([...waiting, ...more], journal.place)
    if (count > 0) taken(count)
    options.committed(count + more.length)
    blameDoubles(doubles.filter((place) => place < count))
    return doubles.filter((place) => place >= count).map((place) => place - count)
  }

  /** They were told that they are kept: all that can be done about a double is to say so. */
  function blameDoubles(doubles: readonly number[]): void {
    for (const _ of doubles) stats.fail(twice)
  }

  /** The first entries are in the database, or given up; it takes rows. */
  function taken(entries: number): void {
    forget(entries)
    clearTimeout(timer)
    timer = undefined
    lockedSince = 0
    triedAt = 0
    trouble = undefined
    if (waiting.length > 0) wake(0)
    else if (journal.place.offset >= restartFrom) restart()
  }

  function forget(entries: number): void {
    waiting = waiting.slice(entries)
    let rest = entries
    let whole = 0
    for (; whole < records.length && records[whole]!.entries <= rest; whole++) rest -= records[whole]!.entries
    records = records.slice(whole)
    if (rest > 0) records[0]!.entries -= rest
  }

  function restart(): void {
    try {
      journal.restart()
    } catch (error) {
      // It goes on where it is: the place in the database says what of it is done.
      stats.fail(classifyFailure(error))
    }
  }

  /** One transaction of whole records. False when nothing waits or it was refused. */
  function bringInShare(): boolean {
    clearTimeout(timer)
    timer = undefined
    if (closed || waiting.length === 0) return false
    let [{ entries: count, place }] = records as [(typeof records)[number]]
    for (const next of records.slice(1, maxShare)) {
      if (count + next.entries > maxShare) break
      count += next.entries
      place = next.place
    }
    const share = waiting.slice(0, count)
    let doubles: number[]
    try {
      doubles = writer.write(share, place)
    } catch (error) {
      const failure = classifyFailure(error)
      return isRowFault(failure) ? writeEach(share, place) : refused(failure)
    }
    taken(count)
    options.committed(count)
    blameDoubles(doubles)
    return true
  }

  function bringIn(): void {
    while (bringInShare());
  }

  function refused(failure: LedgerError): false {
    const time = performance.now()
    triedAt = time
    if (failure.code === 'locked') {
      stats.busy++
      lockedSince ||= time
      if (time - lockedSince >= options.lockTimeout) blame(failure)
    } else blame(failure)
    wake(failure.code === 'locked' ? lockRetry : otherRetry)
    return false
  }

  function blame(failure: LedgerError): void {
    // Said once: what is refused because of it is counted by whoever refuses.
    if (!trouble) stats.fail(failure)
    trouble = failure
  }

  /** One row that SQLite does not accept must not hold up the others for ever. */
  function writeEach(share: readonly Entry[], place: JournalPlace): boolean {
    for (const [done, entry] of share.entries()) {
      try {
        writer.write([entry])
      } catch (error) {
        const failure = classifyFailure(error)
        if (!isRowFault(failure)) {
          forget(done)
          return refused(failure)
        }
        stats.lost++
        stats.fail(failure)
      }
    }
    try {
      writer.write([], place)
    } catch {
      // The next transaction says it; a start before that finds the rows there already.
    }
    taken(share.length)
    options.committed(share.length)
    return true
  }

  return {
    get size() {
      return waiting.length
    },
    get trouble() {
      return trouble
    },
    get open() {
      return triedAt === 0 || performance.now() - triedAt >= lockRetry
    },
    add(entries) {
      journal.append(entries)
      for (const entry of entries) waiting.push(entry)
      records.push({ entries: entries.length, place: journal.place })
      stats.journaled += entries.length
      wake(bringInAfter)
    },
    write,
    bringIn,
    async wipe() {
      for (bringIn(); waiting.length > 0; bringIn()) {
        if (closed) throw new LedgerError('closed', 'The ledger is closed.')
        if (trouble) throw trouble
        await new Promise((resolve) => setTimeout(resolve, lockRetry))
      }
      if (!closed) restart()
    },
    renew() {
      if (closed || journal.isThere()) return false
      journal.renew()
      let failure: unknown
      records = []
      for (let at = 0; at < waiting.length; at += maxShare) {
        const share = waiting.slice(at, at + maxShare)
        try {
          if (failure === undefined) journal.append(share)
        } catch (error) {
          failure = error
        }
        records.push({ entries: share.length, place: journal.place })
      }
      if (failure !== undefined) throw failure
      return true
    },
    async close() {
      while (waiting.length > 0 && !trouble) {
        bringIn()
        if (waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, lockRetry))
      }
      closed = true
      clearTimeout(timer)
      journal.close(waiting.length === 0)
    },
  }
}
