// Variables of older systems: what they fill, in which unit, what they are told to become, and that the file and our own names win.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { legacyRows } from '../src/config/legacyEnv.ts'
import { parseConfig } from '../src/config/load.ts'
import { formatPath } from '../src/config/problem.ts'

const docs = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8')

const load = (env: Record<string, string>, document: object = {}) => {
  const base = { providers: { ollama: null, openrouter: { apiKey: 'sk-test-openrouter' } }, directModels: true }
  const { snapshot, warnings } = parseConfig(JSON.stringify({ ...base, ...document }), {
    file: 'f.yaml',
    env,
    version: 1,
  })
  return {
    snapshot,
    told: (name: string) => warnings.filter(({ path }) => path === name).map(({ message }) => message),
  }
}

describe('a value of an old variable', () => {
  test.each([
    ['AI_CIRCUIT_BREAKER_THRESHOLD', '7', 'breaker', 'failures', 7, 'write `breaker.failures`: 7'],
    ['AI_CIRCUIT_BREAKER_TIMEOUT', '90000', 'breaker', 'openFor', 90_000, 'write `breaker.openFor`: 90s'],
    ['AI_RETRY_MAX_ATTEMPTS', '4', 'retries', 'attempts', 4, 'write `retries.attempts`: 4'],
    ['AI_RETRY_BASE_DELAY', '250', 'retries', 'baseDelay', 250, 'write `retries.baseDelay`: 250ms'],
    ['GATEWAY_MAX_RETRIES', '4', 'retries', 'attempts', 5, 'write `retries.attempts`: 5'],
    ['GATEWAY_RETRY_DELAY', '0.5', 'retries', 'baseDelay', 500, 'write `retries.baseDelay`: 500ms'],
  ] as const)('%s=%s fills %s.%s', (name, value, block, field, expected, hint) => {
    const { snapshot, told } = load({ [name]: value }, { routes: { a: 'ollama/x' } })
    const target = snapshot.routes.get('a')!
    const holder = block === 'breaker' ? target.targets[0]!.breaker : target.retries
    expect((holder as unknown as Record<string, number>)[field]).toBe(expected)
    expect(told(name)).toEqual([expect.stringContaining(hint)])
  })

  test.each([
    ['false', false],
    ['0', false],
    ['OFF', false],
    ['true', true],
    ['1', true],
  ])('GATEWAY_FALLBACK_ENABLED=%s', (value, expected) => {
    const { snapshot } = load({ GATEWAY_FALLBACK_ENABLED: value }, { routes: { a: ['ollama/x', 'openrouter/y'] } })
    expect(snapshot.routes.get('a')!.fallback).toBe(expected)
  })

  test('OPENROUTER_FALLBACK_ENABLED is for that provider alone', () => {
    const { snapshot } = load({ OPENROUTER_FALLBACK_ENABLED: 'false' })
    expect(snapshot.providers.get('openrouter')!.fallback).toBe(false)
    expect(snapshot.providers.get('ollama')!.fallback).toBe(true)
  })

  test.each([
    ['AI_CIRCUIT_BREAKER_THRESHOLD', 'many'],
    ['AI_CIRCUIT_BREAKER_THRESHOLD', '0'],
    ['AI_RETRY_MAX_ATTEMPTS', '99'],
    ['AI_RETRY_BASE_DELAY', '-5'],
    ['GATEWAY_FALLBACK_ENABLED', 'maybe'],
  ])('%s=%s cannot be used: told of, and nothing changes', (name, value) => {
    const { snapshot, told } = load({ [name]: value })
    const plain = load({}).snapshot
    expect({ breaker: snapshot.breaker, retries: snapshot.retries }).toEqual({
      breaker: plain.breaker,
      retries: plain.retries,
    })
    expect(told(name)).toEqual([expect.stringMatching(/holds no usable .* counts for nothing/)])
  })
})

test('the file wins, and the variable is told to count for nothing', () => {
  const { snapshot, told } = load(
    { AI_CIRCUIT_BREAKER_THRESHOLD: '7', AI_RETRY_MAX_ATTEMPTS: '4' },
    { breaker: { failures: 3 } },
  )
  expect(snapshot.breaker.failures).toBe(3)
  expect(snapshot.retries.attempts).toBe(4)
  expect(told('AI_CIRCUIT_BREAKER_THRESHOLD')).toEqual([expect.stringContaining('the file says `breaker.failures`')])
})

test('of two old names for one key the upper of the table counts', () => {
  const { snapshot, told } = load({ AI_RETRY_MAX_ATTEMPTS: '4', GATEWAY_MAX_RETRIES: '9' })
  expect(snapshot.retries.attempts).toBe(4)
  expect(told('GATEWAY_MAX_RETRIES')).toEqual([expect.stringContaining('counts for nothing')])
})

test('every row without a feature says so, stars match any rest', () => {
  const env = {
    AI_RATE_LIMIT_RPM: '60',
    AI_RATE_LIMIT_TPM: '1000',
    GATEWAY_TRACE_SAMPLING_RATE: '0.1',
    GATEWAY_METRICS_RETENTION_HOURS: '24',
  }
  const { told } = load(env)
  for (const name of Object.keys(env)) expect(told(name), name).toEqual([expect.stringMatching(/^has no effect: /)])
})

describe('the route `default` of the environment', () => {
  const models = {
    TURNOUT_PRIMARY_MODEL: 'openrouter/some/model',
    TURNOUT_FALLBACK_MODEL_1: 'ollama/small',
    TURNOUT_FALLBACK_MODEL_3: 'ollama/tiny',
  }
  const targetsOf = ({ snapshot }: ReturnType<typeof load>) =>
    snapshot.routes.get('default')?.targets.map(({ id }) => id)

  test('has the models that are named, best first', () => {
    expect(targetsOf(load(models))).toEqual(['openrouter/some/model', 'ollama/small', 'ollama/tiny'])
  })

  test('is there without a file, too', () => {
    const env = { OPENAI_API_KEY: 'sk-test-openai', TURNOUT_PRIMARY_MODEL: 'gpt-5-mini' }
    const { snapshot } = parseConfig('{"directModels":true}', { env, version: 1 })
    expect(snapshot.routes.get('default')!.targets.map(({ id }) => id)).toEqual(['openai/gpt-5-mini'])
  })

  test('is the file`s where the file has one; the variables are told to count for nothing', () => {
    const loaded = load(models, { routes: { default: 'ollama/file' } })
    expect(targetsOf(loaded)).toEqual(['ollama/file'])
    expect(loaded.told('TURNOUT_PRIMARY_MODEL')).toEqual([expect.stringContaining('the file has a route')])
  })

  test('takes old names where the new ones are unset, each by itself', () => {
    const loaded = load({
      PAM_PRIMARY_MODEL: 'ollama/old-1',
      PAM_FALLBACK_MODEL_1: 'ollama/old-2',
      TURNOUT_FALLBACK_MODEL_1: 'ollama/new-2',
    })
    expect(targetsOf(loaded)).toEqual(['ollama/old-1', 'ollama/new-2'])
    expect(loaded.told('PAM_PRIMARY_MODEL')).toEqual([expect.stringContaining('call it TURNOUT_PRIMARY_MODEL')])
    expect(loaded.told('PAM_FALLBACK_MODEL_1')).toEqual([expect.stringContaining('TURNOUT_FALLBACK_MODEL_1 is set')])
  })

  test('a model named twice counts once', () => {
    const loaded = load({ TURNOUT_PRIMARY_MODEL: 'ollama/a', TURNOUT_FALLBACK_MODEL_1: 'ollama/a' })
    expect(targetsOf(loaded)).toEqual(['ollama/a'])
    expect(loaded.told('TURNOUT_FALLBACK_MODEL_1')).toEqual([expect.stringContaining('TURNOUT_PRIMARY_MODEL names')])
  })

  test('of an unknown provider is refused by the variable`s name', () => {
    expect(() => load({ TURNOUT_FALLBACK_MODEL_2: 'olama/x', TURNOUT_PRIMARY_MODEL: 'ollama/x' })).toThrow(
      'f.yaml TURNOUT_FALLBACK_MODEL_2 no provider "olama"; did you mean "ollama"?',
    )
  })
})

test('docs/configuration.md has a row for each name with its unit and what it has become', () => {
  const rows = docs.split('\n')
  for (const { name, unit, path, variable } of legacyRows) {
    const row = rows.find((line) => line.startsWith(`| \`${name}\` | ${unit} |`))
    expect(row, name).toBeDefined()
    expect(row).toContain(path ? `\`${formatPath(path)}\`` : variable ? `\`${variable}\`` : 'no effect')
  }
})
