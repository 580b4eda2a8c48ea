// Scenarios of whole requests of units that stay on their arm: errors come in bursts, and users leave the ranks of the clean.
import { bitOf, defaultPolicy, Evidence, million, type RolloutPolicy } from '../../src/rollouts/index.ts'
import type { UnitId } from '../../src/rollouts/unitTable.ts'
import { alpha, beta } from './events.ts'
import type { Draw, Scenario } from './scenario.ts'

export interface Population {
  readonly name: string
  /** The unit of a request, and how many requests it has made before. */
  next(draw: Draw): Unit
}

interface Unit extends UnitId {
  /** Bad requests of its burst that are still to come. */
  burst: number
  /** How much more often than others its bursts begin. */
  frailty: number
}

const unit = (draw: Draw, frailty = 1): Unit => ({
  high: Math.floor(draw() * 2 ** 32),
  low: Math.floor(draw() * 2 ** 32),
  burst: 0,
  frailty,
})

/** The same users all the time. */
export function closed(draw: Draw, users: number, frail = false): Population {
  const units = Array.from({ length: users }, () => unit(draw, frail ? (draw() < 0.1 ? 7.3 : 0.3) : 1))
  return { name: `${users} users`, next: (random) => units[Math.floor(random() * users)]! }
}

/** Conversations of 20 turns, a hundred at a time. */
export function open(draw: Draw): Population {
  const units = Array.from({ length: 100 }, () => ({ unit: unit(draw), turns: Math.floor(draw() * 20) }))
  return {
    name: 'conversations',
    next: (random) => {
      const place = units[Math.floor(random() * units.length)]!
      if (place.turns === 20) {
        place.unit = unit(random)
        place.turns = 0
      }
      place.turns++
      return place.unit
    },
  }
}

export interface Course {
  readonly weightPpm: number
  readonly requests: number
  /** Canary's rate of bursts, as a multiple of stable's. */
  readonly ratio: number
  /** Chance that a burst begins with a request. */
  readonly rate: number
  readonly r0?: number
}

const error = bitOf('first_attempt_error')

export function policyOf(unitKind: RolloutPolicy['unit'], r0 = 1): RolloutPolicy {
  const guard = { metric: 'first_attempt_error', maxRatio: r0, harmRatio: 2, share: 1, action: 'abort' } as const
  return { ...defaultPolicy, unit: unitKind, alpha, beta, guards: [guard], hard: [], minBadEvents: 1 }
}

/** Whether a request is bad; a burst is eight bad requests in a row. */
export function isBad(draw: Draw, who: Unit, rate: number): boolean {
  if (who.burst > 0) {
    who.burst--
    return true
  }
  if (draw() >= rate * who.frailty) return false
  who.burst = 7
  return true
}

/** Runs a rollout until `isOver` says so after a bad event; false when it never does. */
export function rollOut(
  draw: Draw,
  population: Population,
  policy: RolloutPolicy,
  { weightPpm, requests, ratio, rate }: Course,
  isOver: (evidence: Evidence) => boolean,
): boolean {
  const evidence = new Evidence(policy, 0)
  for (let n = 0; n < requests; n++) {
    const who = population.next(draw)
    const now = n * 100
    const ticket = evidence.admit({ now, bucket: who.high, weightPpm, unit: who })
    if (isBad(draw, who, ticket.canary ? rate * ratio : rate)) {
      evidence.fail(ticket, now, error, 'server_error')
      if (isOver(evidence)) return true
    } else {
      evidence.begin(ticket, now, undefined)
      evidence.end(ticket, now, { bits: 0 })
    }
  }
  return false
}

export const isAborted = (evidence: Evidence): boolean => evidence.harm !== undefined
export const isSafe = (evidence: Evidence): boolean => evidence.guards[0]!.isSafe(beta)

const scenario = (
  name: string,
  limit: number,
  populate: (draw: Draw) => Population,
  course: Course,
  isOver: (evidence: Evidence) => boolean,
  expect: Scenario['expect'] = 'atMost',
): Scenario => ({
  name,
  level: 'request',
  expect,
  limit,
  run: (draw) => rollOut(draw, populate(draw), policyOf('user', course.r0), course, isOver),
})

const half = million / 2
/** By their ends two thirds of the units have had a bad event. */
const populations: readonly [string, number, (draw: Draw) => Population][] = [
  ['300 fixed users', 0.03, (draw) => closed(draw, 300)],
  ['conversations of 20 turns', 0.05, open],
]
const course = { weightPpm: half, requests: 12_000, rate: 0.01 }

export const stickyScenarios: readonly Scenario[] = [
  ...populations.flatMap(([name, rate, populate]) => {
    const course = { weightPpm: half, requests: 12_000, rate }
    return [
      scenario(`sticky, ${name}, A/A at 50 %`, alpha, populate, { ...course, ratio: 1 }, isAborted),
      scenario(`sticky, ${name}, A/A at 5 %`, alpha, populate, { ...course, weightPpm: 50_000, ratio: 1 }, isAborted),
      scenario(`sticky, ${name}, half the errors`, alpha, populate, { ...course, ratio: 0.5 }, isAborted),
      scenario(`sticky, ${name}, 0.8 of the errors`, alpha, populate, { ...course, ratio: 0.8 }, isAborted),
      scenario(`sticky, ${name}, at the allowed 1.5`, alpha, populate, { ...course, ratio: 1.5, r0: 1.5 }, isAborted),
      scenario(
        `sticky, ${name}, at the harmful 2: found non-inferior`,
        beta,
        populate,
        { ...course, ratio: 2 },
        isSafe,
      ),
    ]
  }),
  scenario(
    'sticky, 3000 users, A/A at 0.5 %',
    alpha,
    (draw) => closed(draw, 3000),
    { weightPpm: 5000, requests: 36_000, rate: 0.05, ratio: 1 },
    isAborted,
  ),
  scenario(
    'sticky, conversations, at the harmful 2 at 5 %: found non-inferior',
    beta,
    open,
    { weightPpm: 50_000, requests: 30_000, rate: 0.05, ratio: 2 },
    isSafe,
  ),
  scenario(
    'sticky, 1000 fixed users, at the harmful 2 at 5 %: found non-inferior',
    beta,
    (draw) => closed(draw, 1000),
    { weightPpm: 50_000, requests: 40_000, rate: 0.03, ratio: 2 },
    isSafe,
  ),
  scenario(
    'sticky, conversations, 3 times the errors at 5 %',
    0.95,
    open,
    { ...course, weightPpm: 50_000, requests: 30_000, ratio: 3 },
    isAborted,
    'atLeast',
  ),
  scenario(
    'sticky, conversations, equal arms at 50 %: found non-inferior',
    0.9,
    open,
    { ...course, requests: 30_000, ratio: 1 },
    isSafe,
    'atLeast',
  ),
]

/** Beyond what is promised: users of very different proneness. Reported, not asserted. */
export const frailScenario = scenario(
  'users of whom a tenth has 24 times the errors, at the harmful 2: found non-inferior',
  beta,
  (draw) => closed(draw, 300, true),
  { ...course, ratio: 2 },
  isSafe,
)
