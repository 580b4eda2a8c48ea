// Keys of the file take what virtual keys take: allow-lists, an end, a switch; a swap changes them at once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../src/config/keySettings.ts'
import { parseConfig } from '../src/config/load.ts'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { get, post } from './support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

const secret = (name: string): string => `sk-test-${name}-key-0123456789`
const entry = (name: string, more: object = {}): object => ({ name, key: secret(name), ...more })

let simulator: Simulator
let gateway: TestGateway

const configOf = (...more: object[]): Record<string, unknown> => ({
  server: { port: 0 },
  retries: { attempts: 1 },
  providers: { up: upstreamAt(simulator.url), 'up-eu': upstreamAt(simulator.url) },
  routes: { chat: ['up/a'], chain: ['up/down', 'up/b', 'up-eu/c'], other: 'up/d' },
  directModels: true,
  keys: [
    entry('plain'),
    entry('few', { routes: ['chat', 'up/*'] }),
    entry('narrow', { models: ['up-eu/*', 'up/down'] }),
    entry('nothing', { models: [] }),
    entry('past', { expiresAt: '2020-01-31T00:00:00Z' }),
    entry('future', { expiresAt: '2999-01-31T00:00:00+02:00' }),
    entry('off', { disabled: true }),
    entry('old-operator', { role: 'admin', expiresAt: '2020-01-31T00:00:00Z' }),
    ...more,
  ],
})
beforeAll(async () => {
  simulator = await startSimulator({ scripts: { down: { fault: { kind: 'status', status: 401 } } } })
  gateway = await startGateway(configOf())
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})

const bearer = (name: string): Record<string, string> => ({ authorization: `Bearer ${secret(name)}` })
const chat = async (name: string, model = 'chat'): Promise<unknown[]> => {
  const { status, headers } = await post(gateway.url + CHAT, ask(model), bearer(name))
  return [status, headers['x-turnout-target'] ?? headers['x-turnout-error']]
}

describe('C34 keys of the file', () => {
  it('C34 may ask for what `routes` says, by name and by pattern', async () => {
    expect(await chat('plain', 'other')).toEqual([200, 'up/d'])
    expect(await chat('few')).toEqual([200, 'up/a'])
    expect(await chat('few', 'up/x')).toEqual([200, 'up/x'])
    expect(await chat('few', 'other')).toEqual([403, 'model_not_allowed'])
    expect(await chat('few', 'up-eu/x')).toEqual([403, 'model_not_allowed'])
  })

  it('C34 are served by what `models` says, also by a fallback', async () => {
    expect(await chat('narrow', 'chain')).toEqual([200, 'up-eu/c'])
    expect(await chat('plain', 'chain')).toEqual([200, 'up/b'])
    expect(await chat('narrow')).toEqual([403, 'model_not_allowed'])
    expect(await chat('nothing')).toEqual([403, 'model_not_allowed'])
  })

  it('are good until they expire and while they are switched on, for models and for operating alike', async () => {
    expect(await chat('past')).toEqual([401, 'key_expired'])
    expect(await chat('future')).toEqual([200, 'up/a'])
    expect(await chat('off')).toEqual([401, 'key_disabled'])
    const { status, text } = await get(`${gateway.url}/admin/openapi.json`, bearer('old-operator'))
    expect([status, JSON.parse(text).error.code]).toEqual([401, 'key_expired'])
  })

  it('change with the configuration, from the next request on', async () => {
    const before = gateway.turnout.snapshot
    const swap = (more: object): void =>
      gateway.turnout.swap(
        parseConfig(JSON.stringify(configOf(entry('moving', more))), { env: {}, version: 2 }).snapshot,
      )
    swap({})
    expect(await chat('moving', 'other')).toEqual([200, 'up/d'])
    swap({ routes: ['chat'] })
    expect(await chat('moving', 'other')).toEqual([403, 'model_not_allowed'])
    swap({ disabled: true })
    expect(await chat('moving')).toEqual([401, 'key_disabled'])
    gateway.turnout.swap(before)
    expect(await chat('moving')).toEqual([401, 'invalid_api_key'])
  })
})

it('what they say is read as it is written', () => {
  const { keys } = parseConfig(
    JSON.stringify({
      providers: { ollama: null },
      directModels: true,
      keys: [
        entry('a', { routes: ['x-*'], models: ['ollama/*'], expiresAt: '2027-01-31T02:00:00+02:00', disabled: false }),
      ],
    }),
    { env: {}, version: 1 },
  ).snapshot
  expect(keys.get(digestOf(secret('a')))).toEqual({
    name: 'a',
    digest: digestOf(secret('a')),
    role: 'app',
    routes: ['x-*'],
    models: ['ollama/*'],
    expiresAt: Date.UTC(2027, 0, 31),
    disabled: false,
  })
})

it.each([
  [{ expiresAt: 'tomorrow' }, 'keys[0].expiresAt'],
  [{ expiresAt: '2027-01-31' }, 'keys[0].expiresAt'],
  [{ routes: 'chat' }, 'keys[0].routes'],
  [{ models: [''] }, 'keys[0].models[0]'],
  [{ disabled: 'no way' }, 'keys[0].disabled'],
  [{ expires_at: '2027-01-31T00:00:00Z' }, 'keys[0]'],
])('%j means nothing, and is told by its place', (more, path) => {
  const text = JSON.stringify({ providers: { ollama: null }, directModels: true, keys: [entry('a', more)] })
  expect(() => parseConfig(text, { env: {}, version: 1 })).toThrow(path)
})
