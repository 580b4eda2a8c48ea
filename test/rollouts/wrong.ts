// Methods that are known to be wrong: the suite has to find them out by the same measure that the right ones pass.
import { million, thresholdOf } from '../../src/rollouts/assignment.ts'
import { Guard } from '../../src/rollouts/guard.ts'
import { alpha, beta, isCanarys, planOf } from './events.ts'
import type { Draw, Scenario } from './scenario.ts'
import { closed, isBad, open, type Population } from './sticky.ts'
import { answers } from './timed.ts'

/** The usual test of two proportions on all that was seen so far, looked at after every hundred requests. */
function pooledTest(draw: Draw): boolean {
  const bad = [0, 0]
  const seen = [0, 0]
  for (let n = 1; n <= 20_000; n++) {
    const arm = draw() < 0.05 ? 1 : 0
    seen[arm]!++
    if (draw() < 0.02) bad[arm]!++
    if (n % 100 !== 0 || seen[1]! < 10) continue
    const [stable, canary] = [bad[0]! / seen[0]!, bad[1]! / seen[1]!]
    const p = (bad[0]! + bad[1]!) / n
    const error = Math.sqrt(p * (1 - p) * (1 / seen[0]! + 1 / seen[1]!))
    if (error > 0 && (canary - stable) / error > 1.6449) return true
  }
  return false
}

interface Careless {
  readonly weight: number
  readonly ratio: number
  readonly rate: number
  readonly requests: number
  /** Count a unit's later bad events, too. */
  readonly all?: boolean
}

/** Sticky units judged by hand, with the mistake in question. */
function careless(draw: Draw, population: Population, how: Careless, isOver: (guard: Guard) => boolean): boolean {
  const guard = new Guard(planOf(1, 2), 0, 1)
  const dirty = new Set<number>()
  for (let n = 0; n < how.requests; n++) {
    const unit = population.next(draw)
    const canary = unit.high < thresholdOf(how.weight * million)
    const isDirty = dirty.has(unit.low)
    if (!isBad(draw, unit, canary ? how.rate * how.ratio : how.rate)) continue
    if (isDirty && !how.all) continue
    dirty.add(unit.low)
    guard.addBad(0, how.weight * million, canary)
    if (isOver(guard)) return true
  }
  return false
}

const wrong = (name: string, level: Scenario['level'], limit: number, run: Scenario['run']): Scenario => ({
  name: `WRONG: ${name}`,
  level,
  expect: 'above',
  limit,
  run,
})

export const wrongScenarios: readonly Scenario[] = [
  wrong('pooled z test every 100 requests, A/A', 'request', alpha, pooledTest),
  wrong('every bad event of sticky users, A/A at 50 %', 'request', alpha, (draw) =>
    careless(draw, closed(draw, 300), { weight: 0.5, ratio: 1, rate: 0.03, requests: 12_000, all: true }, (guard) =>
      guard.isHarm(),
    ),
  ),
  wrong(
    'first bad events by the assigned weight, 300 fixed users at the harmful 2: found non-inferior',
    'request',
    beta,
    (draw) =>
      careless(draw, closed(draw, 300), { weight: 0.5, ratio: 2, rate: 0.03, requests: 12_000 }, (guard) =>
        guard.isSafe(beta),
      ),
  ),
  wrong(
    'first bad events by the assigned weight, conversations at the harmful 2: found non-inferior',
    'request',
    beta,
    (draw) =>
      careless(draw, open(draw), { weight: 0.5, ratio: 2, rate: 0.05, requests: 12_000 }, (guard) =>
        guard.isSafe(beta),
      ),
  ),
  wrong('order of the answers, canary 4 times faster', 'event', alpha, (draw) => {
    const guard = new Guard(planOf(), 0, 1)
    return answers(draw, 4).some(({ isBad: bad, canary }) => bad && guard.addBad(0, million / 2, canary))
  }),
]

/** Arms swapped: the one that was harmful is the one that is kept. */
export function isAbortedWith(draw: Draw, ratio: number, weight = 0.5): { harm: boolean; safe: boolean } {
  const guard = new Guard(planOf(), 0, 1)
  let safe = false
  for (let n = 0; n < 400; n++) {
    if (guard.addBad(0, weight * million, isCanarys(draw, weight, ratio))) return { harm: true, safe }
    safe ||= guard.isSafe(beta)
  }
  return { harm: false, safe }
}
