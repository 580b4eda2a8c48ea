// What a scenario of the simulation is, how often it is run, and what it has to show.
import { drawOf } from '../support/draws.ts'

/** Uniform in [0, 1). */
export type Draw = () => number

export interface Scenario {
  readonly name: string
  /** Events alone are cheap; whole requests are not. */
  readonly level: 'event' | 'request'
  /**
   * `atMost`: a guarantee, the rate may lie above `limit` by three standard errors only. `above`: a method known to be wrong, which has to
   * be found out by the same measure. `atLeast`: power.
   */
  readonly expect: 'atMost' | 'above' | 'atLeast'
  readonly limit: number
  /** One run: whether what is counted has happened. */
  run(draw: Draw): boolean
}

export interface Outcome {
  readonly scenario: Scenario
  readonly runs: number
  readonly rate: number
  /** What the rate is compared with. */
  readonly bound: number
  readonly isAsExpected: boolean
}

export interface Sizes {
  readonly event: number
  readonly request: number
  /** Runs for a median. */
  readonly delay: number
}

/** With every commit, and in the night. */
export const quick: Sizes = { event: 1000, request: 60, delay: 100 }
export const nightly: Sizes = { event: 10_000, request: 1500, delay: 1000 }

/** Each run has a seed of its own, so that one run can be repeated alone. */
export function simulate(scenario: Scenario, sizes: Sizes): Outcome {
  const runs = sizes[scenario.level]
  const seed = seedOf(scenario.name)
  let hits = 0
  for (let i = 0; i < runs; i++) if (scenario.run(drawOf(seed + i * 7919))) hits++
  const rate = hits / runs
  const { limit, expect } = scenario
  const slack = 3 * Math.sqrt((limit * (1 - limit)) / runs)
  const bound = expect === 'atLeast' ? limit : limit + slack
  return { scenario, runs, rate, bound, isAsExpected: expect === 'atMost' ? rate <= bound : rate > bound || rate === 1 }
}

/** What runs give, least first; those that never come are infinite. */
export function valuesOf(name: string, runs: number, run: (draw: Draw) => number): Float64Array {
  const seed = seedOf(name)
  return Float64Array.from({ length: runs }, (_, i) => run(drawOf(seed + i * 7919))).sort()
}

export const quantileOf = (values: Float64Array, p: number): number => values[Math.floor(values.length * p)]!

function seedOf(name: string): number {
  let seed = 17
  for (let i = 0; i < name.length; i++) seed = (Math.imul(seed, 31) + name.charCodeAt(i)) | 0
  return seed
}

/** A standard normal number (Box and Muller, 1958). */
export const normal = (draw: Draw): number => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw())

export const exponential = (draw: Draw, mean: number): number => -mean * Math.log(1 - draw())
