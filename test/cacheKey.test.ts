// The key of an answer: what can change an answer changes the key, what cannot does not, and no two tenants have one in common.

import { describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import type { ApiKey, Target } from '../src/config/snapshot.ts'
import { inspect } from '../src/dialects/openai-chat/inspect.ts'
import { type KeyParts, keyOf, tenantOf } from '../src/gateway/cacheKey.ts'
import fc from './support/seededCheck.ts'

type Json = Record<string, unknown>

function targetOf(over: Json = {}, provider: Json = {}): Target {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { p: { kind: 'openai', baseUrl: 'http://127.0.0.1:1/v1', apiKey: 'sk-test-0123456789', ...provider } },
      targets: { t: { provider: 'p', model: 'x', ...over } },
      routes: { m: ['t'] },
    }),
    { env: {}, version: 1 },
  )
  return snapshot.targets.get('t')!
}

const target = targetOf()
const parts: KeyParts = {
  tenant: 'key:web',
  route: 'm',
  dialect: 'openai-chat',
  target,
  model: 'x',
  headers: [],
  strict: false,
}
const limits = { maxDepth: 1024, maxMessages: 10_000 }
const keyOfText = (text: string, over: Partial<KeyParts> = {}): string =>
  keyOf({ ...parts, ...over }, inspect(Buffer.from(text), limits))
const keyOfBody = (body: Json, over?: Partial<KeyParts>): string => keyOfText(JSON.stringify(body), over)

const ignored = [
  'stream',
  'user',
  'safety_identifier',
  'metadata',
  'prompt_cache_key',
  'prompt_cache_retention',
  'trace',
]
const fixed = new Set([...ignored, 'model', 'messages', 'stream_options', 'n', 'max_tokens', 'max_completion_tokens'])
const name = fc
  .string({ minLength: 1, maxLength: 12 })
  .filter((text) => /^[a-z][a-z0-9_]*$/.test(text) && !fixed.has(text))
const fieldName = fc.oneof(
  name,
  fc.constantFrom('temperature', 'top_p', 'seed', 'tools', 'response_format', 'stop', 'reasoning_effort', 'x_unknown'),
)
const body = fc
  .dictionary(fieldName, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6, noNullPrototype: true })
  .chain((more) =>
    fc
      .array(
        fc.record({ role: fc.constantFrom('user', 'assistant', 'system'), content: fc.string({ maxLength: 200 }) }),
        {
          minLength: 1,
          maxLength: 4,
        },
      )
      .map((messages): Json => ({ model: 'm', messages, ...more })),
  )

/** Writes JSON with keys and white space as the random bits say. */
function rewrite(value: unknown, bits: readonly number[], at = { n: 0 }): string {
  const roll = (): number => bits[at.n++ % bits.length]!
  const space = (): string => ['', ' ', '\n', '\t \r\n'][roll() % 4]!
  if (Array.isArray(value)) {
    return `[${space()}${value.map((item) => rewrite(item, bits, at) + space()).join(`,${space()}`)}]`
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value)
  for (let left = entries.length - 1; left > 0; left--) {
    const other = roll() % (left + 1)
    ;[entries[left], entries[other]] = [entries[other]!, entries[left]!]
  }
  const members = entries.map(
    ([key, one]) => `${JSON.stringify(key)}${space()}:${space()}${rewrite(one, bits, at)}${space()}`,
  )
  return `{${space()}${members.join(`,${space()}`)}}`
}

const bits = fc.array(fc.nat(1000), { minLength: 8, maxLength: 64 })

describe('two requests have one key', () => {
  it('when they differ in white space and in the order of keys alone', () => {
    fc.assert(
      fc.property(body, bits, (request, dice) => {
        expect(keyOfText(rewrite(request, dice))).toBe(keyOfBody(request))
      }),
    )
  })

  it('also where parts of them are large', () => {
    const long = (n: number): string => 'words and "quotes" \\ and lines\n'.repeat(n)
    const request = {
      model: 'm',
      messages: [
        { role: 'user', content: long(2000), name: 'a' },
        {
          role: 'user',
          content: [
            { type: 'text', text: long(1500) },
            { z: long(900), a: long(400) },
          ],
        },
      ],
      tools: Array.from({ length: 300 }, (_, n) => ({
        type: 'function',
        function: { name: `f${n}`, description: long(5) },
      })),
    }
    fc.assert(
      fc.property(bits, (dice) => {
        expect(keyOfText(rewrite(request, dice))).toBe(keyOfBody(request))
      }),
      { numRuns: 20 },
    )
    const changed = structuredClone(request)
    changed.tools[150]!.function.description += '.'
    expect(keyOfBody(changed)).not.toBe(keyOfBody(request))
  })

  it.each(ignored)('whatever %s says', (field) => {
    const base = { model: 'm', messages: [] }
    const values: Json = { stream: true, metadata: { a: '1' } }
    expect(keyOfBody({ ...base, [field]: values[field] ?? 'x' })).toBe(keyOfBody(base))
    // Only at the top: inside of anything else such a name is part of what was asked.
    expect(keyOfBody({ ...base, x: { [field]: 'x' } })).not.toBe(keyOfBody({ ...base, x: {} }))
  })

  it('with and without the usage chunk, and no other option of streams', () => {
    const base = { model: 'm', messages: [] }
    expect(keyOfBody({ ...base, stream_options: { include_usage: true } })).toBe(keyOfBody(base))
    expect(keyOfBody({ ...base, stream_options: { include_obfuscation: true } })).not.toBe(keyOfBody(base))
    expect(keyOfBody({ ...base, stream_options: null })).not.toBe(keyOfBody(base))
  })
})

describe('two requests have two keys', () => {
  it('when any field differs, known or not, however deep', () => {
    fc.assert(
      fc.property(body, fieldName, fc.jsonValue({ maxDepth: 2 }), (request, field, value) => {
        const other = { ...request, [field]: value }
        if (canonical(request) !== canonical(other)) expect(keyOfBody(other)).not.toBe(keyOfBody(request))
        const without = { ...other }
        delete without[field]
        expect(keyOfBody(without)).not.toBe(keyOfBody(other))
        expect(keyOfBody({ ...request, x_wrap: { deep: [{ [field]: value }] } })).not.toBe(
          keyOfBody({ ...request, x_wrap: { deep: [{ [field]: [value] }] } }),
        )
      }),
    )
  })

  it('when two random requests are not the same', () => {
    fc.assert(
      fc.property(body, body, (a, b) => {
        const same = keyOfBody(a) === keyOfBody(b)
        expect(same).toBe(canonical(a) === canonical(b))
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    ['numbers beyond the precision of JavaScript', '{"seed":12345678901234567890', '{"seed":12345678901234567891'],
    ['two ways to write a number', '{"seed":1.0', '{"seed":1'],
    ['halves of characters', '{"x":"\\ud800"', '{"x":"\\ud801"'],
    ['the first of two equal keys', '{"x":{"a":1,"a":3}', '{"x":{"a":2,"a":3}'],
    ['the order of equal keys', '{"x":{"a":1,"a":3}', '{"x":{"a":3,"a":1}'],
    ['null and nothing', '{"seed":null', '{"x":0'],
    ['an object and its text', '{"x":{"a":1}', '{"x":"{\\"a\\":1}"'],
    ['the order of a list', '{"stop":["a","b"]', '{"stop":["b","a"]'],
    ['spaces within a text', '{"x":"a b"', '{"x":"a  b"'],
    ['a key and a value that change places', '{"a":"b"', '{"b":"a"'],
    ['where a text ends', '{"x":["ab","c"]', '{"x":["a","bc"]'],
  ])('for %s', (_, one, other) => {
    const rest = ',"model":"m","messages":[]}'
    expect(keyOfText(one + rest)).not.toBe(keyOfText(other + rest))
  })

  it('for another route, dialect, model, header, wish for strictness, or target', () => {
    const others: Partial<KeyParts>[] = [
      {},
      { route: 'other' },
      { dialect: 'other' },
      { model: 'y' },
      { headers: ['beta'] },
      { headers: ['beta', ''] },
      { strict: true },
      { target: targetOf({ params: { top_k: 1 } }) },
      { target: targetOf({ params: { top_k: 2 } }) },
      { target: targetOf({}, { baseUrl: 'http://127.0.0.1:2/v1' }) },
      { target: targetOf({}, { baseUrl: 'http://127.0.0.1:1/v2' }) },
      { target: targetOf({}, { apiKey: 'sk-test-another-0123456789' }) },
      { target: targetOf({}, { kind: 'vllm' }) },
      { target: targetOf({}, { capName: 'max_tokens' }) },
      { target: targetOf({}, { capName: 'max_completion_tokens' }) },
      { target: targetOf({}, { refusedFields: ['audio'] }) },
    ]
    const keys = others.map((over) => keyOfBody({ model: 'm', messages: [] }, over))
    expect(new Set(keys).size).toBe(others.length)
    expect(keyOfBody({ model: 'm', messages: [] }, { target: targetOf({ timeouts: { total: '9s' } }) })).toBe(keys[0])
  })
})

describe('two tenants never share a key', () => {
  const some = fc.oneof(
    fc.constantFrom('a', 'global', 'nobody', 'key:a', 'team:a', ':', '1:a'),
    fc.string({ maxLength: 12 }),
  )
  const keys = fc.option(fc.record({ name: some, team: fc.option(some, { nil: undefined }) }), { nil: undefined })

  it('in the scope of a key, of a team, and whatever their names are', () => {
    fc.assert(
      fc.property(keys, keys, fc.constantFrom('key' as const, 'team' as const), body, (a, b, scope, request) => {
        const who = (key: typeof a): ApiKey | undefined => key && { ...key, role: 'app' }
        const one = keyOfBody(request, { tenant: tenantOf(who(a), scope) })
        const other = keyOfBody(request, { tenant: tenantOf(who(b), scope) })
        const together =
          scope === 'team' && (a?.team !== undefined || b?.team !== undefined)
            ? a?.team === b?.team
            : a?.name === b?.name
        expect(one === other).toBe(together)
      }),
      { numRuns: 500 },
    )
  })

  it('nor does a key share with one that had its name: another secret of the file, or a virtual one', () => {
    const keyOfFile = (key: string): ApiKey => {
      const { snapshot } = parseConfig(
        JSON.stringify({ providers: { ollama: {} }, routes: { m: 'ollama/x' }, keys: [{ name: 'web', key }] }),
        { env: {}, version: 1 },
      )
      return [...snapshot.keys.values()][0]!
    }
    const [first, second] = ['sk-test-first-0123456789', 'sk-test-second-0123456789'] as const
    const holders = [keyOfFile(first), keyOfFile(second), { ...keyOfFile(first), user: 'ada' }]
    const made = [
      { id: 1, createdAt: 5 },
      { id: 2, createdAt: 5 },
      { id: 1, createdAt: 6 },
    ]
    const virtual: ApiKey[] = made.map((one) => ({ name: 'web', role: 'app', ...one }))
    const tenants = [...holders, ...virtual].map((key) => tenantOf(key, 'key'))
    expect(new Set(tenants).size).toBe(tenants.length)
    expect(tenantOf(keyOfFile(first), 'key')).toBe(tenants[0])
    for (const tenant of tenants) expect(tenant).not.toContain(first)
  })

  it('also where a name looks like the beginning of another part', () => {
    fc.assert(
      fc.property(some, some, some, some, (tenant, route, otherTenant, otherRoute) => {
        const one = keyOfBody({ model: 'm', messages: [] }, { tenant, route })
        const other = keyOfBody({ model: 'm', messages: [] }, { tenant: otherTenant, route: otherRoute })
        expect(one === other).toBe(tenant === otherTenant && route === otherRoute)
      }),
    )
  })
})

/** An independent canonical form: sorted keys, by way of parsed values. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`).join(',')}}`
}
