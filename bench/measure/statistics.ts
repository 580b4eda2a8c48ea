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

/** Half of the whole range as a share of the median: what "± x %" means in the tables. */
export const spread = (values: readonly number[]): number =>
  values.length < 2 ? 0 : (Math.max(...values) - Math.min(...values)) / 2 / Math.abs(median(values))

/** 97.5 % points of Student's t by degrees of freedom 1 to 30. */
const studentT = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09, 2.09,
  2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04,
]

/** Mean of paired differences with its 95 % interval (Student's t). */
export const meanInterval = (differences: readonly number[]): { mean: number; low: number; high: number } => {
  const n = differences.length
  const mean = differences.reduce((sum, value) => sum + value, 0) / n
  if (n < 2) return { mean, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY }
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)
  const half = (studentT[n - 2] ?? 1.96) * Math.sqrt(variance / n)
  return { mean, low: mean - half, high: mean + half }
}
