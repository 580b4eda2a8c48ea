// The formulas of rollouts: golden values, identities, exact sums, intervals.

import { describe, expect, it } from 'vitest'
import { million } from '../src/rollouts/assignment.ts'
import { CleanShare } from '../src/rollouts/cleanShare.ts'
import { CleanWindows, shareAt } from '../src/rollouts/cleanWindows.ts'
import { forecastHarm } from '../src/rollouts/forecast.ts'
import { Guard, planGuards } from '../src/rollouts/guard.ts'
import {
  grid,
  harmFactors,
  Increments,
  increment,
  onGrid,
  safeFactors,
  shareFactors,
} from '../src/rollouts/increments.ts'
import { logEvidence, logGamma, pointOf, quantileRanks, ratioInterval } from '../src/rollouts/interval.ts'
import { logBelow, ratesAbove, ratesBelow } from '../src/rollouts/oneSample.ts'
import { defaultPolicy } from '../src/rollouts/policy.ts'
import { addLogs, EvidenceProcess } from '../src/rollouts/process.ts'
import { SizeWindow } from '../src/rollouts/sizeWindow.ts'
import { Tally } from '../src/rollouts/tally.ts'
import { drawOf } from './support/draws.ts'
import fc from './support/seededCheck.ts'

/** Events as [on the canary, share]. */
type Events = readonly (readonly [boolean, number])[]

function run(events: Events, { r0 = 1, factors = harmFactors, restarts = false } = {}): EvidenceProcess {
  const process = new EvidenceProcess(factors.length, restarts)
  const increments = new Increments(r0, factors)
  for (const [canary, w] of events) process.add(0, increments.of(Math.round(w * million)), canary ? factors.length : 0)
  return process
}
const evidenceOf = (events: Events): number => Math.exp(run(events).logEvidence())
const weight = fc.integer({ min: 1, max: million - 1 }).map((ppm) => ppm / million)
const ratio = fc.double({ min: 0.01, max: 100, noNaN: true })

describe('the evidence of one bad event', () => {
  it('has the known increments', () => {
    expect(increment(2, 1, 0.05, true)).toBeCloseTo(0.6443570163905132, 14)
    expect(increment(2, 1, 0.05, false)).toBeCloseTo(-0.04879016416943205, 14)
  })

  it('is a fair bet at the ratio in question, and a bad one on the far side of it', () => {
    fc.assert(
      fc.property(weight, ratio, ratio, ratio, (w, r, r0, truth) => {
        const expected = (rho: number) => {
          const q = (w * rho) / (w * rho + 1 - w)
          return q * Math.exp(increment(r, r0, w, true)) + (1 - q) * Math.exp(increment(r, r0, w, false))
        }
        expect(Math.abs(expected(r0) - 1)).toBeLessThan(1e-12 * Math.max(1, r / r0, r0 / r))
        const slack = 1e-12 * Math.max(1, r / r0, r0 / r)
        const isFar = r > r0 ? truth <= r0 : truth >= r0
        if (isFar) expect(expected(truth)).toBeLessThanOrEqual(1 + slack)
      }),
      { numRuns: 2000 },
    )
  })

  it('is rounded down onto a grid, so that sums are the same in any order', () => {
    const events = fc.array(fc.tuple(fc.boolean(), weight), { maxLength: 60 })
    fc.assert(
      fc.property(
        events.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        fc.double({ min: 0.5, max: 3, noNaN: true }),
        ([list, shuffled], r0) => {
          expect(run(shuffled, { r0 }).logEvidence()).toBe(run(list, { r0 }).logEvidence())
        },
      ),
    )
    for (const nats of [0.1, -0.1, 3.3]) {
      expect(onGrid(nats)).toBeLessThanOrEqual(nats)
      expect(nats - onGrid(nats)).toBeLessThan(1 / grid)
    }
  })
})

describe('evidence that is added up', () => {
  it('has the known values', () => {
    const bad = [true, 0.05] as const
    expect(evidenceOf([bad])).toBeCloseTo(5.931, 3)
    expect(evidenceOf([bad, bad])).toBeCloseTo(64.007, 3)
    expect(evidenceOf([bad, bad, bad])).toBeCloseTo(876.983, 3)
    expect(evidenceOf([bad, bad, bad, bad])).toBeCloseTo(13113.406, 2)
    expect(evidenceOf([...'1001000010'].map((z) => [z === '1', 0.1]))).toBeCloseTo(2.128554, 6)
    const ramp: Events = [
      [true, 0.01],
      [false, 0.01],
      [true, 0.05],
      [false, 0.25],
      [true, 0.25],
    ]
    expect(evidenceOf(ramp)).toBeCloseTo(32.484994, 5)
    // Four of five bad events on the canary at 5 %: what is said as 3,058 : 1.
    expect(Math.round(evidenceOf([[false, 0.05], bad, bad, bad, bad]))).toBe(3058)
  })

  it('is one at the beginning, and silent where there is no other arm', () => {
    expect(run([]).logEvidence()).toBe(0)
    expect(run([], { restarts: true }).logEvidence()).toBe(0)
    expect(run([[true, 1]]).logEvidence()).toBeCloseTo(0, 8)
    expect(run([[false, 0]]).logEvidence()).toBeCloseTo(0, 8)
  })

  it('with restarts is the mixture over all starts, in one pass', () => {
    const step = fc.record({
      epoch: fc.integer({ min: 0, max: 30 }),
      canary: fc.boolean(),
      w: fc.constantFrom(0.01, 0.05, 0.5),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), (steps) => {
        const events = steps.sort((a, b) => a.epoch - b.epoch)
        const increments = new Increments(1.25, harmFactors)
        const process = new EvidenceProcess(harmFactors.length, true)
        for (const { epoch, canary, w } of events) {
          process.add(epoch, increments.of(w * million), canary ? harmFactors.length : 0)
        }
        const last = events.at(-1)!.epoch
        let direct = 0
        for (const r of increments.ratios) {
          for (let k = 0; k <= last; k++) {
            let log = 0
            for (const { epoch, canary, w } of events) if (epoch >= k) log += increment(r, 1.25, w, canary)
            direct += Math.exp(log) / ((k + 1) * (k + 2)) / harmFactors.length
          }
        }
        expect(process.logEvidence()).toBeCloseTo(Math.log(direct), 6)
        expect(process.bound()).toBeGreaterThanOrEqual(process.logEvidence())
      }),
    )
  })

  it('stays finite where the odds are beyond all numbers', () => {
    const process = new EvidenceProcess(harmFactors.length, true)
    const table = new Increments(1, harmFactors).of(50_000)
    process.add(0, table, harmFactors.length, 5000)
    expect(process.logEvidence()).toBeGreaterThan(10_000)
    process.add(4, table, 0, 500_000)
    expect(Number.isFinite(process.logEvidence())).toBe(true)
    expect(addLogs(Number.NEGATIVE_INFINITY, 3)).toBe(3)
  })
})

describe('how long it takes', () => {
  const setting = { metric: 'first_attempt_error', maxRatio: 1, harmRatio: 2, share: 1, action: 'abort' } as const
  const guardAt = (alpha: number): Guard =>
    new Guard(planGuards({ ...defaultPolicy, unit: 'request', alpha, guards: [setting] })[0]!, 0, 0)

  it('until harm is found, is forecast as ln(8/alpha) over the distance of the candidate', () => {
    for (const w of [0.01, 0.05, 0.25, 0.5]) {
      for (const r of [1.5, 2, 5]) {
        const q = (w * r) / (w * r + 1 - w)
        const distance = q * Math.log(q / w) + (1 - q) * Math.log((1 - q) / (1 - w))
        const { badEvents } = forecastHarm(guardAt(0.01), r, w * million)!
        expect(Math.abs(badEvents - Math.log(8 / 0.01) / distance)).toBeLessThan(1.01)
      }
    }
  })

  it('until an equal canary is shown to be harmless, is known from a simulation of others', () => {
    const draw = drawOf(2026)
    const median = (r1: number, w: number): number => {
      const increments = new Increments(r1, safeFactors).of(w * million)
      const needed = Array.from({ length: 1000 }, () => {
        const process = new EvidenceProcess(safeFactors.length, false)
        let events = 0
        while (process.logEvidence() < Math.log(20)) {
          process.add(0, increments, draw() < w ? safeFactors.length : 0)
          events++
        }
        return events
      })
      return needed.sort((a, b) => a - b)[500]!
    }
    for (const [r1, w, reference] of [
      [2, 0.5, 53],
      [2, 0.25, 62],
      [2, 0.05, 224],
      [1.5, 0.5, 156],
    ] as const) {
      const found = median(r1, w)
      expect(found).toBeGreaterThan(reference * 0.8)
      expect(found).toBeLessThan(reference * 1.2)
    }
  })
})

describe('counts', () => {
  const count = fc.record({
    epoch: fc.integer({ min: 0, max: 5 }),
    ppm: fc.constantFrom(10_000, 50_000, 250_000),
    seenStable: fc.nat(50),
    seenCanary: fc.nat(50),
    badStable: fc.nat(9),
    badCanary: fc.nat(9),
  })

  it('are merged by addition, in any grouping', () => {
    fc.assert(
      fc.property(fc.array(count, { maxLength: 20 }), fc.array(count, { maxLength: 20 }), (a, b) => {
        const all = new Tally()
        for (const one of [...a, ...b]) all.merge(one)
        const parts = [a, b].map((list) => {
          const tally = new Tally()
          for (const one of list) tally.merge(one)
          return tally
        })
        const merged = new Tally()
        for (const part of parts.reverse()) for (const one of part.counts('x')) merged.merge(one)
        expect(merged.counts('x')).toEqual(all.counts('x'))
        expect(merged.badCanary).toBe([...a, ...b].reduce((sum, one) => sum + one.badCanary, 0))
      }),
    )
  })
})

describe('the share of clean units', () => {
  const canary = 0
  const stable = 2 ** 32 - 1

  it('is the weight before anything is known, and what comes after', () => {
    const share = new CleanShare()
    expect(share.share(10_000)).toBe(10_000)
    const draw = drawOf(7)
    for (let i = 0; i < 40_000; i++) share.push(Math.floor(draw() * 2 ** 32))
    for (const ppm of [500, 10_000, 50_000, 500_000, 990_000]) {
      const small = Math.min(ppm, million - ppm)
      expect(Math.abs(share.share(ppm) - ppm) / small).toBeLessThan(0.4)
    }
    expect(share.share(million)).toBe(million)
    expect(share.share(0)).toBe(0)
  })

  it('sinks with the arm that loses its clean units, over the last requests alone', () => {
    const share = new CleanShare()
    share.share(500_000)
    for (let i = 0; i < 2000; i++) share.push(i % 4 === 0 ? canary : stable)
    expect(share.share(500_000)).toBe(260_000)
    for (let i = 0; i < 500; i++) share.push(i % 2 === 0 ? canary : stable)
    expect(share.share(500_000)).toBe(500_000)
  })

  it('is that of the new weight at once when the weight changes', () => {
    const share = new CleanShare()
    // Bad events have emptied the lowest buckets, which were the canary's first.
    for (let i = 0; i < 3000; i++) {
      share.share(50_000)
      share.push(Math.floor((0.05 + (i % 95) / 100) * 2 ** 32) + 1)
    }
    expect(share.share(50_000)).toBeLessThan(6000)
    expect(share.share(250_000)).toBeGreaterThan(200_000)
    expect(share.share(250_000)).toBeLessThan(220_000)
    share.push(canary)
  })

  it('looks back further at small weights', () => {
    const share = new CleanShare()
    share.share(10_000)
    for (let i = 0; i < 20_000; i++) share.push(i < 10_000 || i % 50 === 0 ? canary : stable)
    // The last 10,000 requests, 200 of them the canary's, and 1,000 more at 1 %.
    expect(share.share(10_000)).toBe(19_100)
  })

  it('is for each guard what a window of its own would say, whether they share one or not', () => {
    const request = fc.record({
      bucket: fc.constantFrom(canary, 2 ** 30, stable),
      ppm: fc.constantFrom(10_000, 250_000, 500_000),
      dirty: fc.constantFrom(0, 0, 0, 0, 1, 2, 4, 3, 6, 7),
      isPast: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 300 }), fc.integer({ min: 0, max: 40 }), (requests, repeat) => {
        const windows = new CleanWindows(0b111)
        const alone = [new CleanShare(), new CleanShare(), new CleanShare()]
        for (const { bucket, ppm, dirty, isPast } of requests) {
          if (isPast) windows.retake(bucket, dirty)
          else {
            const looked = windows.take(bucket, ppm, dirty)
            for (const [guard, own] of alone.entries()) expect(shareAt(looked, guard, ppm)).toBe(own.share(ppm))
            expect(shareAt(looked, 3, ppm)).toBe(ppm)
          }
          for (const [guard, own] of alone.entries()) if ((dirty & (1 << guard)) === 0) own.push(bucket)
          // So that windows of 500 are passed.
          for (let i = 0; i < repeat; i++) {
            windows.retake(bucket, 0)
            for (const own of alone) own.push(bucket)
          }
        }
      }),
    )
  })
})

it('the windows of clean units are known again from the last rows that they hold', () => {
  const rows = Array.from({ length: 4 }, (_, part) => {
    const buckets = Uint32Array.from({ length: 30_000 }, (__, i) => Math.imul(part * 30_000 + i, 0x9e3779b1) >>> 0)
    // One guard takes four of five, one a third but of the last part all, one a fifth, and one everything.
    const seen = buckets.map((bucket, i) => 0b1000 | (bucket % 5 === 0 ? 4 : 1) | (part < 3 && i % 3 > 0 ? 0 : 2))
    return { buckets, seen }
  })
  // Those whose windows the last parts fill, and one that needs them all.
  for (const guards of [0b1011, 0b0100]) {
    const [all, some] = [new CleanWindows(guards), new CleanWindows(guards)]
    for (const { buckets, seen } of rows)
      for (const [row, bucket] of buckets.entries()) all.retake(bucket, guards & ~seen[row]!)
    some.recall(rows, guards)
    for (const ppm of [500_000, 50_000, 3000, 250_000, 100]) {
      const [one, other] = [all.take(7, ppm, 0), some.take(7, ppm, 0)]
      for (const guard of [0, 1, 2, 3]) expect(shareAt(other, guard, ppm)).toBe(shareAt(one, guard, ppm))
    }
  }
})

describe('one arm against a bound', () => {
  it('is a fair bet at the bound, and a bad one below or above it', () => {
    for (const p0 of [0.001, 0.05, 0.6]) {
      for (const [table, far] of [
        [ratesAbove(p0), p0 * 0.7],
        [ratesBelow(p0), p0 * 1.3],
      ] as const) {
        const n = table.length / 2
        for (let j = 0; j < n; j++) {
          const expected = (p: number) => (1 - p) * Math.exp(table[j]!) + p * Math.exp(table[n + j]!)
          expect(Math.abs(expected(p0) - 1)).toBeLessThan(1e-9)
          expect(expected(far)).toBeLessThan(1)
        }
      }
    }
  })

  it('shows a rate below one percent in some hundred good requests', () => {
    const needed = Array.from({ length: 1000 }, (_, n) => n).find((n) => logBelow(0.01, 0, n) >= Math.log(40))!
    expect(needed).toBeGreaterThan(300)
    expect(needed).toBeLessThan(600)
    expect(logBelow(0.01, 20, 1000)).toBeLessThan(0)
  })
})

describe('intervals for show', () => {
  it('give the ratio of the rates', () => {
    expect(pointOf([{ ppm: 50_000, badStable: 1, badCanary: 4 }])).toBeCloseTo(76, 8)
    expect(pointOf([])).toBeNaN()
    expect(pointOf([{ ppm: 50_000, badStable: 0, badCanary: 2 }])).toBe(Number.POSITIVE_INFINITY)
    expect(pointOf([{ ppm: 50_000, badStable: 3, badCanary: 0 }])).toBe(0)
    const mixed = [
      { ppm: 10_000, badStable: 99, badCanary: 2 },
      { ppm: 250_000, badStable: 30, badCanary: 20 },
    ]
    expect(pointOf(mixed)).toBeCloseTo(2, 1)
  })

  it('hold the ratios that neither side refutes', () => {
    const shares = [{ ppm: 100_000, badStable: 90, badCanary: 20 }]
    const { point, lower, upper } = ratioInterval(shares, 0.05)
    expect(point).toBeCloseTo(2, 8)
    expect(lower).toBeGreaterThan(0.5)
    expect(upper).toBeLessThan(8)
    expect(logEvidence(shares, lower, harmFactors)).toBeCloseTo(Math.log(40), 6)
    expect(
      logEvidence(
        shares,
        upper,
        harmFactors.map((factor) => 1 / factor),
      ),
    ).toBeCloseTo(Math.log(40), 6)
    expect(ratioInterval([], 0.05)).toEqual({ point: Number.NaN, lower: 0, upper: Number.POSITIVE_INFINITY })
    expect(ratioInterval([{ ppm: 50_000, badStable: 0, badCanary: 30 }], 0.05).upper).toBe(Number.POSITIVE_INFINITY)
  })

  it('give the known ranks of quantiles', () => {
    const ranks = [100, 300, 1000, 5000, 20_000].map((n) => quantileRanks(n, 0.95, 0.05))
    expect(ranks.map((rank) => [rank!.lower, rank!.upper])).toEqual([
      [87, 100],
      [272, 295],
      [927, 971],
      [4696, 4801],
      [18887, 19110],
    ])
    expect(logGamma(10)).toBeCloseTo(Math.log(362880), 10)
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 10)
  })
})

describe('a window of sizes', () => {
  it('knows quantiles to a percent, of the last values alone', () => {
    const window = new SizeWindow(500)
    const values = Array.from({ length: 2000 }, (_, i) => 10 + ((i * 7919) % 2000) / 3 + (i < 1500 ? 1e6 : 0))
    for (const value of values) window.push(value)
    const last = values.slice(-500).sort((a, b) => a - b)
    for (const p of [0.5, 0.9, 0.95, 0.99]) {
      const exact = last[Math.ceil(p * 500) - 1]!
      expect(window.quantile(p)).toBeGreaterThanOrEqual(exact * 0.9999)
      expect(window.quantile(p)).toBeLessThan(exact * 1.009)
    }
    expect(window.count).toBe(500)
    window.push(0)
    window.push(Number.MAX_VALUE)
    expect(window.ranked(1)).toBeLessThan(0.001)
  })

  it('are the same however often and in whichever order they were looked at', () => {
    const step = fc.record({
      value: fc.double({ min: 1e-4, max: 1e9, noNaN: true }),
      look: fc.constantFrom(0, 0, 0.01, 0.5, 0.95, 1),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (list) => {
        const window = new SizeWindow(30)
        const values: number[] = []
        for (const { value, look } of list) {
          window.push(value)
          values.push(value)
          if (look === 0) continue
          const other = new SizeWindow(30)
          for (const one of values.slice(-30)) other.push(one)
          expect(window.quantile(look)).toBe(other.quantile(look))
          expect(window.ranked(Math.ceil(look * window.count))).toBe(window.quantile(look))
        }
      }),
    )
  })
})

it('the sets of candidates are what the guarantees were simulated with', () => {
  expect(harmFactors).toEqual([1.25, 1.5, 2, 3, 5, 10, 30, 100])
  expect(safeFactors).toEqual([0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1])
  expect(shareFactors).toEqual([0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2])
})
