// From the model a client sends to a route: exact names, patterns, direct models, and the nearest names when there is none.

import { describe, expect, test } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { nearestNames } from '../src/config/nearest.ts'
import { patternOf } from '../src/config/pattern.ts'
import { listModels, resolveModel } from '../src/config/resolve.ts'
import type { Route, Snapshot } from '../src/config/snapshot.ts'
import fc from './support/seededCheck.ts'

const env = { OPENAI_API_KEY: 'k', OPENROUTER_API_KEY: 'k', ANTHROPIC_API_KEY: 'k' }
const snapshotOf = (text: string): Snapshot => parseConfig(text, { file: 'f.yaml', env, version: 1 }).snapshot
const providers = 'providers: { openai: , openrouter: , anthropic: }\n'

const routes = `${providers}
routes:
  gpt-4o: anthropic/named
  gpt-*: openai/*
  gpt-4*: openai/four
  '*-mini': openai/mini
  '*': anthropic/*
  openai/pinned: anthropic/pinned
`
const routeOf = (snapshot: Snapshot, model: string): Route => {
  const found = resolveModel(snapshot, model)
  if ('nearest' in found) throw new Error(`no route for ${model}`)
  return found
}
const nearestOf = (snapshot: Snapshot, model: string): string[] => {
  const found = resolveModel(snapshot, model)
  if (!('nearest' in found)) throw new Error(`a route for ${model}`)
  return found.nearest
}

describe('names that no model has', () => {
  test.each([
    ['a terminal’s orders', '\u001b[2J\u001b]0;x\u0007'],
    ['a line of its own', 'x\nforged'],
    ['8-bit orders', 'x\u009b2J'],
    ['nothing', 'x\u0000y'],
  ])('%s', (_, name) => {
    const direct = snapshotOf(`${routes}\ndirectModels: true`)
    for (const model of [name, `openai/${name}`, `gpt-${name}`])
      expect(resolveModel(direct, model)).toHaveProperty('nearest')
  })
})

describe('configured routes', () => {
  const snapshot = snapshotOf(routes)

  test.each([
    ['gpt-4o', 'gpt-4o'],
    ['gpt-4.1', 'gpt-4*'],
    ['gpt-5', 'gpt-*'],
    ['gpt-4o-mini', 'gpt-4*'],
    ['o4-mini', '*-mini'],
    ['gpt-5-mini', '*-mini'],
    ['anything/else', '*'],
    ['openai/pinned', 'openai/pinned'],
    ['gpt-*', 'gpt-*'],
  ])('%s goes to %s', (model, route) => {
    expect(routeOf(snapshot, model).name).toBe(route)
  })

  test('an exact name wins over every pattern, whatever its order in the file', () => {
    const early = snapshotOf(`${providers}routes: { "gpt*": openai/a, "gpt-4o": openai/b }`)
    const late = snapshotOf(`${providers}routes: { "gpt-4o": openai/b, "gpt*": openai/a }`)
    for (const one of [early, late]) expect(routeOf(one, 'gpt-4o').targets[0]!.model).toBe('b')
  })
})

describe('direct models', () => {
  const direct = snapshotOf(`${providers}directModels: true\nroutes: { gpt-4o: anthropic/named, fast: openai/x }\n`)

  test('provider/model, split at the first slash', () => {
    const route = routeOf(direct, 'openrouter/anthropic/claude-x')
    expect(route).toMatchObject({ name: 'openrouter/anthropic/claude-x', implicit: true, policy: 'ordered' })
    expect(route.targets).toMatchObject([{ id: 'openrouter/anthropic/claude-x', model: 'anthropic/claude-x' }])
    expect(route.targets[0]!.provider).toBe(direct.providers.get('openrouter'))
    expect(Object.isFrozen(route.targets[0])).toBe(true)
  })

  test('well-known bare names go to the provider they belong to', () => {
    expect(routeOf(direct, 'gpt-5').targets[0]!.id).toBe('openai/gpt-5')
    expect(routeOf(direct, 'o3').targets[0]!.id).toBe('openai/o3')
    expect(routeOf(direct, 'claude-future-9').targets[0]!.id).toBe('anthropic/claude-future-9')
    expect(routeOf(direct, 'claude-future-9').name).toBe('claude-future-9')
  })

  test.each([
    ['openai', 'gpt-audio-mini'],
    ['deepseek', 'deepseek-v4-flash'],
    ['mistral', 'voxtral-small-latest'],
  ])('of %s: %s', (kind, model) => {
    const snapshot = snapshotOf(`providers: { ${kind}: { apiKey: sk-abcdefghijklmnop } }\ndirectModels: true\n`)
    expect(routeOf(snapshot, model).targets[0]!.id).toBe(`${kind}/${model}`)
  })

  test('a configured route wins', () => {
    expect(routeOf(direct, 'gpt-4o')).toMatchObject({ implicit: false })
    expect(routeOf(direct, 'gpt-4o').targets[0]!.model).toBe('named')
  })

  test.each([
    'openai/',
    '/gpt-4o',
    'openai',
    'openai-eu/gpt-4o',
    'OpenAI/gpt-4o',
    'gpt-oss-120b',
    'groq/x',
    'openai/*',
    '',
    'x'.repeat(300),
    'gemini-2.5-pro',
  ])('not %j', (model) => {
    expect(nearestOf(direct, model)).toBeInstanceOf(Array)
  })

  test('none of it when directModels is off', () => {
    const off = snapshotOf(`${providers}routes: { fast: openai/x }\n`)
    for (const model of ['openai/gpt-4o', 'gpt-4o']) expect(nearestOf(off, model)).toEqual(['fast'])
  })

  test('implicit routes are kept, but not without bound', () => {
    const snapshot = snapshotOf(`${providers}directModels: true\n`)
    const first = routeOf(snapshot, 'openai/first')
    expect(routeOf(snapshot, 'openai/first')).toBe(first)
    for (let i = 0; i < 999; i++) routeOf(snapshot, `openai/m${i}`)
    expect(routeOf(snapshot, 'openai/first')).toBe(first)
    for (let i = 0; i < 1000; i++) routeOf(snapshot, `openai/n${i}`)
    const again = routeOf(snapshot, 'openai/first')
    expect(again).not.toBe(first)
    expect(again).toEqual(first)
  })
})

describe('names that nobody has', () => {
  const snapshot = snapshotOf(
    `${providers}routes: { chat-fast: openai/x, chat-smart: openai/y, embed: openai/z, sum: openai/w }\n`,
  )

  test('up to three, nearest first', () => {
    expect(nearestOf(snapshot, 'chat-fsat')).toHaveLength(3)
    expect(nearestOf(snapshot, 'chat-fsat').slice(0, 2)).toEqual(['chat-fast', 'chat-smart'])
  })

  test('patterns are no names to suggest', () => {
    expect(nearestOf(snapshotOf(`${providers}routes: { "a*": openai/x }\n`), 'b')).toEqual([])
  })

  test('a hostile name costs little', () => {
    const many = snapshotOf(
      `${providers}directModels: true\nroutes:\n${Array.from({ length: 600 }, (_, i) => `  route-number-${i}: openai/x`).join('\n')}\n`,
    )
    resolveModel(many, 'warm')
    const hostile = Array.from({ length: 20 }, (_, i) => `route-numbre-${'x'.repeat(100_000)}${i}`)
    expect(quickestOf(() => hostile.forEach((name) => void resolveModel(many, name)), 20 * 50)).toBeLessThan(20 * 50)
  })

  test('distance is symmetric, zero only for the same, and finds one edit', () => {
    expect(nearestNames('abc', ['xyz', 'abd', 'abc', 'ab'])).toEqual(['abc', 'abd', 'ab'])
    expect(nearestNames('abc', [])).toEqual([])
  })
})

test('listModels: routes that are no patterns, then the known models of each provider', () => {
  expect(listModels(snapshotOf(routes)).map(({ id }) => id)).toEqual(['gpt-4o', 'openai/pinned'])
  const snapshot = snapshotOf(`${providers}directModels: true\nroutes: { fast: openai/x, openai/gpt-5: anthropic/y }\n`)
  const listed = listModels(snapshot)
  expect(listed[0]).toEqual({ id: 'fast', ownedBy: 'turnout' })
  expect(listed.filter(({ id }) => id === 'openai/gpt-5')).toEqual([{ id: 'openai/gpt-5', ownedBy: 'turnout' }])
  expect(listed).toContainEqual({ id: 'anthropic/claude-sonnet-4-5', ownedBy: 'anthropic' })
  for (const { id } of listed) expect(resolveModel(snapshot, id)).toHaveProperty('targets')
})

describe('patterns', () => {
  /** The definition: each star is any text. */
  const matches = (pattern: string, text: string): boolean => {
    if (pattern === '') return text === ''
    if (pattern[0] !== '*') return text[0] === pattern[0] && matches(pattern.slice(1), text.slice(1))
    return matches(pattern.slice(1), text) || (text !== '' && matches(pattern, text.slice(1)))
  }

  test('match as their definition says', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', '1', '.', '/', '*'), maxLength: 8 })
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '1', '.', '/', '\n'), maxLength: 10 })
    fc.assert(
      fc.property(piece, text, (pattern, model) => {
        fc.pre(pattern.includes('*'))
        expect(patternOf(pattern).test(model)).toBe(matches(pattern, model))
      }),
      { seed: 11, numRuns: 5000 },
    )
  })

  test('many stars are no way to keep the processor busy', () => {
    const pattern = patternOf('*a*a*a*a*a*a*a*b')
    expect(quickestOf(() => expect(pattern.test('a'.repeat(20_000))).toBe(false), 250)).toBeLessThan(250)
  })
})

/** Milliseconds of our own processor time that the quickest of up to ten runs took: others on the machine are not ours. */
function quickestOf(run: () => void, enough: number): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 10 && best >= enough; round++) {
    const begin = process.cpuUsage()
    run()
    const { user, system } = process.cpuUsage(begin)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}
