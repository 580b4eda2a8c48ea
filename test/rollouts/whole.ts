// Scenarios of the whole default policy at once: nine guards, conversations, errors and endings and sizes together.
import { bitOf, defaultPolicy, drawBucket, Evidence, million, type RolloutPolicy } from '../../src/rollouts/index.ts'
import { alpha } from './events.ts'
import { type Draw, normal, type Scenario } from './scenario.ts'
import { open } from './sticky.ts'

const error = bitOf('first_attempt_error')
const late = bitOf('late_error')
const truncated = bitOf('truncated')
const refused = bitOf('refused')

/** How the canary differs, each as a multiple of stable's. */
interface Difference {
  readonly slower?: number
  readonly truncations?: number
}

interface Traffic {
  readonly unit: RolloutPolicy['unit']
  /** Milliseconds to the first byte, in the median. Whole replies take all their time to it. With both, `share` of them are whole replies. */
  readonly stream?: number
  readonly whole?: number
  readonly share?: number
  /** Standard deviation of the logarithm of times. */
  readonly spread?: number
  readonly weights?: readonly number[]
}

function isAborted(
  draw: Draw,
  { unit: kindOfUnit, stream, whole, share = 0.5, spread = 0.5, weights = [0.01, 0.05, 0.25, 0.5] }: Traffic,
  { slower = 1, truncations = 1 }: Difference,
): boolean {
  const evidence = new Evidence({ ...defaultPolicy, unit: kindOfUnit, alpha }, 0)
  const population = open(draw)
  const perStep = 3000
  for (let n = 0; n < weights.length * perStep; n++) {
    const now = n * 1000
    const weightPpm = weights[Math.floor(n / perStep)]! * million
    const unit = kindOfUnit === 'request' ? undefined : population.next(draw)
    const isWhole = stream === undefined || (whole !== undefined && draw() < share)
    const ticket = evidence.admit({ now, bucket: unit?.high ?? drawBucket(draw()), weightPpm, unit, whole: isWhole })
    const took = (isWhole ? whole! : stream) * Math.exp(spread * normal(draw)) * (ticket.canary ? slower : 1)
    const kind = draw()
    if (kind < 0.01) evidence.fail(ticket, now + took / 10, error, 'server_error')
    else {
      evidence.begin(ticket, now + took, isWhole ? undefined : took)
      const latency = isWhole ? took : 4 * took
      const isTruncated = draw() < 0.03 * (ticket.canary ? truncations : 1)
      const bits = kind < 0.015 ? late : isTruncated ? truncated : kind > 0.99 ? refused : 0
      evidence.end(ticket, now + latency, { bits, latency })
    }
    if (evidence.harm) return true
  }
  return false
}

const scenario = (
  name: string,
  traffic: Traffic,
  difference: Difference,
  expect: Scenario['expect'] = 'atMost',
  limit = alpha,
): Scenario => ({
  name: `default policy, ${traffic.unit === 'request' ? 'requests' : 'conversations'}, ${traffic.weights ? 'at 50 %' : 'ramp'}, ${name}`,
  level: 'request',
  expect,
  limit,
  run: (draw) => isAborted(draw, traffic, difference),
})

const quick = { unit: 'conversation', stream: 400 } as const
/** Whole replies of three seconds: many of them have no first byte within five. */
const long = { unit: 'request', whole: 3000 } as const
/** What is late among the whole replies says nothing of the streams' first tokens. */
const mixed = { unit: 'request', stream: 500, whole: 4300 } as const
/** Nearly `slowStart`, from the first one on; and so few of them that streams alone tell how long stable takes. */
const near = { unit: 'request', whole: 4500, spread: 0.05, weights: [0.5] } as const
const few = { ...near, stream: 500, share: 0.03 } as const

export const wholeScenarios: readonly Scenario[] = [
  scenario('A/A', quick, {}),
  scenario('A/A, whole replies of 3 s', long, {}),
  scenario('1.2 times slower where 1.3 is allowed, whole replies of 3 s', long, { slower: 1.2 }),
  scenario('1.2 times slower where 1.3 is allowed, streams among whole replies of 4.3 s', mixed, { slower: 1.2 }),
  scenario('1.2 times slower where 1.3 is allowed, whole replies of 4.5 s', near, { slower: 1.2 }),
  scenario('1.2 times slower where 1.3 is allowed, few whole replies of 4.5 s among streams', few, { slower: 1.2 }),
  scenario('twice as slow', quick, { slower: 2 }, 'atLeast', 0.5),
  scenario('4 times the truncations', quick, { truncations: 4 }, 'atLeast', 0.9),
]
