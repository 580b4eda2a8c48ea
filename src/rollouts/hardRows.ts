// First attempts as the rule of hard faults takes them up from their rows: after a restart it goes on with the run that was under way.
import { breakerOpen, type HardRule } from './hardRule.ts'
import type { RolloutPolicy } from './policy.ts'

/** What the rule sees of a row. */
export interface HardSight {
  /**
   * Bits of `seen`: all of the first, and none of the second. One that hangs is no success, and no fault that would tell more; what a unit
   * brings along again was told before.
   */
  readonly told: number
  readonly untold: number
  readonly kinds: readonly string[]
}

/** @param guards how many the policy has */
export const hardSight = ({ hard }: RolloutPolicy, guards: number): HardSight => ({
  told: 1 << (guards + 1),
  untold: 3 << (guards + 2),
  kinds: hard,
})

export const isTold = ({ told, untold }: HardSight, seen: number): boolean =>
  (seen & told) !== 0 && (seen & untold) === 0

/** As a row says it of an arm that was not asked. */
export const unavailable = 'unavailable'

/** From how the ledger names the end of a first attempt to how the rule does; undefined = a success. */
export function kindOf(firstAttempt: string): string | undefined {
  if (firstAttempt === 'ok') return undefined
  return firstAttempt === unavailable ? breakerOpen : firstAttempt
}

/** What a first attempt was, and from `hard` on of which kind. With its place of arrival it is one number, so that a list of them sorts by that. */
const marks = { reset: 0, well: 1, bad: 2, open: 3, hard: 4 } as const
const width = 1024

/** Collects first attempts from rows, in any order, and gives them back in the order of arrival. */
export class HardRows {
  readonly sight: HardSight
  readonly #rows: number[] = []

  constructor(sight: HardSight) {
    this.sight = sight
  }

  /** Of a row that is told. In any order. */
  add(arrival: number, canary: boolean, firstAttempt: string): void {
    if (this.sight.kinds.length > 0) this.#rows.push(arrival * width + this.#markOf(canary, kindOf(firstAttempt)))
  }

  /** All of them, in the order of arrival. */
  list(): Float64Array {
    return Float64Array.from(this.#rows).sort()
  }

  /** Those from the last one on that ends every run. */
  tail(): Float64Array {
    let from = 0
    for (const row of this.#rows) if (row > from && markIn(row) === marks.reset) from = row
    return Float64Array.from(this.#rows.filter((row) => row >= from)).sort()
  }

  #markOf(canary: boolean, kind: string | undefined): number {
    if (!canary) return kind === undefined ? marks.well : marks.bad
    if (kind === breakerOpen) return marks.open
    const number = kind === undefined ? -1 : this.sight.kinds.indexOf(kind)
    return number === -1 ? marks.reset : marks.hard + number
  }
}

/**
 * Tells the rule of rows as if they came now.
 * @param lists of `list` or `tail`: where one begins with the end of a run, what is missing of it came before that
 * @returns why it has fired with one of them; undefined = it has not
 */
export function recallHard(
  rule: HardRule,
  kinds: readonly string[],
  lists: readonly Float64Array[],
): string | undefined {
  let from = 0
  let first = Number.POSITIVE_INFINITY
  for (const rows of lists) {
    if (rows.length > 0 && markIn(rows[0]!) === marks.reset) from = Math.max(from, rows[0]!)
    first = Math.min(first, rows.find((row) => markIn(row) >= marks.hard) ?? first)
  }
  // Without a fault there is no run: what came before the first one is nothing to it.
  const rows = joinFrom(Math.max(from, first), lists)
  let reason: string | undefined
  for (const row of rows) {
    const mark = markIn(row)
    const isCanary = mark !== marks.well && mark !== marks.bad
    if (rule.see(isCanary, kindAs(mark, kinds))) reason ??= rule.reason
  }
  return reason
}

/** In order, those from a number on. The lists follow each other but for a few rows, so that there is mostly nothing to be sorted. */
function joinFrom(from: number, lists: readonly Float64Array[]): Float64Array {
  const parts = lists.map((list) => {
    const start = list.findIndex((row) => row >= from)
    return start === -1 ? list.subarray(0, 0) : list.subarray(start)
  })
  const rows = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    rows.set(part, at)
    at += part.length
  }
  return rows.every((row, n) => n === 0 || row >= rows[n - 1]!) ? rows : rows.sort()
}

function kindAs(mark: number, kinds: readonly string[]): string | undefined {
  if (mark === marks.reset || mark === marks.well) return undefined
  if (mark === marks.bad) return 'bad'
  return mark === marks.open ? breakerOpen : kinds[mark - marks.hard]
}

const markIn = (row: number): number => row % width
