// The evidence at work: what counts, in which order, when it is enough, and that it survives.

import { describe, expect, it } from 'vitest'
import {
  bitOf,
  breakerOpen,
  countsOf,
  defaultPolicy,
  Evidence,
  type EvidenceRecord,
  faultsOf,
  judge,
  metrics,
  million,
  namesOf,
  type RolloutPolicy,
  RowFolder,
  reportOf,
  type Ticket,
  unitIdOf,
} from '../src/rollouts/index.ts'
import { drawOf } from './support/draws.ts'
import fc from './support/seededCheck.ts'

const error = bitOf('first_attempt_error')
const noon = Date.UTC(2026, 0, 5, 12)
const canaryBucket = 0
const stableBucket = 2 ** 32 - 1

const policyOf = (over: Partial<RolloutPolicy> = {}): RolloutPolicy => ({ ...defaultPolicy, unit: 'request', ...over })
const errorsOnly = policyOf({
  guards: [{ metric: 'first_attempt_error', maxRatio: 1, harmRatio: 2, share: 0.4, action: 'abort' }],
})

/** Drives an evidence by a clock of its own. */
function drive(policy = errorsOnly) {
  const evidence = new Evidence(policy, noon)
  const records: EvidenceRecord[] = []
  let now = noon
  const arrive = (canary: boolean, more: { weightPpm?: number; unit?: string; whole?: boolean } = {}): Ticket => {
    const unit = more.unit === undefined ? undefined : unitIdOf('seed', more.unit)
    return evidence.admit({
      now,
      bucket: canary ? canaryBucket : stableBucket,
      weightPpm: more.weightPpm ?? 50_000,
      unit,
      whole: more.whole ?? false,
    })
  }
  const settle = (ticket: Ticket, bits = 0, sizes: { latency?: number } = {}) => {
    evidence.end(ticket, now, { bits, ...sizes })
    records.push(evidence.recordOf(ticket))
  }
  return {
    evidence,
    records,
    arrive,
    settle,
    wait: (ms: number) => {
      now += ms
    },
    now: () => now,
    good(
      canary: boolean,
      more: { weightPpm?: number; unit?: string; ttft?: number; bits?: number; latency?: number } = {},
    ) {
      const ticket = arrive(canary, more)
      evidence.begin(ticket, now, more.ttft ?? 300)
      settle(ticket, more.bits, { latency: more.latency ?? 1000 })
    },
    bad(canary: boolean, more: { weightPpm?: number; unit?: string; kind?: string } = {}) {
      const ticket = arrive(canary, more)
      evidence.fail(ticket, now, error, more.kind ?? 'server_error')
      settle(ticket)
    },
  }
}
const conditions = { weightPpm: 50_000, advance: 'no_harm', minRequests: 0, canaryInStep: 100 } as const
const guardOf = (evidence: Evidence, id: string) => evidence.guards.find(({ plan }) => plan.id === id)!

describe('a dead canary', () => {
  it('is out after three failures at five percent, where stable had none', () => {
    const one = drive()
    for (let i = 0; i < 57; i++) one.good(false)
    one.bad(true)
    one.bad(true)
    expect(one.evidence.harm).toBeUndefined()
    one.bad(true)
    expect(one.evidence.harm?.cause).toBe('guard')
    const decision = judge(one.evidence, conditions)
    expect(decision).toMatchObject({ action: 'rollback', cause: 'guard', guard: 'first_attempt_error' })
    // Half of the plain 876.983: the mixture over restarts has spent half on the epochs to come.
    expect(decision.reason).toBe(
      'first_attempt_error: 3 of 3 bad events on the canary at 5 % weight, observed ratio unbounded, for stable had none, allowed 1x; ' +
        'evidence 438 : 1, limit 250 : 1 (alpha 1 %, share 0.4)',
    )
  })

  it('says the ratio where stable had some', () => {
    const one = drive()
    one.bad(false)
    for (let i = 0; i < 4; i++) one.bad(true)
    expect(judge(one.evidence, conditions).reason).toContain(
      '4 of 5 bad events on the canary at 5 % weight, observed ratio 76x, allowed 1x; evidence',
    )
  })

  it('is not judged by fewer bad events than the floor, however clear they are', () => {
    const one = drive({ ...errorsOnly, minBadEvents: 5 })
    for (let i = 0; i < 4; i++) one.bad(true)
    expect(one.evidence.harm).toBeUndefined()
    one.bad(true)
    expect(one.evidence.harm).toBeDefined()
  })

  it('that hangs is found by the clock alone', () => {
    const one = drive(policyOf())
    for (let i = 0; i < 5; i++) one.arrive(true)
    one.wait(4999)
    one.evidence.tick(one.now())
    expect(one.evidence.harm).toBeUndefined()
    one.wait(1)
    one.evidence.tick(one.now())
    expect(judge(one.evidence, conditions)).toMatchObject({ action: 'rollback', guard: 'slow_start' })
  })
})

describe('a better canary', () => {
  it('is never harm, and is shown not to be', () => {
    const one = drive()
    for (let i = 0; i < 2000; i++) one.bad(false)
    expect(one.evidence.harm).toBeUndefined()
    expect(guardOf(one.evidence, 'first_attempt_error').logHarm).toBeLessThan(0)
    expect(judge(one.evidence, { ...conditions, advance: 'non_inferior', accepted: ['srm'] }).action).toBe('advance')
  })
})

describe('an outage of both arms', () => {
  it('rolls nothing back', () => {
    const one = drive({ ...errorsOnly, alpha: 0.05 })
    const draw = drawOf(11)
    for (let i = 0; i < 5000; i++) one.bad(draw() < 0.05)
    expect(one.evidence.harm).toBeUndefined()
  })

  it('rolls nothing back by the hard rule, which wants stable to be well', () => {
    const one = drive()
    for (let i = 0; i < 200; i++) one.bad(i % 20 === 0, { kind: 'auth_failed' })
    expect(one.evidence.harm).toBeUndefined()
    const alone = drive({ ...errorsOnly, minBadEvents: 1000 })
    for (let i = 0; i < 3; i++) {
      alone.good(false)
      alone.bad(true, { kind: i === 0 ? 'auth_failed' : breakerOpen })
    }
    alone.good(false)
    expect(alone.evidence.harm).toMatchObject({ cause: 'hard' })
    expect(judge(alone.evidence, conditions).reason).toBe(
      '3 first attempts on the canary in a row failed with auth_failed, which does not heal by itself',
    )
  })

  it('is told from a run of hard faults by a success between them', () => {
    const one = drive({ ...errorsOnly, minBadEvents: 1000 })
    for (let i = 0; i < 9; i++) {
      one.good(false)
      if (i % 3 === 2) one.good(true)
      else one.bad(true, { kind: 'model_not_found' })
    }
    expect(one.evidence.harm).toBeUndefined()
  })
})

describe('the order of things', () => {
  it('is that of arrival: what is known early waits for what came before', () => {
    const one = drive()
    const slow = one.arrive(false)
    const tickets = Array.from({ length: 3 }, () => one.arrive(true))
    for (const ticket of tickets) one.evidence.fail(ticket, one.now(), error, 'server_error')
    expect(one.evidence.harm).toBeUndefined()
    expect(one.evidence.waiting.start).toBe(4)
    one.evidence.begin(slow, one.now(), 100)
    expect(one.evidence.harm).toBeDefined()
    expect(one.evidence.waiting.start).toBe(0)
  })

  it('is kept however many wait', () => {
    const one = drive()
    const tickets = Array.from({ length: 1000 }, (_, i) => one.arrive(i % 2 === 0))
    for (const ticket of tickets.slice(1)) one.evidence.begin(ticket, one.now(), 300)
    expect(one.evidence.waiting).toEqual({ start: 1000, end: 1000 })
    expect(one.evidence.canary).toBe(0)
    for (const ticket of tickets.toReversed()) one.evidence.fail(ticket, one.now(), error, 'server_error')
    expect([one.evidence.canary, one.evidence.stable]).toEqual([500, 500])
    expect(guardOf(one.evidence, 'first_attempt_error').tally).toMatchObject({ seenCanary: 500, badCanary: 1 })
    expect(one.evidence.waiting).toEqual({ start: 0, end: 0 })
  })

  it('lets nobody wait longer than the bound', () => {
    const one = drive()
    one.arrive(false)
    one.wait(3000)
    for (let i = 0; i < 3; i++) one.bad(true)
    one.wait(1999)
    one.evidence.tick(one.now())
    expect(one.evidence.harm).toBeUndefined()
    one.wait(1)
    one.evidence.tick(one.now())
    expect(one.evidence.harm).toBeDefined()
  })

  it('decides what is late by its own times, however seldom the clock looks', () => {
    const one = drive(policyOf())
    const ticket = one.arrive(true)
    one.wait(6000)
    one.evidence.begin(ticket, one.now(), 6000)
    expect(guardOf(one.evidence, 'slow_start').tally.badCanary).toBe(1)
    const other = one.arrive(true)
    one.wait(5500)
    one.evidence.fail(other, one.now(), error, 'first_token_timeout')
    one.settle(ticket)
    expect(guardOf(one.evidence, 'slow_start').tally.badCanary).toBe(2)
    expect(guardOf(one.evidence, 'first_attempt_error').tally.badCanary).toBe(0)
    expect(guardOf(one.evidence, 'late_error').tally.badCanary).toBe(1)
  })

  it('is patient with whole replies from the first one of stable on, also with those that came before it, and not with streams for that', () => {
    const one = drive(policyOf())
    const arms = [false, true].flatMap((canary) =>
      Array.from({ length: 10 }, () => one.arrive(canary, { whole: true })),
    )
    const streams = Array.from({ length: 3 }, () => one.arrive(true))
    const begin = (tickets: readonly Ticket[]) => {
      for (const ticket of tickets) {
        one.evidence.begin(ticket, one.now(), undefined)
        one.settle(ticket)
      }
    }
    one.wait(4900)
    begin(arms.slice(0, 10))
    one.wait(600)
    one.evidence.tick(one.now())
    one.wait(400)
    begin(arms.slice(10))
    for (const stream of streams) one.settle(stream)
    const { badStable, badCanary, seenCanary } = guardOf(one.evidence, 'slow_start').tally
    expect([badStable, badCanary, seenCanary]).toEqual([0, 3, 13])
  })

  it('is patient where stable itself takes long to begin, for both arms alike', () => {
    const one = drive(policyOf())
    const wait = (canary: boolean, ms: number) => {
      const ticket = one.arrive(canary)
      one.wait(ms)
      one.evidence.begin(ticket, one.now(), undefined)
      one.settle(ticket)
      return ticket
    }
    for (let i = 0; i < 100; i++) wait(false, 8000)
    const slow = () => guardOf(one.evidence, 'slow_start').tally
    const { badStable } = slow()
    // The first one alone: from then on it is known.
    expect(badStable).toBe(1)
    for (let i = 0; i < 20; i++) wait(i % 2 === 0, 16_000)
    expect(slow()).toMatchObject({ badCanary: 0, badStable })
    expect(slow().seenCanary).toBe(10)
    // Three times stable's, and 1.3 times that where a canary may be 1.3 times as slow.
    wait(true, 30_000)
    expect(slow().badCanary).toBe(0)
    wait(true, 33_000)
    expect(slow().badCanary).toBe(1)
    const hanging = one.arrive(true)
    one.wait(30_000)
    one.evidence.tick(one.now())
    expect(slow().badCanary).toBe(1)
    // It is not waited for until its end, whenever that is.
    one.wait(3000)
    one.evidence.tick(one.now())
    expect(slow().badCanary).toBe(2)
    one.settle(hanging)
    expect(guardOf(one.evidence, 'first_attempt_error').tally.badCanary).toBe(0)
    // Whoever leaves before that has seen nothing bad.
    for (const [ms, bad] of [
      [20_000, 2],
      [33_000, 3],
    ] as const) {
      const left = one.arrive(true)
      one.wait(ms)
      one.evidence.leave(left, one.now())
      one.wait(60_000)
      one.settle(left)
      expect(slow().badCanary).toBe(bad)
    }
    const again = new Evidence(one.evidence.policy, noon)
    again.merge(countsOf(one.evidence.policy, one.records))
    expect(again.counts()).toEqual(one.evidence.counts())
  })

  it('takes a start before its arrival, where the clock was set back, for one at once', () => {
    const one = drive(policyOf())
    const early = one.arrive(false)
    one.wait(-1000)
    one.evidence.begin(early, one.now(), undefined)
    one.settle(early)
    const hanging = one.arrive(true)
    one.wait(5000)
    one.evidence.tick(one.now())
    expect(guardOf(one.evidence, 'slow_start').tally.badCanary).toBe(1)
    one.settle(hanging)
  })

  it('takes the epoch of the arrival', () => {
    const one = drive()
    one.wait(599_000)
    const ticket = one.arrive(true)
    one.wait(2000)
    one.evidence.fail(ticket, one.now(), error, 'server_error')
    expect(one.evidence.recordOf(ticket).epoch).toBe(noon / 600_000)
  })
})

describe('what counts', () => {
  it('is the first bad event of a unit', () => {
    const one = drive({ ...errorsOnly, unit: 'user' })
    for (let i = 0; i < 10; i++) one.bad(true, { unit: 'ann' })
    expect(guardOf(one.evidence, 'first_attempt_error').tally).toMatchObject({ seenCanary: 1, badCanary: 1 })
    one.bad(true, { unit: 'bob' })
    one.bad(true)
    expect(guardOf(one.evidence, 'first_attempt_error').tally).toMatchObject({ seenCanary: 3, badCanary: 3 })
    expect(one.evidence.shareCheck.tally).toMatchObject({ seenCanary: 3, seenStable: 0 })
    expect(one.evidence.units.size).toBe(2)
  })

  it('is one bad event of a unit, also where several of its requests fail that were under way together', () => {
    const one = drive({ ...errorsOnly, unit: 'user' })
    const tickets = Array.from({ length: 5 }, () => one.arrive(true, { unit: 'ann' }))
    for (const ticket of tickets) {
      one.evidence.fail(ticket, one.now(), error, 'server_error')
      one.settle(ticket)
    }
    expect(guardOf(one.evidence, 'first_attempt_error').tally).toMatchObject({ seenCanary: 1, badCanary: 1 })
  })

  it('is the first request of a unit, for sizes', () => {
    const sized = policyOf({
      unit: 'conversation',
      guards: [{ metric: 'ttft', quantiles: [0.5], maxRatio: 1, share: 1, action: 'abort' }],
    })
    const one = drive(sized)
    for (let i = 0; i < 100; i++) one.good(false, { unit: `s${i}`, ttft: 100 + i })
    for (let i = 0; i < 9; i++) one.good(true, { unit: 'one', ttft: 5000 })
    expect(guardOf(one.evidence, 'ttft_p50').tally).toMatchObject({ seenCanary: 1, badCanary: 1 })
    // Nor does one that asks again and again make what is slow for others.
    for (let i = 0; i < 400; i++) one.good(false, { unit: 's0', ttft: 9000 })
    one.good(true, { unit: 'other', ttft: 5000 })
    expect(guardOf(one.evidence, 'ttft_p50').tally).toMatchObject({ seenCanary: 2, badCanary: 2 })
  })

  it('is how a reply ended, each guard by its own events', () => {
    const one = drive(policyOf())
    one.good(true, { bits: bitOf('truncated') })
    one.good(true, { bits: bitOf('refused') | bitOf('client_abort') })
    one.good(true, { bits: bitOf('late_error') })
    const tallies = Object.fromEntries(
      one.evidence.guards.map(({ plan, tally }) => [plan.id, [tally.seenCanary, tally.badCanary]]),
    )
    expect(tallies).toMatchObject({
      first_attempt_error: [3, 0],
      // A reply that broke off says nothing of how it would have ended.
      truncated: [1, 1],
      refused: [1, 0],
      late_error: [3, 1],
    })
    expect(namesOf(17)).toEqual(['first_attempt_error', 'truncated'])
  })

  it('is nothing where the client left early, unless it had waited too long already', () => {
    const one = drive(policyOf())
    for (let i = 0; i < 200; i++) one.good(false, { ttft: 200 + i })
    const early = one.arrive(true)
    one.wait(100)
    one.settle(early, bitOf('client_abort'))
    expect(guardOf(one.evidence, 'ttft_p50').tally.seenCanary).toBe(0)
    expect(one.evidence.canary).toBe(0)
    const patient = one.arrive(true)
    one.wait(2000)
    one.settle(patient, bitOf('client_abort'))
    expect(guardOf(one.evidence, 'ttft_p50').tally).toMatchObject({ seenCanary: 1, badCanary: 1 })
    expect(one.evidence.waiting).toEqual({ start: 0, end: 0 })
  })

  it('is no first token of a whole reply, however late it comes and whenever its client leaves', () => {
    const one = drive(policyOf())
    for (let i = 0; i < 200; i++) one.good(false, { ttft: 200 + i })
    for (const ms of [2000, defaultPolicy.slowStart + 1]) {
      const late = one.arrive(true, { whole: true })
      one.wait(ms)
      one.settle(late, bitOf('client_abort'))
    }
    expect(guardOf(one.evidence, 'ttft_p50').tally.seenCanary).toBe(0)
    expect(guardOf(one.evidence, 'slow_start').tally.badCanary).toBe(1)
  })

  it('leaves out sizes of failures, and of the canary while it warms up', () => {
    const one = drive(policyOf({ warmup: 3 }))
    for (let i = 0; i < 200; i++) one.good(false, { ttft: 200 + i })
    for (let i = 0; i < 5; i++) one.good(true, { ttft: 4000 })
    expect(guardOf(one.evidence, 'ttft_p95').tally).toMatchObject({ seenCanary: 2, badCanary: 2 })
    one.bad(true)
    expect(guardOf(one.evidence, 'ttft_p95').tally.seenCanary).toBe(2)
  })

  it('compares sizes by the margin', () => {
    const sized = policyOf({
      guards: [{ metric: 'latency', quantiles: [0.5], maxRatio: 2, share: 1, action: 'abort' }],
    })
    const one = drive(sized)
    for (let i = 0; i < 400; i++) one.good(false, { latency: 1000 })
    one.good(true, { latency: 1900 })
    one.good(true, { latency: 2100 })
    one.good(false, { latency: 1100 })
    expect(guardOf(one.evidence, 'latency_p50').tally).toMatchObject({ seenCanary: 2, badCanary: 1, badStable: 1 })
    for (let i = 0; i < 40; i++) one.good(true, { latency: 4000, weightPpm: 50_000 })
    expect(judge(one.evidence, conditions).reason).toMatch(
      /^latency_p50: \d+ of \d+ requests above stable's 50 % quantile of latency \(the canary's divided by 2\) on the canary at 5 % weight/,
    )
  })
})

/** A random course of requests, with what was recorded of each. */
function course(policy: RolloutPolicy, seed: number, requests: number) {
  const one = drive(policy)
  const draw = drawOf(seed)
  for (let i = 0; i < requests; i++) {
    one.wait(draw() * 5000)
    const canary = draw() < 0.2
    const more = { weightPpm: 200_000, ...(draw() < 0.8 ? { unit: `u${Math.floor(draw() * 60)}` } : {}) }
    const what = draw()
    if (what < 0.2) one.bad(canary, more)
    else if (what < 0.3) one.good(canary, { ...more, bits: bitOf('truncated') })
    else one.good(canary, { ...more, ttft: 100 + draw() * 900, latency: 500 + draw() * 5000 })
  }
  one.wait(120_000)
  one.evidence.tick(one.now())
  return one
}

describe('after a restart', () => {
  const policies = ['request', 'user'].map((unit) => ({
    ...defaultPolicy,
    unit: unit as 'request' | 'user',
    sloErrorRate: 0.1,
  }))

  it('the evidence is the same to the last bit, from its counts and from the rows', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...policies),
        fc.nat(),
        fc.integer({ min: 1, max: 400 }),
        (policy, seed, requests) => {
          const { evidence, records } = course(policy, seed, requests)
          const shuffled = records.map((_, i) => records[(i * 7 + 3) % records.length]!)
          const whole = records.length % 7 === 0 ? records : shuffled
          for (const counts of [
            evidence.counts(),
            JSON.parse(JSON.stringify(evidence.counts())),
            countsOf(policy, whole),
          ]) {
            const again = new Evidence(policy, noon)
            again.merge(counts)
            expect(again.counts()).toEqual(evidence.counts())
            expect(again.guards.map((guard) => [guard.logHarm, guard.logSafe])).toEqual(
              evidence.guards.map((guard) => [guard.logHarm, guard.logSafe]),
            )
            expect(again.shareCheck.logEvidence).toBe(evidence.shareCheck.logEvidence)
            expect(again.rateCheck!.logEvidence).toBe(evidence.rateCheck!.logEvidence)
            expect([again.canary, again.stable]).toEqual([evidence.canary, evidence.stable])
          }
        },
      ),
      { numRuns: 30 },
    )
  })

  it('the evidence is the same where the clock was set back across epochs', () => {
    const policy = { ...errorsOnly, sloErrorRate: 0.1 }
    const one = drive(policy)
    one.wait(policy.epoch)
    one.bad(true)
    one.wait(-policy.epoch)
    one.bad(false)
    one.bad(true)
    one.wait(2 * policy.epoch)
    one.bad(true)
    const again = new Evidence(policy, noon)
    again.merge(one.evidence.counts())
    const numbersOf = ({ guards, rateCheck }: Evidence) => [
      guards.map((guard) => [guard.logHarm, guard.logSafe]),
      rateCheck!.logEvidence,
    ]
    expect(numbersOf(one.evidence)).toEqual(numbersOf(again))
  })

  it('the shares of clean units are known again from the rows', () => {
    const policy: RolloutPolicy = { ...errorsOnly, unit: 'user' }
    const one = new Evidence(policy, noon)
    const again = new Evidence(policy, noon)
    const folder = new RowFolder(policy)
    const ask = (evidence: Evidence, name: string, isBad: boolean): EvidenceRecord => {
      const unit = unitIdOf('seed', name)
      const ticket = evidence.admit({ now: noon, bucket: unit.high, weightPpm: 250_000, unit })
      if (isBad) evidence.fail(ticket, noon, error, 'server_error')
      else evidence.begin(ticket, noon, 100)
      evidence.end(ticket, noon, { bits: 0 })
      return evidence.recordOf(ticket)
    }
    for (let i = 0; i < 1000; i++) {
      const name = `u${i % 200}`
      const isLow = unitIdOf('seed', name).high < 2 ** 30
      const record = ask(one, name, i % 3 === 0 && isLow)
      folder.add({ record, unit: unitIdOf('seed', name), revision: 1, arrival: i, firstAttempt: 'ok' })
    }
    again.recall([folder.fold()])
    expect([...again.units.entries()]).toEqual([...one.units.entries()])
    const next = ask(one, 'new', true)
    expect(next.shares![0]).toBeLessThan(100_000)
    expect(ask(again, 'new', true)).toEqual(next)
  })

  it('goes on where it was', () => {
    const one = drive()
    one.bad(true)
    one.bad(true)
    const again = new Evidence(errorsOnly, noon)
    again.merge(one.evidence.counts())
    expect(again.harm).toBeUndefined()
    const ticket = again.admit({ now: noon, bucket: canaryBucket, weightPpm: 50_000 })
    again.fail(ticket, noon, error, 'server_error')
    expect(again.harm).toBeDefined()
  })

  it('several processes together see what none of them sees alone', () => {
    const parts = [1, 2, 3].map(() => drive())
    for (const part of parts) part.bad(true)
    const all = new Evidence(errorsOnly, noon)
    for (const part of parts) {
      expect(part.evidence.harm).toBeUndefined()
      all.merge(part.evidence.counts())
    }
    expect(all.harm).toBeDefined()
  })
})

describe('the judgement', () => {
  it('never goes on without data', () => {
    const one = drive()
    expect(judge(one.evidence, { ...conditions, canaryInStep: 0 })).toMatchObject({ action: 'hold', cause: 'no_data' })
    expect(judge(one.evidence, { ...conditions, minRequests: 200, canaryInStep: 199 })).toMatchObject({
      action: 'hold',
      reason: '199 of 200 requests on the canary are decided in this step',
    })
    expect(judge(one.evidence, { ...conditions, minRequests: 200, canaryInStep: 200 })).toMatchObject({
      action: 'advance',
    })
  })

  const fewBad = (one: ReturnType<typeof drive>) => {
    for (let i = 0; i < 20; i++) {
      one.bad(i % 2 === 0, { weightPpm: 500_000 })
      for (let j = 0; j < 49; j++) one.good(j % 2 === 0, { weightPpm: 500_000 })
    }
  }

  it('says how much is missing to rule harm out', () => {
    const one = drive()
    const asked = { ...conditions, weightPpm: 500_000, advance: 'non_inferior' } as const
    expect(judge(one.evidence, asked).reason).toContain('bad events in both arms are needed, and none has come')
    fewBad(one)
    const decision = judge(one.evidence, asked)
    expect(decision).toMatchObject({ action: 'hold', cause: 'inconclusive', guard: 'first_attempt_error' })
    expect(decision.reason).toMatch(/about \d+ more requests are needed, \d+ of them on the canary$/)
    const { requests, canary } = decision.forecast!
    expect(canary).toBe(Math.ceil(requests! / 2))
    // Two bad events in a hundred requests; 53 of them in the median at half of the traffic.
    expect(requests).toBeGreaterThan(1000)
    expect(requests).toBeLessThan(4000)
    expect(judge(one.evidence, { ...asked, weightPpm: million }).reason).toContain('never will be')
  })

  it('takes a rare rate by itself for proof, where that is configured', () => {
    const [guard] = errorsOnly.guards
    const one = drive({ ...errorsOnly, guards: [{ ...guard!, safeRate: 0.01 }] })
    const asked = { ...conditions, advance: 'non_inferior', accepted: ['srm'] } as const
    for (let i = 0; i < 200; i++) one.good(true)
    expect(judge(one.evidence, asked).action).toBe('hold')
    for (let i = 0; i < 400; i++) one.good(true)
    expect(judge(one.evidence, asked).action).toBe('advance')
    // Each way may spend half of beta, so by the ratio alone more is missing than where that is the only one.
    const missing = [undefined, 0.001].map((safeRate) => {
      const other = drive({ ...errorsOnly, guards: [{ ...guard!, safeRate }] })
      fewBad(other)
      return judge(other.evidence, { ...asked, weightPpm: 500_000 }).forecast!.badEvents
    })
    expect(missing[1]).toBeGreaterThan(missing[0]!)
  })

  it('pauses where the shares are wrong, or a signal says so, until somebody has seen it', () => {
    const one = drive()
    for (let i = 0; i < 400; i++) one.good(i % 5 === 0)
    expect(judge(one.evidence, conditions)).toMatchObject({ action: 'pause', cause: 'srm' })
    expect(judge(one.evidence, { ...conditions, accepted: ['srm'] }).action).toBe('advance')
    const signal = drive(policyOf({ guards: [{ metric: 'truncated', maxRatio: 1, share: 1, action: 'pause' }] }))
    for (let i = 0; i < 5; i++) signal.good(true, { bits: bitOf('truncated') })
    expect(signal.evidence.harm).toBeUndefined()
    expect(judge(signal.evidence, conditions)).toMatchObject({ action: 'pause', cause: 'signal', guard: 'truncated' })
    expect(judge(signal.evidence, { ...conditions, accepted: ['truncated'] }).action).toBe('advance')
  })

  it('does nothing for a guard that only watches', () => {
    const one = drive(
      policyOf({ guards: [{ metric: 'first_attempt_error', maxRatio: 1, share: 1, action: 'watch' }], hard: [] }),
    )
    for (let i = 0; i < 20; i++) one.bad(true)
    expect(judge(one.evidence, { ...conditions, accepted: ['srm'] }).action).toBe('advance')
    expect(reportOf(one.evidence, 50_000).guards[0]).toMatchObject({ isHarm: true, bad: { canary: 20, stable: 0 } })
  })

  it('holds the canary to the bound of its own rate, alone or not', () => {
    for (const [weightPpm, action] of [
      [500_000, 'pause'],
      [million, 'rollback'],
    ] as const) {
      const one = drive({ ...errorsOnly, sloErrorRate: 0.05 })
      for (let i = 0; i < 100; i++) {
        one.bad(true, { weightPpm })
        if (weightPpm < million) one.bad(false, { weightPpm })
      }
      const decision = judge(one.evidence, { ...conditions, weightPpm })
      expect(decision).toMatchObject({ action, cause: 'slo' })
      expect(decision.reason).toContain('100 of 100 first attempts on the canary failed: more than the 5 % allowed')
    }
  })

  it('can be shown as JSON', () => {
    for (const requests of [0, 3, 300]) {
      const { evidence } = course({ ...defaultPolicy, sloErrorRate: 0.1 }, requests, requests)
      const report = reportOf(evidence, 200_000)
      expect(JSON.parse(JSON.stringify(report))).toEqual(
        JSON.parse(JSON.stringify(report, (_, v) => (v === null ? null : v))),
      )
      const numbers: unknown[] = []
      JSON.stringify(report, (_, value) => numbers.push(value) && value)
      expect(numbers.filter((value) => typeof value === 'number' && !Number.isFinite(value))).toEqual([])
      expect(report.guards).toHaveLength(9)
    }
  })
})

describe('a policy', () => {
  it('is right as it is by default, and says what is wrong otherwise', () => {
    expect(faultsOf(defaultPolicy)).toEqual([])
    const guard = { metric: 'truncated', maxRatio: 1, share: 0.7, action: 'abort' } as const
    const wrong: [RolloutPolicy['guards'], RegExp][] = [
      [[guard, guard], /twice/],
      [[guard, { ...guard, metric: 'refused' }], /sum to 1.4/],
      [[{ ...guard, quantiles: [0.5] }], /no quantiles/],
      [[{ ...guard, metric: 'ttft' }], /needs quantiles/],
      [[{ ...guard, metric: 'ttft', quantiles: [0.5, 0.9, 0.5] }], /'ttft' has a quantile twice/],
      [[{ ...guard, harmRatio: 0.5 }], /harmRatio 0.5 is below/],
      [[{ ...guard, safeRate: 0.01 }], /unit is the request/],
    ]
    for (const [guards, words] of wrong) expect(faultsOf({ ...defaultPolicy, guards }).join('\n')).toMatch(words)
    expect(metrics).toHaveLength(13)
  })
})
