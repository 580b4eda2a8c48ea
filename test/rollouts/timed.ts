// Scenarios in which time matters: an arm that answers faster, and sizes that are compared.
import { bitOf, defaultPolicy, Evidence, million, type RolloutPolicy } from '../../src/rollouts/index.ts'
import { alpha } from './events.ts'
import { type Draw, exponential, normal, type Scenario } from './scenario.ts'
import { policyOf } from './sticky.ts'

const error = bitOf('first_attempt_error')

/** Requests with a hundred in flight, of which a part fails when it is answered, in order of the answers. */
export function answers(draw: Draw, speedup: number, requests = 800) {
  const list = Array.from({ length: requests }, (_, n) => {
    const canary = draw() < 0.5
    const at = n * 10
    return {
      canary,
      at,
      end: at + Math.min(4900, exponential(draw, canary ? 1000 / speedup : 1000)),
      isBad: draw() < 0.2,
    }
  })
  return list.sort((a, b) => a.end - b.end)
}

/** Arrivals and answers through the evidence, in the order of the clock. */
function abortsInTime(draw: Draw, speedup: number): boolean {
  const evidence = new Evidence(policyOf('request'), 0)
  const byEnd = answers(draw, speedup)
  const byStart = byEnd.map((one) => ({ ...one, ticket: undefined as ReturnType<Evidence['admit']> | undefined }))
  const arrivals = [...byStart].sort((a, b) => a.at - b.at)
  let arrived = 0
  for (const one of byStart) {
    while (arrived < arrivals.length && arrivals[arrived]!.at <= one.end) {
      const next = arrivals[arrived++]!
      next.ticket = evidence.admit({ now: next.at, bucket: next.canary ? 0 : 2 ** 32 - 1, weightPpm: million / 2 })
    }
    if (one.isBad) evidence.fail(one.ticket!, one.end, error, 'server_error')
    else {
      evidence.begin(one.ticket!, one.end, undefined)
      evidence.end(one.ticket!, one.end, { bits: 0 })
    }
    if (evidence.harm) return true
  }
  return false
}

export function latencyPolicy(maxRatio: number, unit: RolloutPolicy['unit'] = 'request'): RolloutPolicy {
  const guard = { metric: 'latency', quantiles: [0.5, 0.9, 0.95, 0.99], maxRatio, share: 1, action: 'abort' } as const
  return { ...defaultPolicy, unit, alpha, guards: [guard], hard: [], minBadEvents: 1 }
}

/** Lognormal latencies, sigma 0.6, shared drift of 1 to 1.8; requests of the canary until it is found, or Infinity. */
export function latencyDelay(
  draw: Draw,
  weights: readonly number[],
  slower: number,
  maxRatio: number,
  perStep = 2500,
): number {
  const evidence = new Evidence(latencyPolicy(maxRatio), 0)
  let canaries = 0
  const whole = weights.length * perStep
  for (let n = 0; n < whole; n++) {
    const now = n * 100
    const weightPpm = weights[Math.floor(n / perStep)]! * million
    const ticket = evidence.admit({ now, bucket: Math.floor(draw() * 2 ** 32), weightPpm })
    if (ticket.canary) canaries++
    const drift = 1.4 - 0.4 * Math.cos((2 * Math.PI * n) / 3000)
    evidence.begin(ticket, now, undefined)
    evidence.end(ticket, now, {
      bits: 0,
      latency: 1000 * drift * Math.exp(0.6 * normal(draw)) * (ticket.canary ? slower : 1),
    })
    if (evidence.harm) return canaries
  }
  return Number.POSITIVE_INFINITY
}

const ramp = [0.01, 0.05, 0.25, 0.5]
const latency = (
  name: string,
  slower: number,
  maxRatio: number,
  expect: Scenario['expect'],
  limit: number,
): Scenario => ({
  name: `latency, ramp 1/5/25/50 %, shared drift, ${name}`,
  level: 'request',
  expect,
  limit,
  run: (draw) => latencyDelay(draw, ramp, slower, maxRatio) < Number.POSITIVE_INFINITY,
})

export const timedScenarios: readonly Scenario[] = [
  {
    name: 'canary 4 times faster, same errors, 100 in flight',
    level: 'event',
    expect: 'atMost',
    limit: alpha,
    run: (draw) => abortsInTime(draw, 4),
  },
  latency('A/A', 1, 1, 'atMost', alpha),
  latency('1.2 times slower, 1.25 allowed', 1.2, 1.25, 'atMost', alpha),
  latency('exactly as slow as allowed, 1.25', 1.25, 1.25, 'atMost', alpha),
  latency('1.3 times slower, 1 allowed', 1.3, 1, 'atLeast', 0.97),
]
