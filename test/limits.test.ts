// Limits: exact in any stretch of time, atomic over several, fair and bounded while waiting, and never leaking a slot.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import type { LimitScope, LimitSettings } from '../src/config/limitTypes.ts'
import { createDoorLimit } from '../src/state/limits/doorLimit.ts'
import type { AppliedLimit, Lease, LimitVerdict } from '../src/state/limits/limit.ts'
import { retryAfterSeconds, showSpan } from '../src/state/limits/limitHeaders.ts'
import { createLimits, explainRefusal, type LimitOptions } from '../src/state/limits/limits.ts'
import { LogTable } from '../src/state/limits/logTable.ts'
import { findApplied } from '../src/state/scope.ts'
import { SlidingLog, shapeOf } from '../src/state/slidingLog.ts'
import { makeClock } from './support/limitClock.ts'
import fc from './support/seededCheck.ts'

const limit = (over: Partial<LimitSettings>): LimitSettings => ({
  name: 'test',
  per: ['key'],
  only: {},
  requests: undefined,
  tokens: undefined,
  concurrency: undefined,
  window: 60_000,
  queueMs: 0,
  queueSize: 100,
  answerTokens: 1_000,
  ...over,
})

function setUp(settings: LimitSettings | LimitSettings[], options: Partial<LimitOptions> = {}) {
  const clock = makeClock()
  const limits = createLimits({ now: clock.now, later: clock.later, ...options })
  const list = [settings].flat()
  const apply = (key = 'a', more: Partial<Record<LimitScope, string>> = {}): AppliedLimit[] =>
    findApplied([list], { key, ...more })
  /** Undefined when it is refused. */
  const enter = (key = 'a', tokens = 0): Lease | undefined => {
    const verdict = limits.admit(apply(key), { tokens })
    if (verdict instanceof Promise) throw new Error('it waits')
    return verdict.ok ? verdict.lease : undefined
  }
  const refusal = (key = 'a', tokens = 0) => {
    const verdict = limits.admit(apply(key), { tokens })
    if (verdict instanceof Promise || verdict.ok) throw new Error('it was not refused')
    return verdict.refusal
  }
  return { clock, limits, apply, enter, refusal }
}

describe('C33 a limit of 100 a minute', () => {
  test('lets exactly 100 of 500 through at once, and 100 more when the first minute is over', async () => {
    const { clock, limits, apply, enter } = setUp(limit({ requests: 100 }))
    const at = async () => {
      await null
      return limits.admit(apply(), { tokens: 0 })
    }
    const verdicts = await Promise.all(Array.from({ length: 500 }, at))
    expect(verdicts.filter(({ ok }) => ok)).toHaveLength(100)
    clock.move(60_000)
    expect(enter()).toBeUndefined()
    clock.move(1)
    expect(Array.from({ length: 500 }, () => enter()).filter(Boolean)).toHaveLength(100)
  })

  test('across the edge of a fixed window too', () => {
    const { clock, enter } = setUp(limit({ requests: 100 }))
    clock.move(59_000)
    for (let i = 0; i < 100; i++) expect(enter()).toBeDefined()
    clock.move(2_000)
    expect(enter()).toBeUndefined()
  })

  test('in any 60 s whatever the arrivals: never more, and never less than there is room for', () => {
    const gaps = fc.array(fc.tuple(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 1, max: 9 })), {
      maxLength: 80,
    })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 12 }), (arrivals, most) => {
        const { clock, enter } = setUp(limit({ requests: most }))
        const passed: number[] = []
        for (const [gap, burst] of arrivals) {
          clock.move(gap)
          for (let i = 0; i < burst; i++) {
            const inWindow = passed.filter((at) => clock.now() - at <= 60_000).length
            const got = enter() !== undefined
            expect(got).toBe(inWindow < most)
            if (got) passed.push(clock.now())
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  test('by a clock with fractions too: no stretch of 60 s holds more', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 30_000, noNaN: true }), { maxLength: 60 }), (gaps) => {
        const { clock, enter } = setUp(limit({ requests: 3 }))
        const passed: number[] = []
        for (const gap of gaps) {
          clock.move(gap)
          if (enter()) passed.push(clock.now())
        }
        for (let i = 3; i < passed.length; i++) expect(passed[i]! - passed[i - 3]!).toBeGreaterThanOrEqual(60_000)
      }),
    )
  })

  test('Retry-After is true: a moment earlier it is refused, then it passes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9_000 }), { minLength: 4, maxLength: 40 }), (gaps) => {
        const { clock, enter, limits, apply } = setUp(limit({ requests: 4 }))
        for (const gap of gaps) {
          clock.move(gap)
          enter()
        }
        const verdict = limits.admit(apply(), { tokens: 0 }) as LimitVerdict
        if (verdict.ok) return
        const ms = verdict.refusal.retryAfterMs!
        clock.move(ms - 1)
        expect(enter()).toBeUndefined()
        clock.move(1)
        expect(enter()).toBeDefined()
      }),
    )
  })

  test('headers equal the enforced state', () => {
    const { clock, enter, limits, apply, refusal } = setUp(limit({ requests: 3, tokens: 1_000 }))
    const told = (name: string) => new RegExp(`x-ratelimit-${name}: (.*)\r\n`).exec(limits.lines(apply()))?.[1]
    const lease = enter('a', 400)!
    expect(lease.lines().split('\r\n')).toEqual([
      'x-ratelimit-limit-requests: 3',
      'x-ratelimit-remaining-requests: 2',
      'x-ratelimit-reset-requests: 1m1s',
      'x-ratelimit-limit-tokens: 1000',
      'x-ratelimit-remaining-tokens: 600',
      'x-ratelimit-reset-tokens: 1m1s',
      '',
    ])
    lease.settle(100)
    expect(told('remaining-tokens')).toBe('900')
    clock.move(30_000)
    // As often as the header says, and not once more.
    for (let left = Number(told('remaining-requests')); left > 0; left--) expect(enter()).toBeDefined()
    expect(told('remaining-requests')).toBe('0')
    expect(refusal()).toMatchObject({
      kind: 'requests',
      remaining: 0,
      limit: 3,
      scope: 'key',
      entity: 'a',
      reason: 'limit',
    })
    expect(refusal().retryAfterMs).toBe(30_001)
  })
})

describe('several limits', () => {
  const both = [limit({ name: 'key', requests: 2 }), limit({ name: 'all', per: [], requests: 3, tokens: 100 })]

  test('are taken all together or not at all', () => {
    const { enter, limits, apply, refusal } = setUp(both)
    enter('a')
    enter('a')
    expect(refusal('a')).toMatchObject({ name: 'key', entity: 'a' })
    expect(limits.states(apply('b')).map(({ remaining }) => remaining)).toEqual([2, 1, 100])
    // Too many tokens for all: b's own limit stays as it was.
    expect(refusal('b', 101)).toMatchObject({ name: 'all', reason: 'too_large', retryAfterMs: undefined })
    expect(limits.states(apply('b')).map(({ remaining }) => remaining)).toEqual([2, 1, 100])
    enter('b')
    expect(refusal('b')).toMatchObject({ name: 'all', scope: 'everything', entity: '' })
  })

  test('count by combinations, and only for what they concern', () => {
    const facts = { key: 'k', route: 'r', ip: '10.0.0.1' }
    const list = [
      limit({ name: 'pair', per: ['key', 'route'] }),
      limit({ name: 'user', per: ['user'] }),
      limit({ name: 'other', only: { route: 'x' } }),
      limit({ name: 'mine', only: { route: 'r' }, per: [] }),
    ]
    expect(findApplied([list, undefined], facts).map(({ setting, entity }) => [setting.name, entity])).toEqual([
      ['pair', 'k\0r'],
      ['mine', ''],
    ])
    const entity = (key: string, route: string) => findApplied([[list[0]!]], { key, route })[0]!.entity
    expect(entity('a\0', 'b')).not.toBe(entity('a', '\0b') === entity('a\0', 'b') ? '' : entity('a', '\0c'))
    expect(entity('ab', 'c')).not.toBe(entity('a', 'bc'))
  })

  test('of a new configuration count on where the old one was', () => {
    const { limits, enter } = setUp(limit({ requests: 5 }))
    for (let i = 0; i < 4; i++) enter()
    const lowered = findApplied([[limit({ requests: 3 })]], { key: 'a' })
    expect(limits.admit(lowered, { tokens: 0 })).toMatchObject({ ok: false })
    const raised = findApplied([[limit({ requests: 6 })]], { key: 'a' })
    expect(limits.states(raised)[0]!.remaining).toBe(2)
    limits.prune([])
    expect(limits.size.entities).toBe(0)
  })

  test('refuse until the last of them has room: coming back as told is not in vain', () => {
    const two = [limit({ name: 'short', requests: 1, window: 1_000 }), limit({ name: 'long', requests: 1 })]
    const { clock, enter, refusal } = setUp(two)
    enter()
    expect(refusal()).toMatchObject({ name: 'long', retryAfterMs: 60_001 })
    clock.move(60_001)
    expect(enter()).toBeDefined()
    const mixed = setUp([limit({ name: 'slots', concurrency: 1 }), limit({ name: 'rate', requests: 1 })])
    mixed.enter()
    expect(mixed.refusal()).toMatchObject({ name: 'rate', kind: 'requests' })
  })

  test('and until all that one of them counts has room', () => {
    const { clock, enter, refusal } = setUp(limit({ requests: 2, tokens: 100 }))
    enter('a', 10)
    clock.move(1_000)
    enter('a', 90)
    expect(refusal('a', 5)).toMatchObject({ kind: 'requests', retryAfterMs: 59_001 })
    expect(refusal('a', 50)).toMatchObject({ kind: 'tokens', retryAfterMs: 60_001 })
    expect(refusal('a', 101)).toMatchObject({ kind: 'tokens', reason: 'too_large' })
    clock.move(60_001)
    expect(enter('a', 50)).toBeDefined()
  })

  test('that are taken out and put back still know of the slots that are held', () => {
    const settings = limit({ concurrency: 1 })
    const { enter, limits } = setUp(settings)
    const lease = enter()!
    limits.prune([])
    const back = findApplied([[limit({ concurrency: 1 })]], { key: 'a' })
    expect(limits.admit(back, { tokens: 0 })).toMatchObject({ ok: false })
    lease.release()
    limits.prune([])
    expect(limits.size.entities).toBe(0)
    expect(limits.admit(back, { tokens: 0 })).toMatchObject({ ok: true })
  })

  test('that keys bring along are told apart by key in one table', () => {
    const own = (key: string, requests: number) =>
      limit({ name: `key ${key}`, only: { key }, requests, group: 'key 1 60000' })
    const { limits } = setUp([])
    const admit = (key: string, requests: number) =>
      limits.admit(findApplied([[own(key, requests)]], { key }), { tokens: 0 })
    expect(admit('a', 1)).toMatchObject({ ok: true })
    expect(admit('a', 1)).toMatchObject({ ok: false, refusal: { name: 'key a' } })
    expect(admit('b', 1)).toMatchObject({ ok: true })
    // A changed key is another object with the same name, and counts on.
    expect(admit('a', 2)).toMatchObject({ ok: true })
    expect(limits.size.entities).toBe(2)
  })
})

describe('tokens', () => {
  test('are reserved at once and settled to what was used', () => {
    const { clock, enter } = setUp(limit({ tokens: 1_000 }))
    const first = enter('a', 900)!
    expect(enter('a', 200)).toBeUndefined()
    first.settle(100)
    first.settle(0)
    expect(enter('a', 900)).toBeDefined()
    expect(enter('a', 1)).toBeUndefined()
    clock.move(60_001)
    expect(enter('a', 1_000)).toBeDefined()
  })

  test('that were underestimated count as well', () => {
    const { enter, limits, apply } = setUp(limit({ tokens: 1_000 }))
    enter('a', 10)!.settle(700)
    expect(limits.states(apply())[0]!.remaining).toBe(300)
  })

  test('settled after the window was over take nothing away from the next', () => {
    const { clock, enter, limits, apply } = setUp(limit({ tokens: 1_000 }))
    const slow = enter('a', 800)!
    clock.move(200_000)
    enter('a', 500)
    slow.settle(100)
    expect(limits.states(apply())[0]!.remaining).toBe(500)
  })

  test('of answers without a cap are what the limit takes them for, and at most all there is', () => {
    const { enter, limits, apply, refusal } = setUp(limit({ tokens: 1_000, answerTokens: 400 }))
    const open = (tokens: number, openAnswers: number) => {
      const verdict = limits.admit(apply(), { tokens, openAnswers }) as LimitVerdict
      return verdict.ok ? verdict.lease : undefined
    }
    const first = open(100, 1)!
    expect(limits.states(apply())[0]!.remaining).toBe(500)
    expect(open(101, 1)).toBeUndefined()
    first.settle(300)
    expect(limits.states(apply())[0]!.remaining).toBe(700)
    expect(open(10, 5)).toBeUndefined()
    const { clock, ...rest } = setUp(limit({ tokens: 1_000, answerTokens: 400 }))
    expect(rest.limits.admit(rest.apply(), { tokens: 10, openAnswers: 5 })).toMatchObject({ ok: true })
    expect(rest.limits.states(rest.apply())[0]!.remaining).toBe(0)
    expect(refusal('a', 1_001)).toMatchObject({ reason: 'too_large' })
    expect(enter('a', 700)).toBeDefined()
    clock.move(1)
  })

  test('used beyond what was reserved count although the request outlived the memory of its entity', () => {
    const { clock, enter, limits, apply } = setUp(limit({ tokens: 1_000 }))
    const slow = enter('a', 10)!
    for (let i = 0; i < 30; i++) {
      clock.move(10_000)
      enter('other', 1)
    }
    slow.settle(900)
    expect(limits.states(apply())[0]!.remaining).toBe(110)
  })

  test('never add up to more than the limit within a window, whatever is settled when', () => {
    const step = fc.record({
      gap: fc.integer({ min: 0, max: 15_000 }),
      ask: fc.integer({ min: 1, max: 60 }),
      used: fc.nat(100),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, enter } = setUp(limit({ tokens: 100 }))
        const passed: { at: number; tokens: number }[] = []
        for (const { gap, ask, used } of steps) {
          clock.move(gap)
          const lease = enter('a', ask)
          if (!lease) continue
          const tokens = Math.min(used, ask)
          passed.push({ at: clock.now(), tokens })
          lease.settle(tokens)
        }
        for (const { at } of passed) {
          const sum = passed
            .filter((one) => one.at >= at && one.at - at <= 60_000)
            .reduce((all, { tokens }) => all + tokens, 0)
          expect(sum).toBeLessThanOrEqual(100)
        }
      }),
    )
  })
})

describe('C32 concurrency slots', () => {
  test('are given back once, however often that is said', () => {
    const { enter, refusal, limits } = setUp(limit({ concurrency: 2 }))
    const first = enter()!
    const second = enter()!
    expect(refusal()).toMatchObject({ kind: 'concurrency', retryAfterMs: undefined })
    first.release()
    first.release()
    first.release()
    expect(enter()).toBeDefined()
    expect(enter()).toBeUndefined()
    second.release()
    expect(limits.size.entities).toBe(1)
  })

  test('that are never given back run out', () => {
    const { clock, enter } = setUp(limit({ concurrency: 1 }), { leaseMs: 1_000 })
    const lost = enter()!
    clock.move(999)
    expect(enter()).toBeUndefined()
    clock.move(1)
    expect(enter()).toBeDefined()
    lost.release()
    expect(enter()).toBeUndefined()
  })

  test('of requests that may last longer run out later', () => {
    const { clock, limits, apply, enter } = setUp(limit({ concurrency: 1 }), { leaseMs: 1_000 })
    limits.admit(apply(), { tokens: 0, lastsMs: 5_000 })
    clock.move(4_999)
    expect(enter()).toBeUndefined()
    clock.move(1)
    expect(enter()).toBeDefined()
  })

  test('run out one by one, whoever else comes and goes, and cannot be given back for somebody else', () => {
    const step = fc.record({
      gap: fc.nat(400),
      key: fc.constantFrom('a', 'b'),
      // Up to a second of lease, or more.
      lastsMs: fc.integer({ min: 0, max: 3_000 }),
      gives: fc.option(fc.nat(50)),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { clock, limits, apply } = setUp(limit({ concurrency: 3 }), { leaseMs: 1_000 })
        const leases: { key: string; lease: Lease; until: number; given: boolean }[] = []
        for (const { gap, key, lastsMs, gives } of steps) {
          clock.move(gap)
          if (gives !== null) {
            const one = leases[gives % Math.max(1, leases.length)]
            one?.lease.release()
            if (one) one.given = true
            continue
          }
          const now = clock.now()
          const inUse = leases.filter((one) => one.key === key && !one.given && one.until > now).length
          const verdict = limits.admit(apply(key), { tokens: 0, lastsMs }) as LimitVerdict
          expect(verdict.ok).toBe(inUse < 3)
          if (verdict.ok)
            leases.push({ key, lease: verdict.lease, until: now + Math.max(1_000, lastsMs), given: false })
        }
      }),
      { numRuns: 300 },
    )
  })

  test('take no more memory of entities without any than of a thousand', () => {
    const { enter, limits } = setUp(limit({ concurrency: 1 }))
    for (let i = 0; i < 5_000; i++) {
      const lease = enter(`key-${i}`)!
      expect(enter(`key-${i}`)).toBeUndefined()
      lease.release()
    }
    expect(limits.size.entities).toBe(0)
    // One that was forgotten meanwhile starts anew.
    const again = enter('key-0')!
    expect(enter('key-0')).toBeUndefined()
    again.release()
    expect(enter('key-0')).toBeDefined()
  })

  test('never leak and never exceed, in any order of coming and going', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 200 }), (moves) => {
        const { enter, limits } = setUp(limit({ concurrency: 3, requests: 10_000 }))
        const held: Lease[] = []
        for (const move of moves) {
          if (move < 12) {
            const lease = enter()
            expect(lease !== undefined).toBe(held.length < 3)
            if (lease) held.push(lease)
          } else held.splice(move % Math.max(1, held.length), 1)[0]?.release()
        }
        for (const lease of held) lease.release()
        expect(limits.states(findApplied([[limit({ concurrency: 3 })]], { key: 'a' }))[0]!.remaining).toBe(3)
      }),
    )
  })
})

describe('what a request holds', () => {
  test('is what is left, at any moment: its headers are those of somebody who looks everything up', () => {
    const step = fc.record({
      gap: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 50_000, max: 130_000 })),
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      what: fc.constantFrom('enter', 'enter', 'settle', 'release', 'sweep'),
      tokens: fc.nat(90),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const settings = [limit({ requests: 9, tokens: 300 }), limit({ name: 'all', per: [], requests: 20 })]
        const { clock, enter, limits, apply } = setUp(settings, { maxEntities: 3 })
        const held: { key: string; lease: Lease }[] = []
        for (const { gap, key, what, tokens } of steps) {
          clock.move(gap)
          const some = held[tokens % Math.max(1, held.length)]
          if (what === 'enter') {
            const lease = enter(key, tokens)
            if (lease) held.push({ key, lease })
          } else if (what === 'settle') some?.lease.settle(90 - tokens)
          else if (what === 'release') some?.lease.release()
          else limits.prune(settings)
          for (const one of held) expect(one.lease.lines()).toEqual(limits.lines(apply(one.key)))
        }
      }),
      { numRuns: 200 },
    )
  })

  test('is never counted where it was forgotten: of tokens used late, all count', () => {
    const { clock, enter, limits, apply } = setUp(limit({ tokens: 1_000 }))
    const slow = enter('a', 100)!
    for (let i = 0; i < 30; i++) {
      clock.move(10_000)
      enter('other', 1)
    }
    // The first one's memory is gone, and a new one is there.
    enter('a', 50)
    slow.settle(400)
    expect(limits.states(apply())[0]!.remaining).toBe(650)
    expect(slow.lines()).toEqual(limits.lines(apply()))
  })
})

describe('waiting', () => {
  const flowing = (flow: string) => ({ tokens: 0, flow })

  test('ends when a slot comes free, in turn by flow', async () => {
    const { limits, apply, clock } = setUp(limit({ per: [], concurrency: 1, queueMs: 5_000 }))
    const running = limits.admit(apply(), flowing('x')) as { ok: true; lease: Lease }
    const order: string[] = []
    const waiting = ['a1', 'a2', 'a3', 'b1', 'c1', 'b2'].map(async (name) => {
      const verdict = await limits.admit(apply(), flowing(name[0]!))
      order.push(name)
      if (!verdict.ok) throw new Error(verdict.refusal.reason)
      verdict.lease.release()
    })
    expect(limits.size.waiting).toBe(6)
    running.lease.release()
    await Promise.all(waiting)
    expect(order).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
    expect(limits.size).toEqual({ entities: 0, waiting: 0 })
    expect(clock.timers()).toBe(0)
  })

  test('ends when the window has room, without being overtaken', async () => {
    const { limits, apply, clock } = setUp(limit({ requests: 1, queueMs: 200_000 }))
    expect(limits.admit(apply(), flowing('a'))).toMatchObject({ ok: true })
    const waiting = [limits.admit(apply(), flowing('a')), limits.admit(apply(), flowing('a'))]
    clock.move(60_001)
    expect(await waiting[0]).toMatchObject({ ok: true })
    const late = limits.admit(apply(), flowing('a'))
    clock.move(60_001)
    expect(await waiting[1]).toMatchObject({ ok: true })
    clock.move(60_001)
    expect(await late).toMatchObject({ ok: true })
    expect(clock.timers()).toBe(0)
  })

  test('ends in a refusal when it takes too long, and is not begun when that is known', async () => {
    const { limits, apply, clock } = setUp(limit({ concurrency: 1, requests: 2, queueMs: 1_000 }))
    const first = limits.admit(apply(), flowing('a')) as { ok: true; lease: Lease }
    const waiting = limits.admit(apply(), flowing('a'))
    clock.move(1_000)
    expect(await waiting).toMatchObject({ ok: false, refusal: { reason: 'waited', kind: 'concurrency' } })
    first.lease.release()
    expect(limits.admit(apply(), flowing('a'))).toMatchObject({ ok: true })
    // A minute to go, and a second of patience.
    expect(limits.admit(apply(), flowing('a'))).toMatchObject({ ok: false, refusal: { reason: 'limit' } })
    expect(clock.timers()).toBe(0)
  })

  test('ends when the asker gives up, and leaves nothing behind', async () => {
    const { limits, apply, clock } = setUp(limit({ concurrency: 1, queueMs: 1_000 }))
    const first = limits.admit(apply(), flowing('a')) as { ok: true; lease: Lease }
    let giveUp = (): void => {}
    const waits = (leave: () => void): void => {
      giveUp = leave
    }
    const waiting = limits.admit(apply(), { ...flowing('a'), waits })
    giveUp()
    giveUp()
    expect(await waiting).toMatchObject({ ok: false, refusal: { reason: 'aborted' } })
    expect(limits.size.waiting).toBe(0)
    expect(clock.timers()).toBe(0)
    first.lease.release()
    const second = limits.admit(apply(), { ...flowing('a'), waits })
    expect(second).toMatchObject({ ok: true })
    giveUp()
    expect(limits.states(apply())[0]!.remaining).toBe(0)
  })

  test('of those behind one that gives up ends when there is room for them', async () => {
    const { limits, apply, clock } = setUp(limit({ tokens: 100, queueMs: 5_000 }))
    limits.admit(apply(), { tokens: 50 })
    let giveUp = (): void => {}
    const waits = (leave: () => void): void => {
      giveUp = leave
    }
    const large = limits.admit(apply(), { tokens: 90, flow: 'a', waits })
    // More than five seconds to go: not even begun.
    expect(large).toMatchObject({ ok: false, refusal: { reason: 'limit' } })
    clock.move(56_000)
    const waiting = limits.admit(apply(), { tokens: 90, flow: 'a', waits })
    const small = limits.admit(apply(), { tokens: 10, flow: 'b' })
    // There is room for it, and not for who came before.
    expect(small).toBeInstanceOf(Promise)
    giveUp()
    expect(await waiting).toMatchObject({ ok: false })
    expect(await small).toMatchObject({ ok: true })
    expect(clock.timers()).toBe(0)
  })

  test('is bounded by limit and in all', async () => {
    const settings = limit({ concurrency: 1, queueMs: 1_000, queueSize: 2 })
    const { limits, apply, clock } = setUp(settings, { maxWaiting: 3 })
    for (const key of ['a', 'b']) limits.admit(apply(key), flowing(key))
    const waiting = ['a', 'a'].map((key) => limits.admit(apply(key), flowing(key)))
    expect(limits.admit(apply('a'), flowing('a'))).toMatchObject({ ok: false, refusal: { reason: 'queue_full' } })
    waiting.push(limits.admit(apply('b'), flowing('b')))
    expect(limits.admit(apply('b'), flowing('b'))).toMatchObject({ ok: false, refusal: { reason: 'queue_full' } })
    limits.close()
    for (const verdict of await Promise.all(waiting)) expect(verdict).toMatchObject({ ok: false })
    expect(clock.timers()).toBe(0)
    expect(limits.size.waiting).toBe(0)
  })

  test('ends at once where another limit, for which nobody waits, has run out meanwhile', async () => {
    const { limits, apply, clock } = setUp([
      limit({ name: 'slots', concurrency: 1, queueMs: 100_000 }),
      limit({ name: 'rate', per: [], requests: 2 }),
    ])
    const first = limits.admit(apply('a'), flowing('a')) as { ok: true; lease: Lease }
    const waiting = limits.admit(apply('a'), flowing('a'))
    expect(limits.admit(apply('b'), flowing('b'))).toMatchObject({ ok: true })
    first.lease.release()
    expect(clock.timers()).toBe(0)
    expect(await waiting).toMatchObject({ ok: false, refusal: { name: 'rate', reason: 'limit' } })
  })

  test('for one limit goes on for another that has run out meanwhile', async () => {
    const { limits, apply, clock } = setUp([
      limit({ name: 'slots', concurrency: 1, queueMs: 100_000 }),
      limit({ name: 'rate', per: [], requests: 2, queueMs: 100_000 }),
    ])
    const first = limits.admit(apply('a'), flowing('a')) as { ok: true; lease: Lease }
    const waiting = limits.admit(apply('a'), flowing('a'))
    expect(limits.admit(apply('b'), flowing('b'))).toMatchObject({ ok: true })
    first.lease.release()
    expect(limits.size.waiting).toBe(1)
    clock.move(60_001)
    expect(await waiting).toMatchObject({ ok: true })
  })

  test('works on real time, too', async () => {
    const limits = createLimits()
    const applied = findApplied([[limit({ requests: 1, window: 30, queueMs: 5_000 })]], { key: 'a' })
    const start = performance.now()
    for (let i = 0; i < 3; i++) expect(await limits.admit(applied, { tokens: 0 })).toMatchObject({ ok: true })
    expect(performance.now() - start).toBeGreaterThanOrEqual(60)
  })
})

describe('memory', () => {
  const collect = (): number => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    gc()
    gc()
    return process.memoryUsage().heapUsed
  }

  test('100,000 keys and 100,000 addresses take less than 300 bytes each, and are forgotten when idle', () => {
    const settings = [limit({ name: 'key', requests: 100 }), limit({ name: 'ip', per: ['ip'], requests: 100 })]
    const { clock, limits, apply } = setUp(settings)
    const before = collect()
    for (let i = 0; i < 100_000; i++) {
      if (i % 1_000 === 0) clock.move(100)
      limits.admit(apply(`key-${i}`, { ip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` }), { tokens: 0 })
    }
    expect(limits.size.entities).toBe(200_000)
    expect(collect() - before).toBeLessThan(200_000 * 300)
    clock.move(200_000)
    limits.prune(settings)
    expect(limits.size.entities).toBe(0)
    expect(collect() - before).toBeLessThan(10_000_000)
  })

  test('100,000 keys with limits of their own take less than 600 bytes each', () => {
    const { clock, limits } = setUp([])
    const before = collect()
    // As a key carries it: settings of its own. Those are the key's memory; here they are let go.
    for (let i = 0; i < 100_000; i++) {
      if (i % 1_000 === 0) clock.move(100)
      const key = `key-${i}`
      const own = limit({ name: `key ${key}`, only: { key }, requests: 5, concurrency: 5, group: 'key 1 60000' })
      const verdict = limits.admit(findApplied([[own]], { key }), { tokens: 0 }) as LimitVerdict
      if (verdict.ok) verdict.lease.release()
    }
    expect(limits.size.entities).toBe(100_000)
    expect(collect() - before).toBeLessThan(100_000 * 600)
    clock.move(200_000)
    limits.prune([])
    expect(limits.size.entities).toBe(0)
  })

  test('beyond the bound newcomers share one count: nobody gets more than the limit', () => {
    const { clock, enter, limits } = setUp(limit({ requests: 2 }), { maxEntities: 10 })
    for (let i = 0; i < 10; i++) expect(enter(`key-${i}`)).toBeDefined()
    expect(enter('late-1')).toBeDefined()
    expect(enter('late-2')).toBeDefined()
    expect(enter('late-3')).toBeUndefined()
    expect(enter('late-1')).toBeUndefined()
    // Those who came before are not concerned.
    expect(enter('key-3')).toBeDefined()
    expect(limits.size.entities).toBe(10)
    // There is room again, and still nobody gets more than two in any minute.
    clock.move(30_000)
    expect(enter('late-1')).toBeUndefined()
    clock.move(130_000)
    expect(enter('late-1')).toBeDefined()
  })

  test('those who shared a count have one of their own when there is room again, and begin with what was shared', () => {
    const { clock, enter } = setUp(limit({ requests: 2 }), { maxEntities: 10 })
    for (let i = 0; i < 10; i++) enter(`key-${i}`)
    for (const ms of [100_000, 30_000]) {
      clock.move(ms)
      expect(enter('late-1')).toBeDefined()
    }
    clock.move(31_000)
    for (const late of ['late-1', 'late-2', 'late-3']) {
      expect(enter(late), late).toBeDefined()
      expect(enter(late), late).toBeUndefined()
    }
  })

  test('a log grows with what passes in a window, not with time', () => {
    const log = new SlidingLog(shapeOf(60_000))
    for (let now = 0; now < 300_000; now += 10) {
      log.expire(now)
      log.add(now, 1)
      if (now > 60_000 && now % 1_000 === 0) expect(log.sum).toBe(6_001)
    }
  })

  test('entities in use stay, idle ones go within two windows', () => {
    const table = new LogTable(shapeOf(1_000))
    for (let now = 0; now < 20_000; now += 100) {
      table.take('steady', now).add(now, 1)
      table.take(`once-${now}`, now).add(now, 1)
      expect(table.size).toBeLessThan(25)
    }
    expect(table.find('steady', 20_000)!.sum).toBe(10)
  })
})

describe('addresses that try keys', () => {
  test('are shut out for a minute after too many wrong ones, and others are not', () => {
    let now = 0
    const failures = createDoorLimit(3, 60_000, () => now)
    for (let i = 0; i < 3; i++) {
      expect(failures.wait('10.0.0.1')).toBeUndefined()
      failures.count('10.0.0.1')
    }
    expect(failures.wait('10.0.0.1')).toBe(60_001)
    expect(failures.wait('10.0.0.2')).toBeUndefined()
    now = 30_000
    failures.count('10.0.0.1')
    now = 60_001
    expect(failures.wait('10.0.0.1')).toBeUndefined()
  })

  test('0 means no limit', () => {
    const door = createDoorLimit(0)
    for (let i = 0; i < 1_000; i++) expect(door.take('a')).toBeUndefined()
    expect(door.size).toBe(0)
  })

  test('a page with 60 a minute answers 60 times', () => {
    const door = createDoorLimit(60, 60_000, () => 5)
    expect(Array.from({ length: 100 }, () => door.take('a')).filter((ms) => ms === undefined)).toHaveLength(60)
  })
})

test('C30 a refusal says which limit, whose, and when to come back', () => {
  const { enter, refusal } = setUp(limit({ requests: 1 }))
  enter()
  expect(explainRefusal(refusal())).toBe('Rate limit reached: 1 requests in 60 s for this key. Try again in 61 s.')
  expect(retryAfterSeconds(60_001)).toBe(61)
  expect(retryAfterSeconds(undefined)).toBe(1)
  expect([999.2, 1_000, 60_001, 360_000, 3_600_000].map(showSpan)).toEqual(['1000ms', '1s', '1m1s', '6m0s', '1h0m0s'])
})
