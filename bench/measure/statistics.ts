// Small statistics: median, percentiles of samples, and an interval of paired differences.

/** The middle value; NaN for none. */
export const median = (values: readonly number[]): number => percentile(values, 0.5)

/** Nearest rank with interpolation; `share` from 0 to 1. NaN for no values. */
export const percentile = (values: readonly number[], share: number): number => {
  if (values.length === 0) return Number.NaN
  const sorted = Float64Array.from(values).sort()
  const at = (sorted.length - 1) * share
  const low = Math.floor(at)
  return sorted[low]! + (sorted[Math.ceil(at)]! - sorted[low]!) * (at - low)
}

/** Half of the distance between the quartiles as a share of the median: what "± x %" means in the tables. */
export const spread = (values: readonly number[]): number =>
  values.length < 2 ? 0 : (percentile(values, 0.75) - percentile(values, 0.25)) / 2 / Math.abs(median(values))

export interface Interval {
  readonly middle: number
  readonly low: number
  readonly high: number
}

/**
 * The middle of paired differences and its 95 % interval: the median of the means of all pairs of them (Hodges and Lehmann 1963), and the
 * interval that belongs to Wilcoxon's signed-rank test, by its normal approximation with correction for continuity. A window that the
 * machine spoiled counts as one difference, however far off it is; a mean would follow it. Fewer than six cannot show 95 %.
 */
export const middleInterval = (differences: readonly number[]): Interval => {
  const n = differences.length
  const means = differences.flatMap((one, i) => differences.slice(i).map((other) => (one + other) / 2))
  means.sort((a, b) => a - b)
  const middle = median(means)
  if (n < 6) return { middle, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY }
  const outside = Math.floor((n * (n + 1)) / 4 - 0.5 - 1.96 * Math.sqrt((n * (n + 1) * (2 * n + 1)) / 24))
  return { middle, low: means[outside]!, high: means[means.length - 1 - outside]! }
}

/** As `middleInterval` for positive ratios: of their logarithms, so that twice as much and half as much are as far from 1. */
export const middleRatio = (ratios: readonly number[]): Interval => {
  const { middle, low, high } = middleInterval(ratios.map(Math.log))
  return { middle: Math.exp(middle), low: Math.exp(low), high: Math.exp(high) }
}
