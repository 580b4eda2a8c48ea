// Bounds what waits to be written to the log: while its disk is full or its reader has stopped, the newest lines are dropped and counted.
import type { pino } from 'pino'

export type Destination = ReturnType<typeof pino.destination>

/** What sonic-boom has not written; not in its types. */
export interface Held {
  fd: number
  /** `_writingBuf` is with a thread, which ends its work before the process does. */
  _writing: boolean
  _writingBuf: Buffer
  _bufs: Buffer[][]
  _lens: number[]
  /** Bytes of all of it. */
  _len: number
}

export interface LogQueue {
  /** Lines dropped since the start. */
  readonly dropped: number
}

/** Milliseconds after which a failed write is tried again, if no line comes before. */
const RETRY = 1_000

/**
 * Holds a destination to `most` bytes of lines that are not written. Beyond, lines are dropped, until half of what waits is written: so each
 * time there is one gap in the log. Its own `maxLength` would let lines through one by one and, once a write has failed, would never try again.
 * @param resumed told how many lines are missing, once per gap, when lines are taken again; where it writes a line, that is behind the gap
 */
export function boundQueue(destination: Destination, most: number, resumed: (lines: number) => void): LogQueue {
  const held = destination as unknown as Held
  const take = (destination.write as unknown as (bytes: Buffer) => boolean).bind(destination)
  let dropped = 0
  let gap = 0
  let isFull = false
  let isRetrying = false

  const write = (bytes: Buffer): boolean => {
    if (!isFull && (held._len === 0 || held._len + bytes.length <= most)) return take(bytes)
    isFull = true
    const lines = countLines(bytes)
    gap += lines
    dropped += lines
    return false
  }
  Object.assign(destination, { write })
  // pino's own takes a reader that is gone for the end of all: from then on no line would be written, or counted.
  destination.removeAllListeners('error')

  // Not when a line comes: who hands lines over does not expect others in between.
  destination.on('write', (bytes: number) => {
    if (!isFull || held._len - bytes > most / 2) return
    isFull = false
    const lines = gap
    gap = 0
    resumed(lines)
  })
  destination.on('error', () => {
    if (isRetrying) return
    isRetrying = true
    setTimeout(() => {
      isRetrying = false
      // Does nothing while a write is under way.
      destination.flush()
    }, RETRY).unref()
  })
  return {
    get dropped() {
      return dropped
    },
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++
  return lines
}
