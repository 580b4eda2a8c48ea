// What the bench switches on and off is what its tables say.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { extras, type Feature, features } from '../bench/contenders/features.ts'
import { relay } from '../bench/contenders/peers.ts'
import { shippedFlags, surroundings, writeConfig } from '../bench/contenders/turnout.ts'
import type { Machine } from '../bench/machine.ts'
import { variants } from '../bench/variants.ts'

const folder = mkdtempSync(join(tmpdir(), 'turnout-features-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const configOf = (on: readonly Feature[]) =>
  JSON.parse(readFileSync(writeConfig({ upstreams: {} as never, folder, port: 1 }, on), 'utf8'))

describe('a configuration of the bench', () => {
  it('has everything on where everything is said to be on', () => {
    const { keys, limits, alerts, budgets, prices, routes, log, trace, ledger } = configOf(features)
    expect(keys).toHaveLength(100)
    expect(Object.keys(limits)).toEqual(['key', 'address', 'all'])
    expect(Object.keys(alerts)).toHaveLength(4)
    expect(Object.keys(budgets)).toEqual(['key', 'route', 'all'])
    expect(prices).toBeDefined()
    expect(log.level).toBe('info')
    expect(trace).toEqual({ sample: 1 })
    expect(ledger).toBeUndefined()
    for (const route of Object.values<Record<string, object>>(routes)) {
      expect(route.canary).toMatchObject({ percent: 5 })
      expect(route.cache).toEqual({ deterministicOnly: false, coalesce: false })
    }
  })

  it('has nothing on where everything is said to be off', () => {
    const { keys, limits, alerts, budgets, routes, log, trace } = configOf([])
    expect([keys, limits, alerts, budgets]).toEqual([undefined, undefined, undefined, undefined])
    expect(log.level).toBe('silent')
    expect(trace).toEqual({ enabled: false })
    for (const route of Object.values(routes)) expect(typeof route).toBe('string')
  })

  it.each([...features, ...extras])('differs by $name alone', (feature) => {
    const others = features.filter((other) => other !== feature)
    const on = configOf(extras.includes(feature) ? [...features, feature] : features)
    const off = configOf(others)
    const changed = Object.keys({ ...on, ...off }).filter(
      (block) => JSON.stringify(on[block]) !== JSON.stringify(off[block]),
    )
    const blocks: Record<string, string> = {
      ...{ rollout: 'routes', cache: 'routes' },
      ...{ 'trace-one-percent': 'trace', 'ledger-relaxed': 'ledger', 'ledger-power': 'ledger' },
    }
    expect(changed).toEqual([blocks[feature.name] ?? feature.name])
  })
})

it("the relay has the flags of node that Turnout is shipped with: else what they save would count as Turnout's", async () => {
  expect(shippedFlags).toContain('--max-semi-space-size=64')
  const child = (await relay.start({ machine: {} as Machine, upstreams: {} as never, folder, port: 1 }))!
  const { spawnargs } = child.process
  await child.stop()
  expect(spawnargs.slice(0, 1 + shippedFlags.length)).toEqual([process.execPath, ...shippedFlags])
})

it("no variable of the bench's own environment changes what Turnout is measured with", () => {
  const env = {
    PATH: '/bin',
    TURNOUT_DB: '/var/lib/turnout.db',
    TURNOUT_MASTER_KEY: 'mk',
    LOG_LEVEL: 'debug',
    AI_RETRY_MAX_ATTEMPTS: '9',
  }
  expect(surroundings({ folder }, env)).toEqual({ env: { PATH: '/bin', NODE_ENV: 'production' }, cwd: folder })
})

describe('a pair of `bench:features`', () => {
  const textOf = (value: unknown) => JSON.stringify(value) ?? ''
  /** The blocks of either side. */
  const sidesOf = (variant: (typeof variants)[number]) => [configOf(variant.with), configOf(variant.without)]

  it.each(features)('measures $name and nothing else', (feature) => {
    const [one, other] = sidesOf(variants.find(({ name }) => name === feature.name)!)
    const changed = Object.keys({ ...one, ...other }).filter((block) => textOf(one[block]) !== textOf(other[block]))
    expect(changed).toEqual([['rollout', 'cache'].includes(feature.name) ? 'routes' : feature.name])
    expect(variants.find(({ name }) => name === feature.name)!.build).toBeUndefined()
  })

  it('has nothing that counts by key where one side has no keys, unless it is the feature that is measured', () => {
    for (const variant of variants.filter(({ name }) => name !== 'all')) {
      const [one, other] = sidesOf(variant)
      if (one.keys && other.keys) continue
      const others = Object.entries(one).filter(([block]) => !variant.name.split('+').includes(block))
      for (const [block, value] of others) expect(`${block}: ${textOf(value)}`).not.toContain('"per":"key"')
    }
  })
})
