// Rows that the journal holds and SQLite does not yet: keeps them in order, and brings them in together a moment later.
import type { BatchWriter, Entry } from './batch.ts'
import { classifyFailure, isRowFault } from './failure.ts'
import type { Journal } from './journal.ts'
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
  /** As `bringIn`, and leaves none of it in the journal's file. */
  wipe(): void
  /** Tries until all is in or `trouble` says why not; what could not be brought in stays in the file for the next start. */
  close(): Promise<void>
}

/** What shares a transaction waits so long for it, in milliseconds. */
const bringInAfter = 20
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
  let timer: NodeJS.Timeout | undefined
  let lockedSince = 0
  let triedAt = 0
  let trouble: LedgerError | undefined
  let closed = false

  function wake(ms: number): void {
    if (!closed) timer ??= setTimeout(bringIn, ms)
  }

  function write(more: readonly Entry[]): number[] {
    const count = waiting.length
    const doubles = count === 0 ? writer.write(more) : writer.write([...waiting, ...more], journal.place)
    options.committed(count + more.length)
    if (count === 0) return doubles
    clearTimeout(timer)
    timer = undefined
    lockedSince = 0
    triedAt = 0
    trouble = undefined
    waiting = []
    if (journal.place.offset >= restartFrom) restart()
    // They were told that they are kept: all that can be done about a double is to say so.
    for (const place of doubles) if (place < count) stats.fail(twice)
    return doubles.filter((place) => place >= count).map((place) => place - count)
  }

  function restart(): void {
    try {
      journal.restart()
    } catch (error) {
      // It goes on where it is: the place in the database says what of it is done.
      stats.fail(classifyFailure(error))
    }
  }

  function bringIn(): void {
    clearTimeout(timer)
    timer = undefined
    if (waiting.length === 0) return
    try {
      write([])
    } catch (error) {
      refused(classifyFailure(error))
    }
  }

  function refused(failure: LedgerError): void {
    if (isRowFault(failure)) return writeEach()
    const time = performance.now()
    triedAt = time
    if (failure.code === 'locked') {
      stats.busy++
      lockedSince ||= time
      if (time - lockedSince >= options.lockTimeout) blame(failure)
    } else blame(failure)
    wake(failure.code === 'locked' ? lockRetry : otherRetry)
  }

  function blame(failure: LedgerError): void {
    // Said once: what is refused because of it is counted by whoever refuses.
    if (!trouble) stats.fail(failure)
    trouble = failure
  }

  /** One row that SQLite does not accept must not hold up the others for ever. */
  function writeEach(): void {
    const entries = waiting
    waiting = []
    for (const [place, entry] of entries.entries()) {
      try {
        writer.write([entry])
      } catch (error) {
        const failure = classifyFailure(error)
        if (!isRowFault(failure)) {
          waiting = entries.slice(place)
          return refused(failure)
        }
        stats.lost++
        stats.fail(failure)
      }
    }
    restart()
    options.committed(entries.length)
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
      stats.journaled += entries.length
      wake(bringInAfter)
    },
    write,
    bringIn,
    wipe() {
      bringIn()
      if (waiting.length === 0) restart()
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
