// The micro-timings of a running rollout: everything that its evidence does for one request.

import { unitHasher } from '../src/gateway/unitHash.ts'
import {
  bucketOf,
  defaultPolicy,
  drawBucket,
  Evidence,
  judge,
  million,
  parseSource,
  type RolloutPolicy,
  unitIdOf,
  unitOf,
} from '../src/rollouts/index.ts'
import type { Case } from './microCases.ts'

/** A request that goes well, with a millisecond between two of them and two hundred in flight. */
const runner = (policy: RolloutPolicy, units: number, faulty = false): (() => unknown) => {
  const evidence = new Evidence(policy, 0)
  const ids = Array.from({ length: units }, (_, i) => unitIdOf('seed', `unit-${i}`))
  const inFlight: ReturnType<Evidence['admit']>[] = []
  let n = 0
  return () => {
    const now = n++
    const unit = units > 0 ? ids[(n * 7919) % units] : undefined
    const bucket = unit?.high ?? drawBucket(((n * 7919) % 100_003) / 100_003)
    inFlight.push(evidence.admit({ now, bucket, weightPpm: 50_000, unit }))
    if (inFlight.length <= 200) return undefined
    const ticket = inFlight[n % 200]!
    inFlight[n % 200] = inFlight.pop()!
    if (faulty && n % 20 === 0) evidence.fail(ticket, now, 1, 'server_error')
    else {
      const size = 200 + ((n * 31) % 500)
      evidence.begin(ticket, now, size)
      evidence.end(ticket, now, { bits: 0, latency: size * 4, cost: size * 1000, output_tokens: size })
    }
    return evidence.recordOf(ticket)
  }
}

/** After a day with many bad events: what a look at the evidence costs then. */
const judged = (): (() => unknown) => {
  const evidence = new Evidence({ ...defaultPolicy, unit: 'request' }, 0)
  for (let n = 0; n < 86_400; n++) {
    const now = n * 1000
    const ticket = evidence.admit({ now, bucket: drawBucket(((n * 7919) % 100_003) / 100_003), weightPpm: 50_000 })
    if (n % 50 === 0) evidence.fail(ticket, now, 1, 'server_error')
    else {
      evidence.begin(ticket, now, 300)
      evidence.end(ticket, now, { bits: 0, latency: 1000 })
    }
  }
  const conditions = { weightPpm: 50_000, advance: 'non_inferior', minRequests: 1, canaryInStep: 100 } as const
  return () => judge(evidence, conditions)
}

export const rolloutCases = (): Case[] => {
  const sources = [parseSource('header:x-session-id')!, parseSource('body:user')!]
  const facts = { headers: { 'x-session-id': 'b1946ac9-2492-4d23-a0b0-7c1b2f1f4d55' }, wire: {}, apiKey: 'bench' }
  const opening = [parseSource('transcript')!]
  const messages = [
    { role: 'system', content: 'x'.repeat(3000) },
    { role: 'user', content: 'y'.repeat(500) },
  ]
  const spoken = { headers: {}, wire: { messages }, apiKey: 'bench' }
  const hash = unitHasher(Buffer.alloc(32, 7))
  const unit = { ...defaultPolicy, unit: 'request' } as const
  return [
    { name: 'rollout: unit by header, and its place', work: () => unitIdOf('seed', hash(unitOf(sources, facts)!)) },
    { name: 'rollout: unit by the opening of the conversation', work: () => hash(unitOf(opening, spoken)!, 'bench') },
    { name: 'rollout: bucket of a unit', work: () => bucketOf('seed', 'user-4711') < million },
    { name: 'rollout: evidence of a request, unit = request', work: runner(unit, 0) },
    { name: 'rollout: the same with 5 % errors', work: runner(unit, 0, true) },
    { name: 'rollout: evidence of a request, 10,000 users', work: runner({ ...defaultPolicy, unit: 'user' }, 10_000) },
    { name: 'rollout: judge a step after 86,400 requests', work: judged() },
  ]
}
