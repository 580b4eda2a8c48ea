// The statistics that the bench reads differences with.
import { describe, expect, it } from 'vitest'
import { median, middleInterval, middleRatio, percentile, spread } from '../bench/measure/statistics.ts'

describe('statistics of the bench', () => {
  it('interpolates percentiles', () => {
    expect(percentile([4, 1, 3, 2], 0.5)).toBe(2.5)
    expect(percentile([4, 1, 3, 2], 1)).toBe(4)
    expect(median([7])).toBe(7)
    expect(spread([8, 10, 12])).toBeCloseTo(0.1)
  })

  const sixteen = Array.from({ length: 16 }, (_, i) => i + 1)

  it('gives the middle of paired differences with the interval of the signed-rank test', () => {
    const means = sixteen.flatMap((a, i) => sixteen.slice(i).map((b) => (a + b) / 2)).sort((a, b) => a - b)
    // Critical value of sixteen pairs, two-sided, 5 %: 29 of the means lie outside on either side.
    expect(middleInterval(sixteen)).toEqual({ middle: 8.5, low: means[29], high: means[136 - 30] })
  })

  it('is not moved far by one window that the machine spoiled', () => {
    const { middle, low, high } = middleInterval([...sixteen.slice(0, 15), 1000])
    expect(middle).toBeCloseTo(8.5, 0)
    expect(low).toBeGreaterThan(4)
    expect(high).toBeLessThan(15)
  })

  it('knows no interval for fewer than six', () => {
    expect(middleInterval([1, 2, 3, 4, 5])).toEqual({
      middle: 3,
      low: Number.NEGATIVE_INFINITY,
      high: Number.POSITIVE_INFINITY,
    })
    expect(middleInterval([1, 2, 3, 4, 5, 6]).low).toBe(1)
  })

  it('gives ratios a middle that is the same from either side', () => {
    const ratios = [0.4, 0.45, 0.5, 0.55, 0.6, 3]
    const { middle, low, high } = middleRatio(ratios)
    const back = middleRatio(ratios.map((ratio) => 1 / ratio))
    expect(back.middle).toBeCloseTo(1 / middle)
    expect([back.low, back.high]).toEqual([expect.closeTo(1 / high), expect.closeTo(1 / low)])
    expect(middle).toBeCloseTo(0.55, 1)
    expect(middleRatio([0.25, 1]).middle).toBeCloseTo(0.5)
  })
})
