// The breaker of a target: when it opens, who may probe, and that neither clients nor stragglers decide for it.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Breaker, type BreakerSettings, type Transition } from '../src/state/breaker.ts'
import { createHealth } from '../src/state/health.ts'
import { createRetryBudget } from '../src/state/retryBudget.ts'

const settings: BreakerSettings = {
  failures: 5,
  percent: 50,
  volume: 20,
  window: 60_000,
  openFor: 60_000,
  unhealthyFor: 300_000,
  autoDisableAfter: 0,
}

let told: Transition[]
const make = (over: Partial<BreakerSettings> = {}): Breaker =>
  new Breaker(
    () => ({ ...settings, ...over }),
    (transition) => told.push(transition),
  )

const fail = (breaker: Breaker, times: number, kind = 'server_error'): void => {
  for (let n = 0; n < times; n++) breaker.settle(breaker.admit()!, 'count', kind)
}

beforeEach(() => {
  told = []
  vi.useFakeTimers({ now: 1_800_000_000_000 })
})
afterEach(() => vi.useRealTimers())

describe('a breaker', () => {
  it('opens at the fifth fault in a row, not before, and not when a success came between', () => {
    const breaker = make()
    fail(breaker, 4)
    breaker.settle(breaker.admit()!, 'good')
    fail(breaker, 4)
    expect(breaker.state).toBe('closed')
    fail(breaker, 1)
    expect(breaker.state).toBe('open')
    expect(breaker.admit()).toBeUndefined()
    expect(told.map(({ from, to, reason }) => [from, to, reason])).toEqual([['closed', 'open', 'server_error']])
  })

  it('counts faults in a row, also after many successes: twenty in a row open what a percentage would leave closed', () => {
    const breaker = make({ percent: 100 })
    for (let n = 0; n < 200; n++) breaker.settle(breaker.admit()!, 'good')
    fail(breaker, 5)
    expect(breaker.state).toBe('open')
  })

  it('tells of no longer wait than its own, and lets a last resort through, when the clock is set back', () => {
    const breaker = make()
    vi.setSystemTime(Date.now() + 400 * 86_400_000)
    fail(breaker, 5)
    breaker.settle(breaker.lastResort()!, 'none')
    vi.setSystemTime(Date.now() - 400 * 86_400_000)
    expect(breaker.wait()).toBe(60_000)
    const probe = breaker.lastResort()!
    expect(probe).toBeDefined()
    vi.advanceTimersByTime(60_000)
    // It is still under way: nobody may call.
    expect([breaker.state, breaker.wait(), breaker.admit()]).toEqual(['half_open', 1000, undefined])
    breaker.settle(probe, 'none')
    expect([breaker.state, breaker.wait()]).toEqual(['half_open', 0])
  })

  it('opens on a share of calls within the window too', () => {
    const breaker = make({ failures: 100, percent: 50, volume: 20 })
    for (let n = 0; n < 10; n++) {
      breaker.settle(breaker.admit()!, 'good')
      breaker.settle(breaker.admit()!, 'count', 'reset')
    }
    expect(breaker.state).toBe('open')
  })

  it('forgets calls that are older than the window', () => {
    const breaker = make({ failures: 100, percent: 50, volume: 20 })
    for (let n = 0; n < 15; n++) breaker.settle(breaker.admit()!, 'count', 'reset')
    vi.advanceTimersByTime(61_000)
    for (let n = 0; n < 6; n++) breaker.settle(breaker.admit()!, 'good')
    breaker.settle(breaker.admit()!, 'count', 'reset')
    expect(breaker.state).toBe('closed')
  })

  it('opens for the long time at the first hard fault', () => {
    const breaker = make()
    breaker.settle(breaker.admit()!, 'hard', 'auth_failed')
    expect(breaker.report()).toMatchObject({ state: 'open', until: Date.now() + 300_000, reason: 'auth_failed' })
    vi.advanceTimersByTime(299_000)
    expect(breaker.admit()).toBeUndefined()
    vi.advanceTimersByTime(1_001)
    expect(breaker.state).toBe('half_open')
  })

  it('ignores what says nothing about the target', () => {
    const breaker = make({ failures: 1 })
    for (let n = 0; n < 50; n++) breaker.settle(breaker.admit()!, 'none', 'bad_request')
    expect(breaker.state).toBe('closed')
  })

  it('lets one probe through when the wait is over: its success closes, its fault opens again', () => {
    const breaker = make()
    fail(breaker, 5)
    vi.advanceTimersByTime(60_001)
    const probe = breaker.admit()!
    expect(probe.probe).toBe(true)
    expect(breaker.admit()).toBeUndefined()
    breaker.settle(probe, 'count', 'reset')
    expect(breaker.state).toBe('open')
    vi.advanceTimersByTime(60_001)
    breaker.settle(breaker.admit()!, 'good')
    expect(breaker.state).toBe('closed')
    expect(told.map(({ to }) => to)).toEqual(['open', 'half_open', 'open', 'half_open', 'closed'])
  })

  it('frees the slot of a probe whose client left, and takes it for neither success nor failure', () => {
    const breaker = make()
    fail(breaker, 5)
    vi.advanceTimersByTime(60_001)
    breaker.settle(breaker.admit()!, 'none')
    expect(breaker.state).toBe('half_open')
    const next = breaker.admit()!
    expect(next.probe).toBe(true)
    breaker.settle(next, 'good')
    expect(breaker.state).toBe('closed')
  })

  it('is not closed by a success that began before it opened', () => {
    const breaker = make()
    const early = breaker.admit()!
    fail(breaker, 5)
    breaker.settle(early, 'good')
    expect(breaker.state).toBe('open')
    vi.advanceTimersByTime(60_001)
    breaker.settle(early, 'good')
    expect(breaker.state).toBe('half_open')
  })

  it('forgives nothing for a success of a call from before an opening', () => {
    const breaker = make()
    const early = breaker.admit()!
    fail(breaker, 5)
    vi.advanceTimersByTime(60_001)
    breaker.settle(breaker.admit()!, 'good')
    fail(breaker, 4)
    breaker.settle(early, 'good')
    fail(breaker, 1)
    expect(breaker.state).toBe('open')
  })

  it('does not count faults of calls from before an opening twice', () => {
    const breaker = make()
    const early = Array.from({ length: 10 }, () => breaker.admit()!)
    fail(breaker, 5)
    vi.advanceTimersByTime(60_001)
    breaker.settle(breaker.admit()!, 'good')
    for (const permit of early) breaker.settle(permit, 'count', 'reset')
    expect(breaker.state).toBe('closed')
  })

  it('is not shut again by what was under way when an operator reset it, nor is a probe of since then ended by it', () => {
    const breaker = make()
    const early = Array.from({ length: 10 }, () => breaker.admit()!)
    breaker.reset('operator')
    for (const permit of early) breaker.settle(permit, 'count', 'idle_timeout')
    expect(breaker.state).toBe('closed')
    fail(breaker, 5)
    const probe = breaker.lastResort()!
    breaker.reset('operator')
    breaker.settle(probe, 'count', 'idle_timeout')
    expect([breaker.state, breaker.report().consecutive]).toEqual(['closed', 0])

    fail(breaker, 5)
    vi.advanceTimersByTime(60_001)
    const hanging = breaker.admit()!
    breaker.reset('operator')
    fail(breaker, 5)
    vi.advanceTimersByTime(60_001)
    const second = breaker.admit()!
    breaker.settle(hanging, 'good')
    expect([breaker.state, breaker.admit()]).toEqual(['half_open', undefined])
    breaker.settle(second, 'good')
    expect(breaker.state).toBe('closed')
  })

  it('gives one last-resort probe at a time, at most one a second', () => {
    const breaker = make()
    fail(breaker, 5)
    const probe = breaker.lastResort()!
    expect(probe.probe).toBe(true)
    expect(breaker.lastResort()).toBeUndefined()
    breaker.settle(probe, 'none')
    expect(breaker.lastResort()).toBeUndefined()
    vi.advanceTimersByTime(1_000)
    breaker.settle(breaker.lastResort()!, 'good')
    expect(breaker.state).toBe('closed')
  })

  it('is switched off after so many faults in a row where that is asked for, until somebody switches it on', () => {
    const breaker = make({ autoDisableAfter: 3 })
    fail(breaker, 3)
    vi.advanceTimersByTime(3_600_000)
    expect(breaker.state).toBe('disabled')
    expect(breaker.admit()).toBeUndefined()
    expect(breaker.lastResort()).toBeUndefined()
    breaker.reset('operator')
    expect(breaker.admit()).toBeDefined()
  })

  it('names no time for one that is switched off while it is open', () => {
    const breaker = make({ failures: 2, autoDisableAfter: 3 })
    fail(breaker, 2)
    breaker.settle(breaker.lastResort()!, 'count', 'server_error')
    expect(breaker.report()).toMatchObject({ state: 'disabled', until: undefined, reason: 'autoDisableAfter' })
  })

  it('tells of nothing behind the switch, which would be stored in its place and leave the target on after a restart', () => {
    const waited = make({ failures: 2 })
    fail(waited, 2)
    waited.disable('operator')
    vi.advanceTimersByTime(61_000)
    const failed = make({ failures: 1 })
    const running = failed.admit()!
    failed.disable('operator')
    failed.settle(running, 'count', 'server_error')
    const probed = make({ failures: 1 })
    fail(probed, 1)
    const probe = probed.lastResort()!
    probed.disable('operator')
    probed.settle(probe, 'good')
    expect(told.map((one) => one.to)).toEqual(['open', 'disabled', 'disabled', 'open', 'disabled'])
    for (const breaker of [waited, failed, probed]) {
      breaker.reset('operator')
      expect(told.pop()).toMatchObject({ from: 'disabled', to: 'closed' })
    }
  })

  it('starts a longer wait anew when a hard fault comes while it is open', () => {
    const breaker = make()
    const running = breaker.admit()!
    fail(breaker, 5)
    breaker.settle({ ...running, generation: 1 }, 'hard', 'quota_exhausted')
    vi.advanceTimersByTime(61_000)
    expect(breaker.state).toBe('open')
  })

  it('keeps no timer of its own while closed', () => {
    for (let n = 0; n < 100; n++) make()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('health', () => {
  it('restores breakers of an earlier run with a probe at a moment of its own', () => {
    const health = createHealth({ settings: () => settings, random: () => 0.5 })
    health.restore([
      { target: 'a', state: 'open', reason: 'reset' },
      { target: 'b', state: 'disabled', reason: 'operator' },
    ])
    expect([health.stateOf('a'), health.stateOf('b'), health.stateOf('c')]).toEqual(['open', 'disabled', 'closed'])
    vi.advanceTimersByTime(2_502)
    expect(health.stateOf('a')).toBe('half_open')
    expect(health.admit('b')).toBeUndefined()
    health.close()
  })

  it('tells and reports the moment of a restored breaker in whole milliseconds, as the table of saved states takes it', () => {
    const told: (number | undefined)[] = []
    const health = createHealth({
      settings: () => settings,
      random: () => 0.123456789,
      told: (_, { until }) => told.push(until),
    })
    health.restore([{ target: 'a', state: 'open', reason: 'reset' }])
    expect(told.map(Number.isSafeInteger)).toEqual([true])
    expect(health.report('a').until).toBe(told[0])
    health.close()
  })

  it('stays bounded under names that clients make up', () => {
    const health = createHealth({ settings: () => settings })
    for (let n = 0; n < 20_000; n++) health.settle(`junk/${n}`, health.admit(`junk/${n}`)!, 'good')
    expect(health.stateOf('junk/0')).toBe('closed')
    expect(vi.getTimerCount()).toBe(0)
    health.close()
  })

  it('forgets neither what is configured nor what was switched off for names that clients make up', () => {
    const health = createHealth({ settings: () => settings })
    health.prune(new Set(['a', 'b']))
    for (let n = 0; n < 5; n++) health.settle('a', health.admit('a')!, 'count', 'reset')
    health.disable('b', 'operator')
    health.disable('direct/model', 'operator')
    for (let n = 0; n < 20_000; n++) health.settle(`junk/${n}`, health.admit(`junk/${n}`)!, 'hard', 'auth_failed')
    expect(['a', 'b', 'direct/model'].map(health.stateOf)).toEqual(['open', 'disabled', 'disabled'])
    // A timer each: those of the forgotten ones are gone.
    expect(vi.getTimerCount()).toBeLessThanOrEqual(5_000)
    health.close()
  })

  it('stays bounded where all that clients make up is switched off by its faults', () => {
    const health = createHealth({ settings: () => ({ ...settings, autoDisableAfter: 1 }) })
    for (let n = 0; n < 6_000; n++) health.settle(`junk/${n}`, health.admit(`junk/${n}`)!, 'hard', 'auth_failed')
    expect([health.stateOf('junk/0'), health.stateOf('junk/5999')]).toEqual(['closed', 'disabled'])
    health.close()
  })

  it('says how long until the first of several targets may be asked', () => {
    const health = createHealth({ settings: (target) => ({ ...settings, openFor: target === 'a' ? 30_000 : 60_000 }) })
    for (const target of ['a', 'b'])
      for (let n = 0; n < 5; n++) health.settle(target, health.admit(target)!, 'count', 'reset')
    expect(health.wait(['a', 'b'])).toBe(30_000)
    expect(health.wait(['a', 'b', 'c'])).toBe(0)
    health.close()
  })
})

describe('the retry budget', () => {
  it('gives a few retries from the start and then a share of the traffic', () => {
    const budget = createRetryBudget()
    let granted = 0
    for (let n = 0; n < 1000; n++) {
      budget.earn('chat', 0.2)
      while (budget.take('chat')) granted++
    }
    expect(granted).toBeGreaterThanOrEqual(208)
    expect(granted).toBeLessThanOrEqual(210)
  })

  it('saves up a hundred at the most', () => {
    const budget = createRetryBudget()
    for (let n = 0; n < 10_000; n++) budget.earn('chat', 1)
    let granted = 0
    while (budget.take('chat')) granted++
    expect(granted).toBe(100)
  })

  it('remembers so many routes, and forgets the oldest for another alone', () => {
    const budget = createRetryBudget(2)
    const left = (route: string): number => {
      let granted = 0
      while (budget.take(route)) granted++
      return granted
    }
    budget.earn('a', 5)
    for (let n = 0; n < 3; n++) budget.earn('b', 1)
    expect(left('a')).toBe(15)
    budget.earn('c', 1)
    expect([left('a'), left('b'), left('c')]).toEqual([10, 13, 11])
  })
})
