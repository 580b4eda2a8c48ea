// Settled rows that the database did not take in time: they are held in memory, and written as soon as it works again.
import type { BatchWriter, Entry } from './batch.ts'
import { classifyFailure, isRowFault } from './failure.ts'
import type { LedgerStats } from './ledgerStats.ts'

export interface KeptRows {
  /** The oldest one is lost where there are too many. */
  add(entry: Entry): void
  /** Writes one batch; false when it did not work, or there was none. */
  write(): boolean
  /** Tries no more by itself, and counts as lost what is still there. */
  close(): void
  readonly size: number
  /** They cannot be written, and not for a lock. */
  readonly isStuck: boolean
}

const most = 20_000
/** Milliseconds between two tries. */
const retry = 250

/**
 * @param batch entries in one transaction
 * @param written called after each transaction that got through
 */
export function keepRows(writer: BatchWriter, stats: LedgerStats, batch: number, written: () => void): KeptRows {
  const kept: Entry[] = []
  let isStuck = false
  const timer = setInterval(write, retry)
  timer.unref()

  function write(): boolean {
    const entries = kept.slice(0, batch)
    if (entries.length === 0) return false
    try {
      writer.write(entries)
      written()
      isStuck = false
      stats.recovered += entries.length
    } catch (error) {
      const failure = classifyFailure(error)
      if (!isRowFault(failure)) {
        isStuck = failure.code !== 'locked'
        return false
      }
      // One of them is unfit; it must not block the others for ever.
      for (const entry of entries) writeAlone(entry)
    }
    kept.splice(0, entries.length)
    stats.kept = kept.length
    if (kept.length > 0) setImmediate(write)
    return true
  }

  function writeAlone(entry: Entry): void {
    try {
      writer.write([entry])
      stats.recovered++
    } catch (error) {
      stats.lost++
      stats.fail(classifyFailure(error))
    }
  }

  return {
    add(entry) {
      if (kept.length >= most) {
        kept.shift()
        stats.lost++
      }
      kept.push(entry)
      stats.kept = kept.length
    },
    write,
    close() {
      clearInterval(timer)
      while (write());
      stats.lost += kept.length
    },
    get size() {
      return kept.length
    },
    get isStuck() {
      return isStuck
    },
  }
}
