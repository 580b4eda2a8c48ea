// The flags of `turnout keys`: what they become in a request, and which are refused by their name.
import { describe, expect, it } from 'vitest'
import { bodyOf, secondsOf } from '../src/cli/keyFlags.ts'

const now = Date.UTC(2026, 10, 21)

describe('the flags of a key', () => {
  it('become what the admin API takes; what is not said is not in it', () => {
    expect(bodyOf({}, now)).toEqual({})
    expect(
      bodyOf(
        {
          name: 'web',
          role: 'viewer',
          team: 'shop',
          tag: ['env=prod', 'cost=a=b'],
          routes: 'chat-*, fast',
          models: 'alpha/*',
          limits: '{ requests: 100, window: 10s }',
          budgets: '[{ usd: 5 }, { usd: 50, window: month }]',
          expires: '30d',
          disabled: true,
        },
        now,
      ),
    ).toEqual({
      name: 'web',
      role: 'viewer',
      team: 'shop',
      tags: { env: 'prod', cost: 'a=b' },
      routes: ['chat-*', 'fast'],
      models: ['alpha/*'],
      limits: { requests: 100, window: '10s' },
      budgets: [{ usd: 5 }, { usd: 50, window: 'month' }],
      expires_at: '2026-12-21T00:00:00.000Z',
      disabled: true,
    })
  })

  it('take away with none', () => {
    const none = { team: 'none', tag: ['none'], routes: 'none', models: 'none', limits: 'none', budgets: 'none' }
    expect(bodyOf({ ...none, expires: 'none', enabled: true }, now)).toEqual({
      team: null,
      tags: null,
      routes: null,
      models: null,
      limits: null,
      budgets: null,
      expires_at: null,
      disabled: false,
    })
  })

  it.each([
    [{ tag: ['env'] }, '--tag'],
    [{ tag: ['=x'] }, '--tag'],
    [{ limits: '100' }, '--limits'],
    [{ limits: '{ requests: ' }, '--limits'],
    [{ budgets: '50 a month' }, '--budgets'],
    [{ expires: 'tomorrow' }, '--expires'],
    [{ disabled: true, enabled: true }, '--disabled'],
  ])('%j is refused by %s', (flags, name) => {
    expect(() => bodyOf(flags, now)).toThrow(name)
  })

  it('read times in seconds, minutes, hours and days', () => {
    expect(['90s', '30m', '24h', '7d', '0s'].map((text) => secondsOf('--grace', text))).toEqual([
      90, 1800, 86_400, 604_800, 0,
    ])
    for (const text of ['', '5', 'h', '1w', '-1h', '1.5h']) expect(() => secondsOf('--grace', text)).toThrow('--grace')
  })
})
