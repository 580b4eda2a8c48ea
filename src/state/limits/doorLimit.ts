// A plain limit by address: for pages that cost something, and for addresses that try keys.
import { shapeOf } from '../slidingLog.ts'
import { LogTable } from './logTable.ts'

export interface DoorLimit {
  /** Counts one and returns undefined, or milliseconds until the next one may come. */
  take(address: string): number | undefined
  /** Milliseconds until an address may come again, without counting; undefined when it may now. */
  wait(address: string): number | undefined
  /** Counts one that happened, whether or not there was room. */
  count(address: string): void
  readonly size: number
}

/**
 * Lets `limit` through in any `window` milliseconds for each address (`addressKey`); 0 = all. A function is asked each time. Failed authentication: `wait` before the
 * key is looked at, `count` after it was wrong. Right keys are not counted, so that a proxy's clients do not lock each other out.
 */
export function createDoorLimit(
  limit: number | (() => number),
  window = 60_000,
  now: () => number = () => performance.now(),
  maxEntities?: number,
): DoorLimit {
  const table = new LogTable(shapeOf(window), maxEntities)
  const limitNow = typeof limit === 'number' ? () => limit : limit
  const wait = (address: string): number | undefined => {
    const most = limitNow()
    if (most === 0 || table.isEmpty) return undefined
    const at = now()
    const log = table.find(address, at)
    return log && log.sum >= most ? log.waitFor(most - 1, at) : undefined
  }
  const count = (address: string): void => {
    const most = limitNow()
    if (most === 0) return
    const at = now()
    const log = table.take(address, at)
    // Beyond the limit nothing more is learnt: an address that goes on trying is let in a window after it was shut out, not never.
    if (log.sum < most) log.add(at, 1)
  }
  return {
    take(address) {
      const ms = wait(address)
      if (ms === undefined) count(address)
      return ms
    },
    wait,
    count,
    get size() {
      return table.size
    },
  }
}
