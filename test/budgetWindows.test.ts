// Budgets over time: windows of the calendar and rolling ones, what crosses their edges, what is told, and what is remembered.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { BudgetSettings } from '../src/config/limitTypes.ts'
import { createRestore } from '../src/gateway/budgetRestore.ts'
import type { AppliedBudget, BudgetEvent, Budgets, Reservation } from '../src/state/budgets/budget.ts'
import { createBudgets } from '../src/state/budgets/budgets.ts'
import { rebuild, spendQuestions } from '../src/state/budgets/rebuild.ts'
import { windowAt } from '../src/state/budgets/window.ts'
import { readBudgetSpend } from '../src/store/budgetSpend.ts'
import { openLedger } from '../src/store/ledger.ts'
import { attemptId, firstIdOf } from '../src/store/ledgerId.ts'
import { openStore } from '../src/store/open.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'

const hour = 3_600_000
const day = 24 * hour

const settingsOf = (over: Partial<BudgetSettings> = {}): BudgetSettings => ({
  name: 'b',
  per: [],
  only: {},
  limitNano: 1_000,
  hard: true,
  window: 'day',
  rolling: false,
  timezone: 'UTC',
  degradeTo: undefined,
  fit: false,
  onUnknownPrice: 'refuse',
  ...over,
})

function open(settings: BudgetSettings, at: number) {
  const clock = { now: at }
  const events: BudgetEvent[] = []
  const budgets = createBudgets({ now: () => clock.now, told: (event) => events.push(event) })
  const applied = [{ setting: settings, entity: '' }]
  const hold = (nano: number): Reservation | undefined => {
    const verdict = budgets.reserve(applied, nano)
    return verdict.ok ? verdict.reservation : undefined
  }
  const spend = (nano: number): boolean => {
    const reservation = hold(nano)
    if (reservation) budgets.settle(reservation, nano)
    return reservation !== undefined
  }
  return { clock, events, budgets, hold, spend, state: () => budgets.states(applied)[0]! }
}

describe('windows of the calendar', () => {
  it.each([
    ['Europe/Berlin', '2026-03-29T12:00:00Z', 23],
    ['Europe/Berlin', '2026-10-25T12:00:00Z', 25],
    ['America/New_York', '2026-11-21T03:00:00Z', 24],
    ['Asia/Kolkata', '2026-06-01T00:00:00Z', 24],
  ])('a day in %s is as long as it is', (timezone, at, hours) => {
    const { start, end } = windowAt('day', timezone, Date.parse(at))
    expect((end - start) / hour).toBe(hours)
  })

  it.each([
    ['minute', 'UTC', '2026-03-04T05:06:59.999Z', '2026-03-04T05:06Z', '2026-03-04T05:07Z'],
    ['hour', 'UTC', '2026-03-04T05:00:00Z', '2026-03-04T05:00Z', '2026-03-04T06:00Z'],
    ['hour', 'Asia/Kolkata', '2026-03-04T05:29:59Z', '2026-03-04T04:30Z', '2026-03-04T05:30Z'],
    ['hour', 'Asia/Kathmandu', '2026-03-04T05:15:00Z', '2026-03-04T05:15Z', '2026-03-04T06:15Z'],
    ['day', 'America/New_York', '2026-03-08T12:00:00Z', '2026-03-08T05:00Z', '2026-03-09T04:00Z'],
    // On Monday, Wednesday and Sunday, whichever date that is in UTC.
    ['week', 'UTC', '2026-03-02T00:00:00Z', '2026-03-02T00:00Z', '2026-03-09T00:00Z'],
    ['week', 'UTC', '2026-03-11T12:00:00Z', '2026-03-09T00:00Z', '2026-03-16T00:00Z'],
    ['week', 'America/New_York', '2026-03-09T03:59:59Z', '2026-03-02T05:00Z', '2026-03-09T04:00Z'],
    ['month', 'Europe/Berlin', '2026-03-31T21:59:59Z', '2026-02-28T23:00Z', '2026-03-31T22:00Z'],
    ['month', 'UTC', '2027-12-31T23:59:59Z', '2027-12-01T00:00Z', '2028-01-01T00:00Z'],
    // Clocks go from 24:00 to 01:00 there; went from 23:30 to 00:30; and Samoa went without its 30th of December.
    ['day', 'Africa/Cairo', '2026-04-23T22:00:00Z', '2026-04-23T22:00Z', '2026-04-24T21:00Z'],
    ['day', 'America/Toronto', '1919-03-31T04:30:00Z', '1919-03-31T04:30Z', '1919-04-01T04:00Z'],
    ['day', 'Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29T10:00Z', '2011-12-30T10:00Z'],
  ] as const)('a %s in %s, around %s', (window, timezone, at, start, end) => {
    const span = { start: Date.parse(start), end: Date.parse(end) }
    expect(windowAt(window, timezone, Date.parse(at))).toEqual(span)
  })

  it('give the whole limit again at midnight of their zone, not before', () => {
    const settings = settingsOf({ timezone: 'Europe/Berlin' })
    const { clock, spend, state } = open(settings, Date.parse('2026-07-01T21:59:59.999Z'))
    expect(spend(1_000)).toBe(true)
    expect(spend(1)).toBe(false)
    expect(state().reset).toBe(Date.parse('2026-07-01T22:00:00Z'))
    clock.now = Date.parse('2026-07-01T22:00:00Z')
    expect(spend(1_000)).toBe(true)
    // A clock that goes back does not give the money twice.
    clock.now -= 2 * hour
    expect(spend(1)).toBe(false)
  })

  it('charge a call to the window that it was admitted in, whenever it ends', () => {
    const { clock, budgets, hold, state } = open(settingsOf(), Date.parse('2026-07-01T23:59:00Z'))
    const late = hold(600)!
    clock.now += hour
    expect(state()).toMatchObject({ spent: 0, reserved: 0 })
    const next = hold(1_000)!
    budgets.settle(late, 500)
    expect(state()).toMatchObject({ spent: 0, reserved: 1_000 })
    budgets.settle(next, 900)
    budgets.settle(next, 900)
    budgets.release(next)
    expect(state()).toMatchObject({ spent: 900, reserved: 0 })
  })

  it('charge the first call of a window to it, where nobody asks for room', () => {
    const { clock, budgets, hold, spend, state } = open(settingsOf({ hard: false }), Date.parse('2026-07-01T23:00:00Z'))
    spend(500)
    clock.now += 2 * hour
    budgets.settle(hold(600)!, 550)
    expect(state()).toMatchObject({ spent: 550, reserved: 0 })
    // Of one whose cost nobody knows, what was held.
    budgets.settle(hold(600)!, null)
    expect(state()).toMatchObject({ spent: 1_150, reserved: 0 })
  })

  it('make room for somebody new when those who spent in the last one spend no more', () => {
    const clock = { now: Date.parse('2026-07-01T12:00:00Z') }
    const budgets = createBudgets({ now: () => clock.now, maxAccounts: 2 })
    const setting = settingsOf({ per: ['user'] })
    const spenders = (...users: string[]): string[] => {
      for (const entity of users) {
        const verdict = budgets.reserve([{ setting, entity }], 10)
        if (verdict.ok) budgets.settle(verdict.reservation, 10)
      }
      return [...budgets.entities(setting)].map(({ entity }) => entity)
    }
    expect(spenders('a', 'b', 'c')).toEqual(['a', 'b', '(others)'])
    clock.now += day
    expect(spenders('c')).toEqual(['c'])
  })
})

describe('rolling windows', () => {
  it('never hold more than the limit in any stretch of their length', () => {
    const { clock, spend, state } = open(
      settingsOf({ rolling: true, window: 'hour' }),
      Date.parse('2026-07-01T12:34:56Z'),
    )
    const passed: [at: number, nano: number][] = []
    let draw = 7
    for (let step = 0; step < 2_000; step++) {
      draw = (draw * 48_271) % 2_147_483_647
      clock.now += draw % 60_000
      const nano = 1 + (draw % 300)
      if (spend(nano)) passed.push([clock.now, nano])
      const within = passed.filter(([at]) => at > clock.now - hour).reduce((sum, [, part]) => sum + part, 0)
      expect(within).toBeLessThanOrEqual(1_000)
      expect(state().spent).toBeGreaterThanOrEqual(within)
    }
    expect(passed.length).toBeGreaterThan(100)
    clock.now += hour + 60_000
    expect(state().spent).toBe(0)
  })

  it('say when there is room again, and are right', () => {
    const settings = settingsOf({ rolling: true, window: 'day' })
    const { clock, budgets, spend } = open(settings, Date.parse('2026-07-01T00:00:00Z'))
    expect(spend(700)).toBe(true)
    clock.now += hour
    expect(spend(300)).toBe(true)
    const verdict = budgets.reserve([{ setting: settings, entity: '' }], 500)
    const reset = verdict.ok ? 0 : verdict.refusal.reset!
    // A thousandth of the window is the step it moves in.
    expect(reset - Date.parse('2026-07-02T00:00:00Z')).toBeLessThanOrEqual(2 * (day / 1_000))
    clock.now = reset
    expect(spend(500)).toBe(true)
  })
})

describe('several without room', () => {
  it('say when the last of them has it, and go where any of them says', () => {
    const now = Date.parse('2026-07-01T08:30:00Z')
    const named = (name: string, more: Partial<BudgetSettings>) => ({
      setting: settingsOf({ name, ...more }),
      entity: '',
    })
    const hourly = named('hourly', { window: 'hour' })
    const daily = named('daily', { degradeTo: 'cheap' })
    const small = named('small', { limitNano: 400 })
    const budgets = createBudgets({ now: () => now })
    const refusalOf = (applied: AppliedBudget[], nano: number) => {
      const verdict = budgets.reserve(applied, nano)
      return verdict.ok ? undefined : verdict.refusal
    }
    expect(refusalOf([hourly, daily], 900)).toBeUndefined()
    const both = { name: 'daily', degradeTo: 'cheap', reset: Date.parse('2026-07-02T00:00:00Z') }
    expect(refusalOf([hourly, daily], 500)).toMatchObject(both)
    expect(refusalOf([daily, hourly], 500)).toMatchObject(both)
    expect(refusalOf([daily, small, hourly], 500)).toMatchObject({
      name: 'small',
      reason: 'too_large',
      degradeTo: 'cheap',
    })
    expect(refusalOf([hourly, named('free', { degradeTo: 'cheap' })], 500)).toMatchObject({ degradeTo: undefined })
    // None of them held anything of what was refused.
    expect(refusalOf([small], 400)).toBeUndefined()
  })
})

describe('what is told', () => {
  it('each share of the limit once a window, and the first refusal', () => {
    const { clock, events, budgets, spend } = open(settingsOf(), Date.parse('2026-07-01T08:00:00Z'))
    for (let n = 0; n < 9; n++) spend(100)
    for (let n = 0; n < 2; n++) {
      const verdict = budgets.reserve([{ setting: settingsOf(), entity: '' }], 200)
      if (!verdict.ok) budgets.tellRefused(verdict.refusal)
    }
    spend(100)
    const told = () => events.splice(0).map(({ kind, percent }) => `${kind} ${percent}`)
    expect(told()).toEqual(['threshold 50', 'threshold 80', 'exhausted 100', 'threshold 100'])
    clock.now += day
    spend(600)
    expect(told()).toEqual(['threshold 50'])
  })

  it('of a rolling window again when it has emptied meanwhile, and not with each call at its edge', () => {
    const rolling = settingsOf({ rolling: true })
    const { clock, events, budgets, spend, state } = open(rolling, Date.parse('2026-07-01T08:00:00Z'))
    const told = () => events.splice(0).map(({ kind, percent }) => `${kind} ${percent}`)
    const refuse = (): void => {
      const verdict = budgets.reserve([{ setting: rolling, entity: '' }], 1_000)
      if (!verdict.ok) budgets.tellRefused(verdict.refusal)
    }
    // Every two hours a thirteenth: what leaves is what comes, from 936 to 864 and back.
    for (let n = 0; n < 40; n++) {
      spend(72)
      refuse()
      clock.now += 2 * hour
    }
    expect(told()).toEqual(['exhausted 100', 'threshold 50', 'threshold 80'])
    clock.now += 6 * hour
    expect(state().spent).toBeLessThan(800 * 0.95)
    refuse()
    for (let n = 0; n < 3; n++) spend(72)
    refuse()
    expect(told()).toEqual(['threshold 80'])
    // One call takes it from nearly nothing to where it was before.
    clock.now += 23 * hour
    spend(1)
    clock.now += 2 * hour
    spend(850)
    refuse()
    expect(told()).toEqual(['threshold 80', 'exhausted 100'])
  })

  it('the first refusal of a rolling window once, also where all is held and nothing spent', () => {
    const rolling = settingsOf({ rolling: true })
    const { events, budgets, hold } = open(rolling, Date.parse('2026-07-01T08:00:00Z'))
    const refuse = (): void => {
      const verdict = budgets.reserve([{ setting: rolling, entity: '' }], 200)
      if (!verdict.ok) budgets.tellRefused(verdict.refusal)
    }
    for (let n = 1; n <= 2; n++) {
      const held = hold(900)!
      for (let calls = 0; calls < 3; calls++) refuse()
      expect(events).toHaveLength(n)
      budgets.release(held)
    }
  })
})

describe('what is told of another limit', () => {
  it('is each share of it that is passed from then on, and its first refusal', () => {
    const { events, budgets, hold, spend } = open(settingsOf(), Date.parse('2026-07-01T08:00:00Z'))
    const told = () => events.splice(0).map(({ kind, percent, limit }) => `${kind} ${percent} of ${limit}`)
    const refuse = (setting: BudgetSettings): void => {
      const verdict = budgets.reserve([{ setting, entity: '' }], 100)
      if (!verdict.ok) budgets.tellRefused(verdict.refusal)
    }
    const early = hold(100)!
    spend(900)
    budgets.settle(early, 100)
    refuse(settingsOf())
    expect(told()).toEqual(['threshold 80 of 1000', 'threshold 100 of 1000', 'exhausted 100 of 1000'])
    const late = hold(0)!
    const raised = settingsOf({ limitNano: 2_000 })
    budgets.prune([raised])
    // 50 percent are passed already; a call that began under another limit tells nothing of that one.
    budgets.settle(late, 100)
    for (let n = 0; n < 9; n++) {
      const verdict = budgets.reserve([{ setting: raised, entity: '' }], 100)
      if (verdict.ok) budgets.settle(verdict.reservation, 100)
    }
    refuse(raised)
    expect(told()).toEqual(['threshold 80 of 2000', 'threshold 100 of 2000', 'exhausted 100 of 2000'])
    // As much again is no news.
    budgets.prune([settingsOf({ limitNano: 2_000 })])
    refuse(raised)
    expect(told()).toEqual([])
  })
})

describe('what the ledger remembers', () => {
  it('brings back the windows of now, whatever they count by, to the nano-dollar', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-windows-'))
    const now = Date.parse('2026-07-15T13:17:00Z')
    const store = openStore({ file: join(folder, 'turnout.db') })
    const ledger = openLedger(store, { now: () => now })
    onTestFinished(async () => {
      await ledger.close()
      store.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const rows = [
      { at: '2026-05-20T10:00:00Z', key: 'a', cost: 1 },
      { at: '2026-06-30T23:00:00Z', key: 'a', cost: 10 },
      { at: '2026-07-01T00:00:00Z', key: 'b', cost: 100 },
      { at: '2026-07-14T13:00:00Z', key: 'a', cost: 1_000 },
      { at: '2026-07-14T14:00:00Z', key: 'b', cost: 10_000 },
      { at: '2026-07-15T12:59:59Z', key: 'a', cost: 100_000 },
      { at: '2026-07-15T13:16:00Z', key: 'a', cost: 1_000_000 },
    ]
    for (const { at, key, cost } of rows) {
      const id = firstIdOf(Date.parse(at))
      await ledger.settle(requestRow(id, { key, user: `u_${key}` }), [attemptRow(id, 1, { cost })])
    }
    const budgets = createBudgets({ now: () => now, recorded: true })
    const of = (over: Partial<BudgetSettings>): BudgetSettings => settingsOf({ limitNano: 1e12, ...over })
    const known: [BudgetSettings, Record<string, number>][] = [
      [of({ name: 'life', window: 'lifetime' }), { '': 1_111_111 }],
      [of({ name: 'month', window: 'month', per: ['key'] }), { a: 1_101_000, b: 10_100 }],
      // June 30th at 23:00 UTC is July already, in Berlin.
      [of({ name: 'berlin', window: 'month', timezone: 'Europe/Berlin', per: ['key'] }), { a: 1_101_010, b: 10_100 }],
      [of({ name: 'user', window: 'month', per: ['user'] }), { u_a: 1_101_000, u_b: 10_100 }],
      [of({ name: 'day', window: 'day', rolling: true }), { '': 1_110_000 }],
      [of({ name: 'hour', window: 'hour', per: ['key'] }), { a: 1_000_000 }],
      [of({ name: 'only', window: 'month', only: { key: 'b' } }), { b: 10_100 }],
      [of({ name: 'target', window: 'week', per: ['target'] }), { 'openai/gpt-4o': 1_111_000 }],
    ]
    const restore = createRestore(
      budgets,
      async (question) => readBudgetSpend(store.db, question),
      () => now,
    )
    const all = known.map(([settings]) => settings)
    // Whoever asks first and how often makes no difference.
    await Promise.all([restore(all), restore(all.slice(2)), restore(all.slice(0, 3))])
    await restore(all)
    for (const [settings, expected] of known) {
      const found = Object.fromEntries([...budgets.entities(settings)].map(({ entity, spent }) => [entity, spent]))
      expect(found, settings.name).toEqual(expected)
      expect(budgets.isRestored(settings)).toBe(true)
    }
    // A budget that asks by itself is told of nothing that it is not for: all other keys may be many.
    const told = (settings: BudgetSettings[], by: 'key' | 'user' | 'target') =>
      spendQuestions(settings, now).flatMap(({ question }) =>
        readBudgetSpend(store.db, question).map((row) => `${row[by]} ${row.nano}`),
      )
    const own = (over: Partial<BudgetSettings>, by: 'key' | 'user' | 'target') => told([of(over)], by)
    expect(own({ only: { key: 'b' }, window: 'month' }, 'key')).toEqual(['b 10100'])
    expect(own({ only: { key: 'b' }, window: 'week', rolling: true }, 'key')).toEqual(['b 10000'])
    expect(own({ only: { key: 'b', user: 'u_b' }, window: 'month' }, 'user')).toEqual(['u_b 10100'])
    expect(own({ only: { key: 'nobody' }, window: 'month' }, 'key')).toEqual([])
    expect(own({ only: { target: 'nowhere' }, window: 'month' }, 'target')).toEqual([])
    expect(spendQuestions([of({ only: { key: 'a' } }), of({ only: { key: 'b' } })], now)).toHaveLength(1)
    // Nor are two of one key, a soft one and a hard one.
    const soft = of({ only: { key: 'b', user: 'u_b' }, window: 'month', hard: false })
    expect(told([soft, of({ ...soft, name: 'hard' })], 'key')).toEqual(['b 10100'])
    expect(told([soft, of({ ...soft, only: { key: 'b', user: 'u_a' } })], 'key')).toEqual(['b 10100'])
    expect(told([soft, of({ ...soft, only: { key: 'a', user: 'u_b' } })], 'key')).toEqual(['b 10100'])
    expect(told([soft, of({ ...soft, only: { key: 'a', user: 'u_a' } })], 'key')).toHaveLength(2)
  })

  it('looks for the budgets of a row by its names, however many keys have one of their own', () => {
    const budgets = createBudgets({ recorded: true })
    let looks = 0
    const counted: Budgets = {
      ...budgets,
      restore(...spent) {
        looks++
        budgets.restore(...spent)
      },
    }
    const at = Date.now()
    const keys = Array.from({ length: 200 }, (_, index) => `key-${index}`)
    const own = keys.map((key) => settingsOf({ name: key, only: { key }, window: 'lifetime' }))
    const all = settingsOf({ name: 'all', window: 'lifetime' })
    const both = settingsOf({ name: 'both', only: { team: 'shop', key: 'key-7' }, window: 'lifetime' })
    const rows = keys.map((key, index) => ({ at, nano: index + 1, key, ...(index < 100 ? { team: 'shop' } : {}) }))
    rebuild(counted, [...own, all, both], [...rows, { at, nano: 1_000 }], at)
    const spent = (settings: BudgetSettings) => [...budgets.entities(settings)].map((state) => state.spent)
    expect(own.map(spent)).toEqual(keys.map((_, index) => [index + 1]))
    expect([spent(all), spent(both)]).toEqual([[21_100], [8]])
    // One of its own and the one of all, and what is restricted to two names by the first of them.
    expect(looks).toBeLessThanOrEqual(2 * rows.length + 1 + 100)
  })

  it('books nothing in a window that began while the ledger was read', async () => {
    // A quarter to midnight in Berlin; the sums of the day are known by the day of UTC.
    const clock = { now: Date.parse('2026-07-15T21:45:00Z') }
    const turn = Date.parse('2026-07-15T22:00:00Z')
    const budgets = createBudgets({ now: () => clock.now, recorded: true })
    const settings = settingsOf({ limitNano: 1e12, timezone: 'Europe/Berlin' })
    const restore = createRestore(
      budgets,
      async () => {
        clock.now = turn + 1
        return [{ at: Date.parse('2026-07-15T23:59:59.999Z'), nano: 1_000 }]
      },
      () => clock.now,
    )
    await restore([settings])
    expect([...budgets.entities(settings)]).toEqual([])
  })

  it('tells nobody again of the share that was spent before', () => {
    const { clock, events, budgets, spend } = open(settingsOf(), Date.parse('2026-07-01T08:00:00Z'))
    budgets.restore(settingsOf(), { facts: {}, at: clock.now, nano: 850 })
    spend(50)
    expect(events).toEqual([])
    spend(100)
    expect(events).toMatchObject([{ kind: 'threshold', percent: 100 }])
  })

  it('finds entities by their names, and what others share', () => {
    const budgets = createBudgets({ maxAccounts: 2 })
    const spend = (setting: BudgetSettings, entity: string): void => {
      const verdict = budgets.reserve([{ setting, entity }], 10)
      if (verdict.ok) budgets.settle(verdict.reservation, 10)
    }
    const named = (setting: BudgetSettings, ...among: string[]) =>
      [...budgets.entities(setting, among)].map(({ entity, spent }) => `${entity} ${spent}`)
    const user = settingsOf({ name: 'user', per: ['user'] })
    for (const entity of ['a', 'b']) spend(user, entity)
    expect([named(user, 'b', 'x'), named(user)]).toEqual([['b 10'], []])
    for (const entity of ['c', 'd']) spend(user, entity)
    expect(named(user, 'a', 'c')).toEqual(['a 10', '(others) 20'])
    const both = settingsOf({ name: 'both', per: ['key', 'user'] })
    spend(both, 'k\0a')
    expect(named(both, 'k/a')).toEqual(['k/a 10'])
    const all = settingsOf({ name: 'all' })
    spend(all, '')
    expect(named(all)).toEqual([' 10'])
  })

  it('books nothing for a call that was certain to be free when the process died, and the estimate for the others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-free-'))
    const file = join(folder, 'turnout.db')
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const first = openStore({ file })
    const dying = openLedger(first)
    const id = dying.nextRequestId()
    await dying.intend(intentOf(id, 1))
    dying.free(attemptId(id, 1))
    await dying.intend(intentOf(id, 2))
    await dying.close()
    first.close()
    const store = openStore({ file })
    const ledger = openLedger(store)
    const found = store.db.prepare('SELECT cost FROM attempt ORDER BY id').pluck().all()
    await ledger.close()
    store.close()
    expect(found).toEqual([0, 750_000])
  })
})

it('who has spent from what those beyond the bound share has no limit of their own beside it when there is room again', () => {
  const setting = settingsOf({ per: ['user'] })
  const budgets = createBudgets({ maxAccounts: 1 })
  const hold = (entity: string, nano: number): Reservation | undefined => {
    const verdict = budgets.reserve([{ setting, entity }], nano)
    return verdict.ok ? verdict.reservation : undefined
  }
  const held = hold('early', 10)!
  budgets.settle(hold('late', 900)!, 900)
  budgets.release(held)
  budgets.prune([setting])
  expect(budgets.size.accounts).toBe(0)
  expect(hold('late', 200)).toBeUndefined()
  budgets.settle(hold('late', 100)!, 100)
  expect(hold('late', 1)).toBeUndefined()
})

it('somebody new beyond the bound does not cost a look at all accounts', () => {
  const settings = settingsOf({ per: ['user'], limitNano: 1e9, rolling: true })
  const at = Date.UTC(2026, 0, 1)
  const budgets = createBudgets({ now: () => at, maxAccounts: 20_000 })
  const use = (user: number, nano: number): void => {
    const verdict = budgets.reserve([{ setting: settings, entity: `user-${user}` }], nano)
    if (verdict.ok) budgets.settle(verdict.reservation, nano)
  }
  for (let user = 0; user < 20_000; user++) use(user, 1)
  const timed = (work: () => void): number => {
    const begun = performance.now()
    work()
    return performance.now() - begun
  }
  // The least of several: a machine may be busy.
  const look = Math.min(...Array.from({ length: 10 }, () => timed(() => budgets.prune([settings]))))
  // Calls that cost nothing: they leave no trace in the account that all of them share.
  const all = timed(() => {
    for (let user = 20_000; user < 21_000; user++) use(user, 0)
  })
  expect(all).toBeLessThan(150 * look)
  expect(budgets.size.accounts).toBe(20_000)
})
