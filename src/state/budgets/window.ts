// The windows that budgets are counted in: of the calendar in a time zone, daylight saving included.
import type { BudgetWindow } from '../../config/limitTypes.ts'

/** Unix milliseconds; `end` is the first moment after it. */
export interface Span {
  readonly start: number
  readonly end: number
}

const minute = 60_000
const hour = 3_600_000
const day = 86_400_000

/** How far back a rolling window reaches, in milliseconds. */
export const rollingSpans = {
  minute,
  hour,
  day,
  week: 7 * day,
  month: 30 * day,
  lifetime: Number.POSITIVE_INFINITY,
} as const satisfies Record<BudgetWindow, number>

/**
 * The calendar's window that `at` lies in. Weeks begin on Monday (ISO 8601). Windows of one kind follow each other without gap or overlap:
 * a day of 23 or 25 hours is as long as it is, and where clocks skip midnight a day begins at its first moment.
 * `timezone` is an IANA name; throws RangeError for one that is none.
 */
export function windowAt(window: BudgetWindow, timezone: string, at: number): Span {
  if (window === 'lifetime') return always
  const id = `${window} ${timezone}`
  const last = found.get(id)
  if (last && at >= last.start && at < last.end) return last
  const span = findWindow(window, timezone, at)
  // All entities of a budget turn over at the same moment, and a calendar costs tens of microseconds.
  if (found.size >= MAX_FOUND) found.clear()
  found.set(id, span)
  return span
}

const always: Span = { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY }
const found = new Map<string, Span>()
/** Kinds of windows times zones: few, but zones come from configurations. */
const MAX_FOUND = 1_000

function findWindow(window: Exclude<BudgetWindow, 'lifetime'>, timezone: string, at: number): Span {
  if (window === 'minute' || window === 'hour') {
    // Zones lie by whole minutes apart these days, and some by half hours: an hour begins when its clock says so.
    const length = window === 'minute' ? minute : hour
    const offset = offsetAt(timezone, at)
    const start = Math.floor((at + offset) / length) * length - offset
    return { start, end: start + length }
  }
  const today = Math.floor((at + offsetAt(timezone, at)) / day)
  for (let first = firstDayOf(window, today); ; first = dayAfter(window, first)) {
    const span = {
      start: firstMoment(timezone, first),
      end: firstMoment(timezone, dayAfter(window, first)),
    }
    // Where clocks go back across midnight, a date is shown again after the next one has begun: that belongs to the next.
    if (at < span.end) return span
  }
}

/** Days since 1970 of the first day of the window around `date`. */
function firstDayOf(window: BudgetWindow, date: number): number {
  if (window === 'day') return date
  // Day 0 was a Thursday.
  if (window === 'week') return date - ((((date + 3) % 7) + 7) % 7)
  const local = new Date(date * day)
  return Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), 1) / day
}

function dayAfter(window: BudgetWindow, first: number): number {
  if (window === 'day') return first + 1
  if (window === 'week') return first + 7
  const local = new Date(first * day)
  return Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + 1, 1) / day
}

/** The first moment at which a zone's calendar shows a date (days since 1970) or a later one. */
function firstMoment(timezone: string, date: number): number {
  if (timezone === 'UTC') return date * day
  const dateAt = (at: number): number => Math.floor((at + offsetAt(timezone, at)) / day)
  const midnight = date * day
  const before = offsetAt(timezone, midnight - day)
  const after = offsetAt(timezone, midnight + day)
  const candidates = [midnight - Math.max(before, after), midnight - Math.min(before, after)]
  for (const moment of candidates) if (dateAt(moment) >= date && dateAt(moment - 1) < date) return moment
  // Clocks that skip midnight from some time before it (Toronto, 1919) never show it: look for the edge itself.
  let low = midnight - 2 * day
  let high = midnight + 2 * day
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (dateAt(middle) >= date) high = middle
    else low = middle
  }
  return high
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Milliseconds that a zone's clocks are ahead of UTC. */
function offsetAt(timezone: string, at: number): number {
  if (timezone === 'UTC') return 0
  let format = formats.get(timezone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(timezone, format)
  }
  const parts: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value)
  const { year = 0, month = 1, day: date = 1, hour: hours = 0, minute: minutes = 0, second = 0 } = parts
  return Date.UTC(year, month - 1, date, hours, minutes, second) - Math.floor(at / 1000) * 1000
}
