// How a route survives: chains through other routes, special chains, retries, breakers, and who inherits from whom.
import { describe, expect, test } from 'vitest'
import { defaults } from '../src/config/defaults.ts'
import { parseConfig } from '../src/config/load.ts'
import type { ConfigError } from '../src/config/problem.ts'
import { resolveModel } from '../src/config/resolve.ts'
import type { Route } from '../src/config/snapshot.ts'

const load = (document: object) =>
  parseConfig(JSON.stringify({ providers: { ollama: null, vllm: null }, ...document }), {
    file: 'f.yaml',
    env: {},
    version: 1,
  })
const routeOf = (document: object, name = 'a'): Route => load(document).snapshot.routes.get(name)!
const ids = (targets: readonly { id: string }[]) => targets.map(({ id }) => id)
const faultsOf = (document: object): string[] => {
  try {
    load(document)
  } catch (error) {
    return (error as ConfigError).problems.map(({ path, message }) => `${path} ${message}`)
  }
  return []
}

describe('route:NAME', () => {
  test('stands for the targets of the other route, however deep, each once', () => {
    const routes = {
      a: ['ollama/1', 'route:b', 'ollama/9'],
      b: { targets: ['ollama/2', 'route:c', 'ollama/1'] },
      c: 'vllm/3',
    }
    expect(ids(routeOf({ routes }).targets)).toEqual(['ollama/1', 'ollama/2', 'vllm/3', 'ollama/9'])
  })

  test('brings the time limits of the other route, but for those that the target itself has', () => {
    const { targets } = routeOf({
      targets: { t: { provider: 'ollama', model: 'm', timeouts: { idle: 1 } } },
      routes: {
        a: { targets: ['vllm/1', 'route:b'], timeouts: { connect: 10, total: 11 } },
        b: { targets: ['t'], timeouts: { connect: 20, idle: 21 } },
      },
    })
    expect(targets[0]!.timeouts).toEqual({ ...defaults.timeouts, connect: 10, total: 11 })
    expect(targets[1]!.timeouts).toEqual({ ...defaults.timeouts, connect: 20, idle: 1, total: 11 })
  })

  test('that leads back is refused with the ring, at each route of it and at no other', () => {
    const routes = { a: ['ollama/1', 'route:b'], b: { targets: ['route:c'] }, c: 'route:a', d: 'route:a' }
    expect(faultsOf({ routes })).toEqual([
      'routes.a[1] goes in circles: a → b → c → a',
      'routes.b.targets[0] goes in circles: b → c → a → b',
      'routes.c goes in circles: c → a → b → c',
    ])
    expect(faultsOf({ routes: { a: 'route:a' } })).toEqual(['routes.a goes in circles: a → a'])
  })

  test('that does not exist is refused, with what was meant', () => {
    expect(faultsOf({ routes: { a: ['ollama/1', 'route:chatt'], chat: 'ollama/2' } })).toEqual([
      'routes.a[1] no route "chatt"; did you mean "chat"?',
    ])
  })

  test('faults of the other route are told of there alone', () => {
    expect(faultsOf({ routes: { a: ['ollama/1', 'route:b'], b: 'nobody/x' } })).toEqual([
      expect.stringMatching(/^routes\.b no provider "nobody"/),
    ])
    expect(faultsOf({ routes: { a: 'route:b', b: { targets: ['ollama/x'], fallbak: true } } })).toEqual([
      'routes.b.fallbak unknown key "fallbak"; did you mean "fallback"?',
    ])
  })

  test('also in special chains, whose targets are targets like others', () => {
    const { snapshot, warnings } = load({
      targets: { long: { provider: 'vllm', model: 'long' } },
      routes: {
        a: { targets: ['ollama/1', 'vllm/1'], onContextWindow: ['long', 'route:b'], onContentPolicy: ['ollama/free'] },
        b: ['ollama/2', 'vllm/2'],
      },
    })
    const route = snapshot.routes.get('a')!
    expect(ids(route.onContextWindow)).toEqual(['long', 'ollama/2', 'vllm/2'])
    expect(ids(route.onContentPolicy)).toEqual(['ollama/free'])
    expect(snapshot.targets.has('ollama/free')).toBe(true)
    expect(warnings).toEqual([])
  })

  test('faults of special chains are told of at their place', () => {
    expect(faultsOf({ routes: { a: { targets: ['ollama/1'], onContextWindow: ['ollama/2', 'nope'] } } })).toEqual([
      expect.stringMatching(/^routes\.a\.onContextWindow\[1\] no target "nope"/),
    ])
  })

  test('no target may be called so', () => {
    expect(faultsOf({ targets: { 'route:x': { provider: 'ollama', model: 'm' } }, directModels: true })).toEqual([
      expect.stringContaining('names a route'),
    ])
  })
})

describe('retries and breakers', () => {
  test('come from the defaults, then the top level, then the route or the target, field by field', () => {
    const { snapshot } = load({
      retries: { attempts: 5, baseDelay: '2s' },
      breaker: { failures: 9, window: '10s' },
      targets: { t: { provider: 'ollama', model: 'm', breaker: { failures: 2 } } },
      routes: { a: { targets: ['t', 'vllm/x'], retries: { attempts: 1 } }, b: 'vllm/x' },
      directModels: true,
    })
    const route = snapshot.routes.get('a')!
    expect(route.retries).toEqual({ attempts: 1, baseDelay: 2000, maxDelay: 30_000, budget: 0.2 })
    expect(snapshot.routes.get('b')!.retries.attempts).toBe(5)
    expect(route.targets[0]!.breaker).toEqual({ ...defaults.breaker, failures: 2, window: 10_000 })
    expect(route.targets[1]!.breaker).toEqual({ ...defaults.breaker, failures: 9, window: 10_000 })
    expect(snapshot.targets.get('t')!.breaker.failures).toBe(2)
    const implicit = resolveModel(snapshot, 'ollama/other') as Route
    expect(implicit.retries.attempts).toBe(5)
    expect(implicit.targets[0]!.breaker.failures).toBe(9)
  })

  test('have the defaults that the documentation states', () => {
    expect(routeOf({ routes: { a: 'ollama/x' } })).toMatchObject({
      retries: { attempts: 3, baseDelay: 1000, maxDelay: 30_000, budget: 0.2 },
      fallback: true,
      onContextWindow: [],
      onContentPolicy: [],
      onAllFailed: 'error',
      clientModels: false,
      strict: false,
      targets: [
        {
          breaker: {
            failures: 5,
            percent: 50,
            volume: 20,
            window: 60_000,
            openFor: 60_000,
            unhealthyFor: 300_000,
            autoDisableAfter: 0,
          },
        },
      ],
    })
  })
})

describe('fallback', () => {
  const targets = ['ollama/x', 'vllm/x']

  test('is switched off for a route, a provider, or everywhere', () => {
    expect(routeOf({ routes: { a: { targets, fallback: false } } }).fallback).toBe(false)
    expect(routeOf({ routes: { a: { targets, fallback: true } }, fallback: false }).fallback).toBe(false)
    const { snapshot } = load({ providers: { ollama: { fallback: false }, vllm: null }, routes: { a: targets } })
    expect(snapshot.routes.get('a')!.targets.map(({ provider }) => provider.fallback)).toEqual([false, true])
  })

  test('that is neither true nor false does not keep other faults from being told', () => {
    expect(faultsOf({ fallback: 'sometimes', routes: { a: 'nobody/x' } })).toHaveLength(2)
  })
})
