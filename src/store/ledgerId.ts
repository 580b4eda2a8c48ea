// Makes the ledger's ids: integers that hold their time, grow without end, and are never used twice.

/** 2025-01-01T00:00:00Z, in Unix milliseconds. Also written in the views of `0002_ledger.sql`. */
const idEpoch = 1_735_689_600_000
/** Ids per request: its own, and up to 63 attempts. */
export const idsPerRequest = 64
const maxAttempts = idsPerRequest - 1
/** 64 requests a millisecond and 64 ids a request: 2^53 is reached in 2094. A faster burst borrows from the next millisecond. */
const idsPerMillisecond = 64 * idsPerRequest

export interface IdSource {
  /** A new request id, greater than all before it, also when the clock goes back. */
  next(): number
  /** The last one made. */
  readonly last: number
}

/** `after`: the greatest id that was ever used. */
export function makeIdSource(after: number, now: () => number = Date.now): IdSource {
  let last = requestOf(after)
  return {
    next() {
      const current = firstIdOf(now())
      last = current > last ? current : last + idsPerRequest
      return last
    },
    get last() {
      return last
    },
  }
}

/** Id of a request's attempt; `n` counts from 1. Throws RangeError beyond `maxAttempts`. */
export function attemptId(request: number, n: number): number {
  if (!Number.isInteger(n) || n < 1 || n > maxAttempts)
    throw new RangeError(`attempt ${n} is not within 1 and ${maxAttempts}`)
  return request + n
}

/** The request that an attempt belongs to. */
export function requestOf(id: number): number {
  return id - (id % idsPerRequest)
}

/** The time in an id, in Unix milliseconds. */
export function timeOf(id: number): number {
  return Math.floor(id / idsPerMillisecond) + idEpoch
}

/** The smallest id of a time in Unix milliseconds: ids of `[from, to)` are those from `firstIdOf(from)` to below `firstIdOf(to)`. */
export function firstIdOf(time: number): number {
  return Math.max(0, Math.floor(time) - idEpoch) * idsPerMillisecond
}

/** The first id that retention keeps: that of midnight UTC, `days` whole days before today. Whole days, so that `verify` can check each. */
export function firstKeptId(days: number, now: number): number {
  return firstIdOf((Math.floor(now / 86_400_000) - days) * 86_400_000)
}

/** The UTC day of an id as a number, YYYYMMDD. */
export function dayOf(id: number): number {
  const day = Math.floor(timeOf(id) / 86_400_000)
  if (day !== cachedDay) {
    const date = new Date(day * 86_400_000)
    cachedNumber = date.getUTCFullYear() * 10_000 + (date.getUTCMonth() + 1) * 100 + date.getUTCDate()
    cachedDay = day
  }
  return cachedNumber
}

let cachedDay = -1
let cachedNumber = 0

// Crockford's alphabet in lower case: no i, l, o, u to misread, and texts sort as the numbers do.
const digits = '0123456789abcdefghjkmnpqrstvwxyz'
const width = 11

/** `req_` and 11 characters; sorts as the ids do. */
export function printId(id: number): string {
  let text = ''
  for (let rest = id, i = 0; i < width; i++) {
    text = digits[rest % 32] + text
    rest = Math.floor(rest / 32)
  }
  return `req_${text}`
}

/** The id in a printed one; undefined when it is none. */
export function parseId(text: string): number | undefined {
  if (!/^req_[0-9a-hjkmnp-tv-z]{11}$/.test(text)) return undefined
  let id = 0
  for (const digit of text.slice(4)) id = id * 32 + digits.indexOf(digit)
  return Number.isSafeInteger(id) ? id : undefined
}
