// Limits, budgets, teams and access in the configuration: what is written, what it becomes, and what is told of.
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { ConfigError } from '../src/config/problem.ts'

const base = { providers: { ollama: null }, routes: { chat: 'ollama/big', small: 'ollama/tiny' } }
const load = (part: object) =>
  parseConfig(JSON.stringify({ ...base, ...part }), { file: 'f.yaml', env: {}, version: 1 }).snapshot
const problems = (part: object): string[] => {
  try {
    load(part)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

describe('limits', () => {
  test('C30 there are none unless given', () => {
    const snapshot = load({})
    expect(snapshot.limits).toEqual([])
    expect(snapshot.budgets).toEqual([])
    expect(snapshot.routes.get('chat')).toMatchObject({ limits: [], budgets: [] })
  })

  test('of the top level, with the defaults', () => {
    const { limits } = load({ limits: { a: { per: 'key', requests: 100 }, b: { per: ['key', 'ip'], tokens: 5 } } })
    expect(limits[0]).toEqual({
      name: 'a',
      per: ['key'],
      only: {},
      requests: 100,
      tokens: undefined,
      concurrency: undefined,
      window: 60_000,
      queueMs: 0,
      queueSize: 100,
      answerTokens: 1_000,
    })
    expect(limits[1]).toMatchObject({ per: ['key', 'ip'], tokens: 5 })
  })

  test('that keys, teams and routes bring along are theirs alone', () => {
    const secret = 'test-key-0123456789'
    const snapshot = load({
      keys: [{ name: 'web', key: secret, team: 'red', limits: [{ requests: 5 }, { requests: 50, window: '1h' }] }],
      teams: { red: { budgets: { usd: '12.50' } } },
      routes: { chat: { targets: ['ollama/big'], limits: { per: 'user', concurrency: 2 } } },
    })
    const [key] = [...snapshot.keys.values()]
    expect(key!.limits).toMatchObject([
      { name: 'key web', per: ['key'], only: { key: 'web' }, requests: 5, group: 'key 1 60000' },
      {
        name: 'key web 2',
        per: ['key'],
        only: { key: 'web' },
        requests: 50,
        window: 3_600_000,
        group: 'key 2 3600000',
      },
    ])
    expect(snapshot.teams.get('red')!.budgets).toMatchObject([
      { name: 'team red', per: ['team'], only: { team: 'red' }, limitNano: 12_500_000_000 },
    ])
    expect(snapshot.routes.get('chat')!.limits).toMatchObject([
      { name: 'route chat', per: ['user'], only: { route: 'chat' }, concurrency: 2 },
    ])
  })

  test('that are wrong are told of', () => {
    expect(problems({ limits: { a: { per: 'key' } } })).toEqual([
      'limits.a: limits nothing: give it `requests`, `tokens` or `concurrency`',
    ])
    expect(problems({ limits: { a: { requests: 1, window: '25h' } } })[0]).toContain('limits.a.window: at most a day')
    expect(problems({ limits: { a: { per: 'target', requests: 1 } } })).toHaveLength(1)
    expect(problems({ limits: { a: { requests: 0 } } })).toHaveLength(1)
    expect(problems({ access: { deny: ['10.0.0.0/8', 'example.com'] } })[0]).toContain('access.deny[1]')
  })
})

describe('budgets', () => {
  test('are exact to the nano-dollar', () => {
    const { budgets } = load({ budgets: { a: { usd: 0.1 }, b: { usd: '0.000000001' }, c: { usd: 9_000_000 } } })
    expect(budgets.map(({ limitNano }) => limitNano)).toEqual([100_000_000, 1, 9e15])
    expect(budgets[0]).toMatchObject({
      hard: true,
      window: 'month',
      rolling: false,
      timezone: 'UTC',
      degradeTo: undefined,
      fit: false,
      onUnknownPrice: 'refuse',
    })
  })

  test('name the route that they degrade to', () => {
    expect(load({ budgets: { a: { usd: 1, onExhausted: 'route:small' } } }).budgets[0]!.degradeTo).toBe('small')
    expect(problems({ budgets: { a: { usd: 1, onExhausted: 'route:none' } } })).toEqual([
      'budgets.a.onExhausted: no route "none"',
    ])
  })

  test('that are wrong are told of', () => {
    expect(problems({ budgets: { a: { usd: 0 } } })).toHaveLength(1)
    expect(problems({ budgets: { a: { usd: 10_000_000 } } })).toHaveLength(1)
    expect(problems({ budgets: { a: { usd: 1, timezone: 'Mars/Olympus' } } })[0]).toContain('IANA')
    expect(problems({ budgets: { a: { usd: 1, per: 'ip' } } })).toHaveLength(1)
  })
})

describe('a name in `only` that is nobody’s', () => {
  const warned = (part: object): string[] =>
    parseConfig(JSON.stringify({ ...base, ...part }), { file: 'f.yaml', env: {}, version: 1 }).warnings.flatMap(
      ({ path, message }) => (/^(?:budgets|alerts)/.test(path) ? [`${path}: ${message}`] : []),
    )

  test('is told of, for nothing would ever count', () => {
    expect(problems({ budgets: { a: { usd: 1, only: { route: 'chta' } } } })).toEqual([
      'budgets.a.only.route: no route "chta"; did you mean "chat"?',
    ])
    expect(problems({ limits: { a: { requests: 1, only: { route: 'other' } } } })).toEqual([
      'limits.a.only.route: no route "other"',
    ])
    expect(problems({ budgets: { a: { usd: 1, only: { target: 'olama/big' } } } })).toEqual([
      'budgets.a.only.target: no target "olama/big"; did you mean "ollama/big"?',
    ])
    expect(problems({ alerts: { a: { kind: 'share', percent: 5, route: 'chta' } } })).toEqual([
      'alerts.a.route: no route "chta"; did you mean "chat"?',
    ])
  })

  test('is only warned of where it may come at run time', () => {
    const part = { budgets: { a: { usd: 1, only: { target: 'ollama/bgi' } } } }
    expect(problems(part)).toEqual([])
    expect(warned(part)).toEqual([
      'budgets.a.only.target: no target "ollama/bgi"; did you mean "ollama/big"? Until a route has it, this counts nothing',
    ])
    const rules = { a: { kind: 'spend', usd: 1, only: { target: 'ollama/x' } } }
    const share = { alerts: { ...rules, b: { kind: 'share', percent: 5, target: 'ollama/x' } } }
    expect(problems(share)).toEqual([])
    expect(warned(share).map((text) => text.split(':')[0])).toEqual(['alerts.a.only.target', 'alerts.b.target'])
    const run = { budgets: { a: { usd: 1, only: { key: 'made-later', team: 'blue' } } } }
    expect([...problems(run), ...warned(run)]).toEqual([])
    const open = { directModels: true, budgets: { a: { usd: 1, only: { route: 'ollama/x', target: 'ollama/x' } } } }
    expect([...problems(open), ...warned(open)]).toEqual([])
  })

  test('is none that the file or the environment has', () => {
    const budgets = {
      a: { usd: 1, only: { route: 'chat', target: 'ollama/big' } },
      b: { usd: 1, only: { target: 'mine' } },
      c: { usd: 1, only: { route: 'gpt-*' } },
    }
    const part = {
      targets: { mine: { provider: 'ollama', model: 'm' } },
      routes: { ...base.routes, 'gpt-*': ['ollama/*', 'mine'] },
      budgets,
    }
    expect([...problems(part), ...warned(part)]).toEqual([])
    const env = { TURNOUT_PRIMARY_MODEL: 'ollama/big' }
    const text = JSON.stringify({ ...base, budgets: { a: { usd: 1, only: { route: 'default' } } } })
    expect(parseConfig(text, { file: 'f.yaml', env, version: 1 }).snapshot.routes.has('default')).toBe(true)
  })
})

test('access has its defaults', () => {
  expect(load({}).access).toEqual({
    allow: [],
    deny: [],
    statusPerMinute: 300,
    metricsPerMinute: 60,
    failuresPerMinute: 30,
  })
})
