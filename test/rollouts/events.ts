// Scenarios of bad events alone: constant shares, ramps, outages, replicas, and ratios that differ.
import { million } from '../../src/rollouts/assignment.ts'
import { Guard, type GuardPlan, planGuards } from '../../src/rollouts/guard.ts'
import { harmFactors, Increments } from '../../src/rollouts/increments.ts'
import { ratioInterval } from '../../src/rollouts/interval.ts'
import { defaultPolicy } from '../../src/rollouts/policy.ts'
import { EvidenceProcess } from '../../src/rollouts/process.ts'
import { ShareCheck } from '../../src/rollouts/shareCheck.ts'
import type { Count } from '../../src/rollouts/tally.ts'
import type { Draw, Scenario } from './scenario.ts'

export const alpha = 0.05
export const beta = 0.05

/** A guard that may spend all of alpha, and acts at the first bad event that suffices: harder to keep to than the default. */
export function planOf(r0 = 1, r1 = 2): GuardPlan {
  const guard = { metric: 'first_attempt_error', maxRatio: r0, harmRatio: r1, share: 1, action: 'abort' } as const
  return planGuards({ ...defaultPolicy, alpha, guards: [guard] })[0]!
}
const guardOf = (r0 = 1, r1 = 2): Guard => new Guard(planOf(r0, r1), 0, 1)

/** Whether a bad event is the canary's, at a risk ratio. */
export const isCanarys = (draw: Draw, w: number, ratio: number): boolean => draw() < (w * ratio) / (w * ratio + 1 - w)

/** A stretch of a rollout: its weight, and the rate of bad events of the stable arm in it. */
interface Stretch {
  readonly weight: number
  readonly requests: number
  readonly rate: (part: number) => number
}

const steady =
  (rate: number): Stretch['rate'] =>
  () =>
    rate
const ramp = (rates: readonly Stretch['rate'][], requests = 5000): Stretch[] =>
  [0.01, 0.05, 0.25, 0.5].map((weight, step) => ({ weight, requests, rate: rates[step]! }))
const calm = steady(0.02)
/** 30 % errors in both arms for a tenth of a step. */
const outage: Stretch['rate'] = (part) => (part > 0.4 && part < 0.5 ? 0.3 : 0.02)

/** The bad events of a rollout, one by one. Requests without one are skipped over. Stops where `take` says so. */
function play(
  draw: Draw,
  stretches: readonly Stretch[],
  ratio: number,
  take: (epoch: number, w: number, canary: boolean) => boolean,
) {
  let epoch = 0
  for (const { weight, requests, rate } of stretches) {
    for (let n = 0; n < requests; n++) {
      if (n % 1000 === 0) epoch++
      const p = rate(n / requests) * (weight * ratio + 1 - weight)
      if (draw() < p && take(epoch, weight, isCanarys(draw, weight, ratio))) return true
    }
  }
  return false
}

const constant = (weight: number): Scenario => ({
  name: `A/A, weight ${weight * 100} %, 400 bad events`,
  level: 'event',
  expect: 'atMost',
  limit: alpha,
  run: (draw) => abortsIn(draw, 400, weight, 1, guardOf()),
})

function abortsIn(draw: Draw, events: number, weight: number, ratio: number, guard: Guard): boolean {
  for (let n = 0; n < events; n++) {
    if (guard.addBad(Math.floor(n / 50), weight * million, isCanarys(draw, weight, ratio))) return true
  }
  return false
}

const ramped = (name: string, stretches: readonly Stretch[]): Scenario => ({
  name: `A/A, ramp 1/5/25/50 %, ${name}`,
  level: 'event',
  expect: 'atMost',
  limit: alpha,
  run: (draw) => {
    const guard = guardOf()
    return play(draw, stretches, 1, (epoch, w, canary) => guard.addBad(epoch, w * million, canary))
  },
})

/** Three processes that see a third of the requests each, and learn of the others' counts an epoch late. Each of them may abort. */
const replicas: Scenario = {
  name: 'A/A, ramp, three replicas that merge late',
  level: 'event',
  expect: 'atMost',
  limit: alpha,
  run: (draw) => {
    const parts = [guardOf(), guardOf(), guardOf()]
    const fresh = parts.map(() => new Map<string, Count>())
    let last = 0
    return play(draw, ramp([calm, calm, calm, calm]), 1, (epoch, w, canary) => {
      if (epoch > last) {
        last = epoch
        for (const [from, counts] of fresh.entries()) {
          for (const count of counts.values())
            for (const [to, part] of parts.entries()) if (to !== from) part.merge(count)
          counts.clear()
        }
        if (parts.some((part) => part.isHarm())) return true
      }
      const own = Math.floor(draw() * 3)
      const ppm = w * million
      const key = `${epoch} ${ppm}`
      const count = fresh[own]!.get(key) ?? {
        guard: '',
        epoch,
        ppm,
        seenStable: 0,
        seenCanary: 0,
        badStable: 0,
        badCanary: 0,
      }
      const { badStable, badCanary } = count
      fresh[own]!.set(key, {
        ...count,
        badStable: badStable + (canary ? 0 : 1),
        badCanary: badCanary + (canary ? 1 : 0),
      })
      return parts[own]!.addBad(epoch, ppm, canary)
    })
  },
}

/** Whether 600 bad events of a canary with a given ratio rule harm out, at any time. */
function isPromoted(draw: Draw, weight: number, ratio: number, r1: number): boolean {
  const guard = guardOf(1, r1)
  for (let n = 0; n < 600; n++) {
    guard.addBad(0, weight * million, isCanarys(draw, weight, ratio))
    if (guard.isSafe(beta)) return true
  }
  return false
}

/** The interval that is shown has to hold the truth at all times. */
const coverage = (ratio: number): Scenario => ({
  name: `interval of the ratio, ramp, true ratio ${ratio}: ever wrong`,
  level: 'request',
  expect: 'atMost',
  limit: alpha,
  run: (draw) => {
    const shares = [0.01, 0.05, 0.25, 0.5].map((w) => ({ ppm: w * million, badStable: 0, badCanary: 0 }))
    let n = 0
    return play(draw, ramp([calm, calm, calm, calm], 2500), ratio, (_, w, canary) => {
      const share = shares.find(({ ppm }) => ppm === w * million)!
      if (canary) share.badCanary++
      else share.badStable++
      if (++n % 10 !== 0) return false
      const { lower, upper } = ratioInterval(shares, alpha)
      return ratio < lower || ratio > upper
    })
  },
})

const shareOf = (name: string, truth: number, expect: 'atMost' | 'atLeast', limit: number): Scenario => ({
  name,
  level: 'event',
  expect,
  limit,
  run: (draw) => {
    const check = new ShareCheck(alpha)
    for (let n = 0; n < 2000; n++) {
      check.see(0, 50_000, draw() < truth)
      if (n % 10 === 9 && check.isWrong) return true
    }
    return false
  },
})

export const eventScenarios: readonly Scenario[] = [
  ...[0.01, 0.05, 0.25, 0.5].map(constant),
  ramped('rate 2 %', ramp([calm, calm, calm, calm])),
  ramped('outage of both arms in the 1 % step', ramp([outage, calm, calm, calm])),
  ramped('outage of both arms in the 25 % step', ramp([calm, calm, outage, calm])),
  ramped('outage of both arms in the 50 % step', ramp([calm, calm, calm, outage])),
  ramped(
    'rate drifting from 0.5 to 6 %',
    ramp(
      [0.005, 0.01, 0.02, 0.04].map(
        (rate): Stretch['rate'] =>
          (part) =>
            rate * (1 + part / 2),
      ),
    ),
  ),
  replicas,
  {
    name: 'ratio exactly at the allowed 1.5, weight 25 %',
    level: 'event',
    expect: 'atMost',
    limit: alpha,
    run: (draw) => abortsIn(draw, 400, 0.25, 1.5, guardOf(1.5)),
  },
  {
    name: 'half the errors, ramp: aborted',
    level: 'event',
    expect: 'atMost',
    limit: alpha,
    run: (draw) => {
      const guard = guardOf()
      return play(draw, ramp([calm, calm, calm, calm]), 0.5, (epoch, w, canary) =>
        guard.addBad(epoch, w * million, canary),
      )
    },
  },
  ...[0.05, 0.5].map(
    (weight): Scenario => ({
      name: `ratio exactly at the harmful 2, weight ${weight * 100} %: found non-inferior`,
      level: 'event',
      expect: 'atMost',
      limit: beta,
      run: (draw) => isPromoted(draw, weight, 2, 2),
    }),
  ),
  {
    name: 'equal arms, weight 50 %, 600 bad events: found non-inferior to 2',
    level: 'event',
    expect: 'atLeast',
    limit: 0.97,
    run: (draw) => isPromoted(draw, 0.5, 1, 2),
  },
  {
    name: '3 times the errors, ramp: aborted',
    level: 'event',
    expect: 'atLeast',
    limit: 0.99,
    run: (draw) => {
      const guard = guardOf()
      return play(draw, ramp([calm, calm, calm, calm]), 3, (epoch, w, canary) =>
        guard.addBad(epoch, w * million, canary),
      )
    },
  },
  coverage(1),
  coverage(3),
  shareOf('share check, right share', 0.05, 'atMost', alpha),
  shareOf('share check, 10 % instead of 5 %', 0.1, 'atLeast', 0.99),
]

/** Bad events until a plain process, all from the first event on, finds harm at alpha = 1 %. */
export function delayOf(draw: Draw, weight: number, ratio: number): number {
  const process = new EvidenceProcess(harmFactors.length, false)
  const table = new Increments(1, harmFactors).of(weight * million)
  const limit = Math.log(100)
  for (let n = 1; n < 50_000; n++) {
    const canary = isCanarys(draw, weight, ratio)
    process.add(0, table, canary ? harmFactors.length : 0)
    if (canary && process.bound() >= limit && process.logEvidence() >= limit) return n
  }
  return Number.POSITIVE_INFINITY
}

/** Requests from a late regression, 5 times the errors after 40,000 good requests at 5 %, until it is found. Epochs of 4000 requests. */
export function lateDelay(draw: Draw, restarts: boolean): number {
  const process = new EvidenceProcess(harmFactors.length, restarts)
  const table = new Increments(1, harmFactors).of(0.05 * million)
  const limit = Math.log(1 / alpha)
  for (let n = 0; n < 140_000; n++) {
    const ratio = n < 40_000 ? 1 : 5
    if (draw() >= 0.02 * (0.05 * ratio + 0.95)) continue
    const canary = isCanarys(draw, 0.05, ratio)
    process.add(Math.floor(n / 4000), table, canary ? harmFactors.length : 0)
    if (canary && process.logEvidence() >= limit) return n < 40_000 ? Number.POSITIVE_INFINITY : n - 40_000
  }
  return Number.POSITIVE_INFINITY
}
