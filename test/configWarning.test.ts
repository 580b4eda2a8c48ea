// What a valid configuration is warned about, and when a missing key is more than a warning.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Env } from '../src/config/interpolation.ts'
import { loadConfig, parseConfig } from '../src/config/load.ts'
import { ConfigError, type ConfigProblem } from '../src/config/problem.ts'

const keys = { OPENAI_API_KEY: 'sk-test-openai', ANTHROPIC_API_KEY: 'sk-test-anthropic' }
const now = new Date('2026-06-01T12:00:00Z')
const two = 'providers:\n  openai:\n  anthropic:\n'

const load = (text: string, env: Env = keys) => parseConfig(text, { file: 'turnout.yaml', env, version: 1, now })

function problemsOf(run: () => unknown): readonly ConfigProblem[] {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('missing keys', () => {
  test('an error where a route uses the provider, a warning where none does', () => {
    const text = `${two}routes: { r: anthropic/x }\n`
    const env = { ANTHROPIC_API_KEY: 'k' }
    expect(load(text, env).warnings.find(({ path }) => path === 'providers.openai')).toMatchObject({
      line: 2,
      message: expect.stringContaining('OPENAI_API_KEY'),
    })
    expect(problemsOf(() => load(text, { OPENAI_API_KEY: 'k' }))).toMatchObject([
      { path: 'providers.anthropic', line: 3, message: expect.stringContaining('ANTHROPIC_API_KEY') },
    ])
  })

  test('a server of one’s own may take none', () => {
    const own = 'providers:\n  openai: { baseUrl: http://127.0.0.1:9/v1 }\nroutes: { r: openai/x }\n'
    expect(load(own, {}).warnings.some(({ message }) => message.includes('has no key'))).toBe(true)
    expect(
      load('providers:\n  vllm:\nroutes: { r: vllm/x }\n', {}).warnings.some(({ message }) => message.includes('key')),
    ).toBe(false)
  })
})

describe('warnings', () => {
  const warningsOf = (text: string, env: Env = keys) =>
    load(text, env).warnings.map(({ path, line, message }) => `${line} ${path}: ${message}`)

  test('nothing to say about a sound file', () => {
    expect(warningsOf(`${two}routes: { r: [openai/gpt-5, anthropic/claude-sonnet-4-5] }\n`)).toEqual([])
  })

  test('nothing of a model that has the name of something that every object has', () => {
    expect(warningsOf(`${two}routes: { r: [openai/constructor, anthropic/toString] }\n`)).toEqual(
      warningsOf(`${two}routes: { r: [openai/unheard-of, anthropic/unheard-of] }\n`).map((line) =>
        line.replace("'unheard-of'", "'constructor'"),
      ),
    )
  })

  test('budgets that forget at a restart what retention has deleted', () => {
    const sound = `${two}routes: { r: { targets: [openai/gpt-5, anthropic/claude-sonnet-4-5], budgets: { per: user, usd: 1 } } }\n`
    const budgets = `budgets:
  ever: { per: [key, user], usd: 1, window: lifetime }
  one: { only: { target: openai/gpt-5 }, usd: 1, window: month }
  sums: { per: [key, team, route], usd: 1, window: lifetime }
`
    const told = 'after a restart it knows nothing of what was spent more than'
    expect(warningsOf(sound + budgets)).toEqual([
      `6 budgets.ever: counts by user for longer than \`ledger.retentionDays\`: ${told} 90 days before`,
    ])
    expect(warningsOf(`${sound}${budgets}ledger: { retentionDays: 0 }\n`)).toEqual([])
    expect(warningsOf(`${sound}${budgets}ledger: { retentionDays: 30 }\n`)).toEqual([
      expect.stringContaining('routes.r.budgets: counts by user for longer'),
      expect.stringContaining('budgets.ever: counts by user for longer'),
      expect.stringContaining('budgets.one: counts by target for longer'),
    ])
    expect(warningsOf(`${sound}${budgets}ledger: { retentionDays: 31 }\n`)).toHaveLength(1)
  })

  test('no fallback, and fallbacks at one vendor', () => {
    const text = `${two}routes:\n  a: openai/x\n  b: [openai/x, openai/y]\n  c: [openai/x, anthropic/y]\n`
    const warnings = warningsOf(text)
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toMatch(/^5 routes\.a: .*no fallback/)
    expect(warnings[1]).toMatch(/^6 routes\.b: .*one vendor \(OpenAI\)/)
  })

  test('two servers of one’s own are two vendors', () => {
    const text =
      'providers:\n  a: { kind: vllm, baseUrl: http://a.example/v1 }\n  b: { kind: vllm, baseUrl: http://b.example/v1 }\nroutes: { r: [a/x, b/x] }\n'
    expect(warningsOf(text)).toEqual([])
  })

  test('sunset: past, within 30 days, later', () => {
    const target = (id: string, sunset: string) => `  ${id}: { provider: openai, model: ${id}, sunset: ${sunset} }\n`
    const text = `${two}targets:\n${target('past', '2026-05-31')}${target('soon', '2026-06-30')}${target('later', '2026-08-01')}routes: { r: [past, soon, later, anthropic/claude-2.1] }\n`
    const warnings = warningsOf(text)
    expect(warnings).toHaveLength(3)
    expect(warnings[0]).toMatch(/^5 targets\.past\.model: .*was retired on 2026-05-31/)
    expect(warnings[1]).toMatch(/^6 targets\.soon\.model: .*will be retired on 2026-06-30, in 29 days/)
    expect(warnings[2]).toMatch(/^8 routes\.r\[3\]: .*claude-2\.1 was retired on 2025-07-21/)
  })

  test('a key whose time has passed', () => {
    const key = (name: string, at: string) =>
      `  - { name: ${name}, key: sk-test-${name}-0123456789, expiresAt: ${at} }\n`
    const sound = `${two}routes: { r: [openai/gpt-5, anthropic/claude-sonnet-4-5] }\n`
    const text = `${sound}keys:\n${key('over', '2026-06-01T12:00:00Z')}${key('good', '2026-06-01T12:00:01Z')}`
    expect(warningsOf(text)).toEqual(['6 keys[0].expiresAt: has passed: the key opens nothing'])
  })

  test.each([
    'anthropic/claude-3-opus-20240229',
    'anthropic/claude-3-7-sonnet-latest',
    'openai/o1-preview-2024-09-12',
    'openai/gpt-4-32k-0613',
    'gemini/gemini-1.5-pro-002',
  ])('a sunset is that of each release: %s', (target) => {
    const text = `providers: { openai: {}, anthropic: {}, gemini: { apiKey: k } }\nroutes: { r: ${target} }\n`
    expect(warningsOf(text).filter((line) => line.includes('was retired'))).toHaveLength(1)
  })

  test('and not of what only begins alike', () => {
    const text = `${two}routes: { r: [openai/gpt-3.5-turbo-1106, openai/o1-2024-12-17, anthropic/claude-sonnet-4-5] }\n`
    expect(warningsOf(text).filter((line) => line.includes('retired'))).toEqual([])
  })

  test('targets and providers that nothing uses', () => {
    const text = `${two}targets:\n  t: { provider: openai, model: m }\n  u: { provider: openai, model: n }\nroutes: { r: [t, openai/z] }\n`
    const warnings = warningsOf(text)
    expect(warnings.filter((line) => line.includes('uses this'))).toEqual([
      '3 providers.anthropic: no target uses this provider',
      '6 targets.u: no route and no rollout uses this target',
    ])
    const tried = `${text}rollouts: { v: { route: r, canary: u, steps: [{ setWeight: 100 }] } }\n`
    expect(warningsOf(tried).filter((line) => line.includes('targets.u'))).toEqual([])
    expect(warningsOf(`directModels: true\n${text}`).some((line) => line.includes('uses this provider'))).toBe(false)
  })

  test('settings of a provider that change nothing for its kind', () => {
    const text = `providers:
  openai: { capName: max_tokens, streamUsage: never, apiVersion: '1' }
  anthropic: { capName: max_tokens, streamUsage: always }
  azure: { baseUrl: https://a.openai.azure.com, apiKey: k, apiVersion: v1 }
routes: { r: [openai/gpt-5, anthropic/claude-sonnet-4-5, azure/m] }
`
    expect(warningsOf(text)).toEqual([
      '2 providers.openai.apiVersion: changes nothing: OpenAI is asked without one',
      '3 providers.anthropic.capName: changes nothing: Anthropic is asked in a format of its own',
      '3 providers.anthropic.streamUsage: changes nothing: Anthropic is asked in a format of its own',
    ])
  })

  test('secrets in the file, but neither variables nor stand-ins', () => {
    // Made here, so that no scanner finds a secret in the repository.
    const secret = createHash('sha256').update('not a secret').digest('hex').slice(0, 24)
    const text = `providers:
  groq: { apiKey: ${secret} }
  openai: { apiKey: "\${OPENAI_API_KEY}" }
  xai: { apiKey: sk-test-0123456789abcdef }
directModels: true
keys:
  - { name: app, key: ${secret} }
  - { name: demo, key: tk-demo }
`
    const warnings = warningsOf(text)
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toMatch(/^2 providers\.groq\.apiKey: .*\$\{GROQ_API_KEY\}/)
    expect(warnings[1]).toMatch(/^7 keys\[0\]\.key: /)
    expect(warnings.join()).not.toContain(secret.slice(0, 6))
  })

  test('a base URL that is Turnout itself', () => {
    const env = { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://localhost:4000/v1' }
    const { warnings } = loadConfig({ env, version: 1 })
    expect(warnings).toMatchObject([{ path: 'providers.openai', message: expect.stringContaining('own address') }])
  })

  test('canaries that the route asks first anyway', () => {
    const about = (canary: string, more = '') =>
      warningsOf(
        `providers: { openai: {}, anthropic: {} }\nroutes: { r: { targets: [openai/a, openai/b], ${canary} } }\n${more}`,
      ).filter((line) => line.includes('nothing to move'))
    const rollout = (arms: string) => `rollouts: { v: { route: r, ${arms}, steps: [{ setWeight: 100 }] } }\n`
    const [ofRoute, ofRollout] = ['2 routes.r.canary.target', '3 rollouts.v.canary'].map(
      (place) => `${place}: is what its stable arm asks first anyway: there is nothing to move`,
    )

    expect(about('canary: { target: openai/a, percent: 5 }')).toEqual([ofRoute])
    expect(about('canary: { target: [openai/a, openai/b] }')).toEqual([ofRoute])
    expect(about('canary: { target: openai/b, percent: 5 }')).toEqual([])
    expect(about('', rollout('canary: openai/a'))).toEqual([ofRollout])
    expect(about('', rollout('canary: "route:r"'))).toEqual([ofRollout])
    expect(about('', rollout('stable: anthropic/c, canary: openai/a'))).toEqual([])
    expect(about('', rollout('stable: openai/b, canary: openai/b'))).toEqual([ofRollout])
    expect(about('', rollout('canary: [openai/a, anthropic/c]'))).toEqual([])
  })

  test('a file with which nothing can be called', () => {
    expect(warningsOf(`${two}`).some((line) => line.includes('nothing can be called'))).toBe(true)
  })
})
