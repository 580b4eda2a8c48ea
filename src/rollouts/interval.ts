// For show: how much the arms differ, with bounds that hold at all times.
import { million } from './assignment.ts'
import { harmFactors, increment } from './increments.ts'
import type { Share } from './tally.ts'

/** A ratio canary / stable. `point` is Infinity where only the canary had bad events, NaN where there were none. */
export interface RatioInterval {
  readonly point: number
  readonly lower: number
  readonly upper: number
}

const mirrored = harmFactors.map((factor) => 1 / factor)
/** Ratios that are looked at: from e^-10 to e^10. */
const widest = 10

/**
 * All ratios ρ that neither the test against "at most ρ" nor its mirror image refutes at α/2 each: a confidence sequence, which covers the
 * true ratio at all times together with probability 1 − α. For units that are more than a request it is as near as the clean share is.
 */
export function ratioInterval(shares: readonly Share[], alpha: number): RatioInterval {
  const limit = Math.log(2 / alpha)
  const above = (log: number) => logEvidence(shares, Math.exp(log), harmFactors) - limit
  const below = (log: number) => limit - logEvidence(shares, Math.exp(log), mirrored)
  return {
    point: pointOf(shares),
    lower: above(-widest) < 0 ? 0 : Math.exp(fallingRoot(above)),
    upper: below(widest) > 0 ? Number.POSITIVE_INFINITY : Math.exp(fallingRoot(below)),
  }
}

/** The ratio at which the canary's bad events are as many as expected, given the shares: the maximum of the likelihood. */
export function pointOf(shares: readonly Share[]): number {
  const canary = shares.reduce((sum, { badCanary }) => sum + badCanary, 0)
  const stable = shares.reduce((sum, { badStable }) => sum + badStable, 0)
  if (stable === 0) return canary === 0 ? Number.NaN : Number.POSITIVE_INFINITY
  if (canary === 0) return 0
  const surplus = (log: number) => {
    const r = Math.exp(log)
    return shares.reduce((sum, { ppm, badStable, badCanary }) => {
      const w = ppm / million
      return sum + badCanary - (badCanary + badStable) * ((w * r) / (w * r + 1 - w))
    }, 0)
  }
  return Math.exp(fallingRoot(surplus, 20))
}

/** Log of the evidence, all from the first event on, that the ratio is not r0. */
export function logEvidence(shares: readonly Share[], r0: number, factors: readonly number[]): number {
  const logs = factors.map((factor) =>
    shares.reduce((sum, { ppm, badStable, badCanary }) => {
      const w = ppm / million
      const r = r0 * factor
      const stable = badStable > 0 ? badStable * increment(r, r0, w, false) : 0
      return sum + stable + (badCanary > 0 ? badCanary * increment(r, r0, w, true) : 0)
    }, 0),
  )
  const most = Math.max(...logs)
  return most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0) / logs.length)
}

/** Where a falling function passes zero, by halving. */
function fallingRoot(f: (x: number) => number, bound = widest): number {
  let low = -bound
  let high = bound
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (f(middle) > 0) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/**
 * Ranks, counted from 1, between which the p-quantile of n values lies; 0 and n + 1 where there is no bound. From those k for which the mixture martingale
 * B(a+k, b+n−k) / (B(a,b) p^k (1−p)^(n−k)), a = 20p, b = 20(1−p), is below 1/α (Robbins, 1970; Howard and Ramdas, 2022). Holds at all n
 * together, for values that come one by one from one distribution.
 */
export function quantileRanks(n: number, p: number, alpha: number): { lower: number; upper: number } | undefined {
  const limit = -Math.log(alpha)
  const centre = Math.round(n * p)
  if (n === 0 || logMixture(centre, n, p) >= limit) return undefined
  let lower = centre
  while (lower > 0 && logMixture(lower - 1, n, p) < limit) lower--
  let upper = centre
  while (upper < n && logMixture(upper + 1, n, p) < limit) upper++
  // With k values at most the quantile, it lies from the k-th on and below the next.
  return { lower, upper: upper + 1 }
}

function logMixture(k: number, n: number, p: number): number {
  const a = 20 * p
  const b = 20 * (1 - p)
  return logBeta(a + k, b + n - k) - logBeta(a, b) - k * Math.log(p) - (n - k) * Math.log1p(-p)
}

const logBeta = (a: number, b: number): number => logGamma(a) + logGamma(b) - logGamma(a + b)

const lanczos = [
  676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
  -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
]

/** ln Γ(x) for x > 0 (Lanczos, g = 7, n = 9). */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x)
  const z = x - 1
  const t = z + 7.5
  const series = lanczos.reduce((sum, c, i) => sum + c / (z + i + 1), 0.9999999999998099)
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(series)
}
