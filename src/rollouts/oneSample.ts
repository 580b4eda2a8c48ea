// The test of one arm's rate against a fixed bound: for an SLO, where the other arm cannot tell, and for rates too rare to compare.
import { onGrid } from './increments.ts'

/** Candidates above the bound, as multiples of it. */
const above: readonly number[] = [1.25, 1.5, 2, 3, 5, 10]
/** Candidates below it. */
const below: readonly number[] = [0.75, 0.5, 0.25, 0.1, 0.02]

/**
 * Increments of ln[p1^bad (1−p1)^good / p0^bad (1−p0)^good] for candidates p1: those of a good outcome first, then those of a bad one.
 * An e-process against "the chance of a bad outcome, given all before, is at most p0 at every moment" for p1 above p0, and against "at
 * least" for p1 below it (Wald, 1945, as a test martingale).
 */
export function ratesAbove(p0: number): Float64Array {
  return table(
    p0,
    above.map((factor) => Math.min(p0 * factor, (1 + p0) / 2)),
  )
}

/** The same for the other side. */
export function ratesBelow(p0: number): Float64Array {
  return table(
    p0,
    below.map((factor) => p0 * factor),
  )
}

/** Log of the mixture of evidence that a rate is below p0, for `bad` bad ones among `seen`. */
export function logBelow(p0: number, bad: number, seen: number): number {
  const increments = ratesBelow(p0)
  const logs = below.map((_, j) => increments[j]! * (seen - bad) + increments[below.length + j]! * bad)
  const most = Math.max(...logs)
  return most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0) / below.length)
}

const table = (p0: number, candidates: readonly number[]): Float64Array =>
  Float64Array.from([
    ...candidates.map((p1) => onGrid(Math.log1p(-p1) - Math.log1p(-p0))),
    ...candidates.map((p1) => onGrid(Math.log(p1 / p0))),
  ])
