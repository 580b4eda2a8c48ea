// Case C34: what a key may use is asked again on the hops that no client sees: special chains, its own further models, a swap in between.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { type Simulator, startSimulator } from '../../src/simulator/index.ts'
import { createKeyring } from '../../src/state/keyring.ts'
import { makeKeyStore } from '../../src/store/keys.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { post } from '../support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'

const master = 'tk-test-master-0123456789abcdef'
const folder = mkdtempSync(join(tmpdir(), 'turnout-hops-'))
let store: Store
let simulator: Simulator
let gateway: TestGateway
/** May use the provider `up`, and nothing that only begins like it: made while the gateway runs, and one of the file. */
let virtual: string
const ofFile = 'sk-test-narrow-of-file-0123456789'
const exact = 'sk-test-exact-of-file-0123456789'
const kinds = [
  ['a virtual key', () => virtual],
  ['a key of the file', () => ofFile],
] as const

const configOf = (chat: string[]): Record<string, unknown> => ({
  server: { port: 0 },
  retries: { attempts: 1 },
  providers: { up: upstreamAt(simulator.url), 'up-large': upstreamAt(simulator.url) },
  routes: {
    chat,
    long: { targets: ['up/small'], onContextWindow: ['up-large/m'] },
    longer: { targets: ['up/small'], onContextWindow: ['up-large/m', 'up/large'] },
    chosen: { targets: ['up/down'], clientModels: true },
    large: 'up-large/m',
  },
  keys: [
    { name: 'boss', key: master, role: 'admin' },
    { name: 'narrow-of-file', key: ofFile, models: ['up/*'] },
    { name: 'exact-of-file', key: exact, models: ['up/a', 'up/b'] },
  ],
})

beforeAll(async () => {
  store = openStore({ file: join(folder, 'turnout.db') })
  simulator = await startSimulator({
    keepBodies: true,
    scripts: {
      small: { fault: { kind: 'status', status: 400, code: 'context_length_exceeded' } },
      down: { fault: { kind: 'status', status: 503 } },
    },
  })
  const keyring = createKeyring(makeKeyStore(store), Buffer.alloc(32, 7))
  gateway = await startGateway(configOf(['up/a', 'up-large/m']), { books: { keyring } })
  const made = await post(
    `${gateway.url}/admin/keys`,
    { name: 'narrow', models: ['up/*'] },
    { authorization: `Bearer ${master}` },
  )
  virtual = JSON.parse(made.text).secret
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
  store?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function chat(model: string, key: string, more: Record<string, unknown> = {}): Promise<unknown[]> {
  const reply = await post(gateway.url + CHAT, ask(model, more), { authorization: `Bearer ${key}` })
  return [reply.status, reply.headers[reply.status === 200 ? 'x-turnout-target' : 'x-turnout-error']]
}

/** `models` as the vendor got it with its last call. */
const sentLast = (): unknown => JSON.parse(simulator.calls.at(-1)!.body!.toString()).models

it.each(kinds)(
  'C34 a special chain leads nowhere that %s may not go; then the client learns what is wrong',
  async (_, of) => {
    const secret = of()
    expect(await chat('long', master)).toEqual([200, 'up-large/m'])
    expect(await chat('long', secret)).toEqual([400, 'context_window'])
    expect(await chat('longer', master)).toEqual([200, 'up-large/m'])
    expect(await chat('longer', secret)).toEqual([200, 'up/large'])
  },
)

it.each(kinds)('C34 the further models that a client names are held to the list of %s, too', async (_, of) => {
  const secret = of()
  expect(await chat('chosen', master, { models: ['large'] })).toEqual([200, 'up-large/m'])
  expect(await chat('chosen', secret, { models: ['large'] })).toEqual([503, 'overloaded'])
  expect(await chat('chosen', secret, { models: ['large', 'chat'] })).toEqual([200, 'up/a'])
})

it('C34 models that a vendor would choose from by itself are held to the list of the key, too', async () => {
  const fits = ['b', 'a', 'b']
  expect(await chat('chat', exact, { models: fits })).toEqual([200, 'up/a'])
  expect(sentLast()).toEqual(fits)
  for (const models of [null, []]) expect(await chat('chat', exact, { models })).toEqual([200, 'up/a'])
  const many = Array.from({ length: 17 }, () => 'a')
  for (const models of [['o1-pro'], ['a', 'o1-pro'], [...many, 'o1-pro'], 'o1-pro', [1]]) {
    expect(await chat('chat', master, { models })).toEqual([200, 'up/a'])
    expect(sentLast()).toEqual(models)
    const asked = simulator.calls.length
    expect(await chat('chat', exact, { models })).toEqual([403, 'model_not_allowed'])
    expect(simulator.calls.length).toBe(asked)
  }
  // More than anybody means are not looked up one by one.
  const most = Array.from({ length: 1_000 }, () => 'a')
  expect(await chat('chat', exact, { models: most })).toEqual([200, 'up/a'])
  expect(await chat('chat', exact, { models: [...most, 'a'] })).toEqual([403, 'model_not_allowed'])
  expect(await chat('chat', master, { models: [...most, 'a'] })).toEqual([200, 'up/a'])
})

it('C34 a model that a tool of the vendor runs beside the answer is held to the list of the key, too', async () => {
  const send = async (key: string, model: unknown): Promise<unknown> => {
    const advisor = { type: 'advisor_20260301', name: 'advisor', model }
    const body = { ...ask('chat'), tools: [advisor, null] }
    const reply = await post(gateway.url + CHAT, body, { authorization: `Bearer ${key}` })
    return JSON.parse(reply.text).error?.code
  }
  const asked = simulator.calls.length
  expect([await send(exact, 'dear'), await send(exact, 'large')]).toEqual(['model_not_allowed', 'model_not_allowed'])
  expect(simulator.calls.length).toBe(asked)
  for (const [key, model] of [
    [exact, 'b'],
    [exact, undefined],
    [ofFile, 'dear'],
    [master, 'dear'],
  ] as const)
    expect(await send(key, model), model).not.toBe('model_not_allowed')
})

it.each<[string, (model: string) => object]>([
  ['a tool of a router', (model) => ({ tools: [{ type: 'openrouter:image_generation', parameters: { model } }] })],
  ['a plugin', (model) => ({ plugins: [{ id: 'fusion', analysis_models: ['b', model] }] })],
  ['a compound', (model) => ({ compound_custom: { models: { reasoning_model: model } } })],
  ['a proxy', (model) => ({ fallbacks: [model] })],
  ['a proxy by what fails', (model) => ({ fallbacks: [{ a: ['b', model] }] })],
  ['a proxy for long prompts', (model) => ({ context_window_fallbacks: [{ a: [model] }] })],
  [
    'a proxy with a prompt of its own',
    (model) => ({ fallbacks: [{ model, stop: ['.'], messages: [{ role: 'user', content: 'Hi' }] }] }),
  ],
])('C34 a model that is named to %s is held to the list of the key, too', async (_, named) => {
  const send = async (key: string, more: object): Promise<unknown> => {
    const reply = await post(gateway.url + CHAT, { ...ask('chat'), ...more }, { authorization: `Bearer ${key}` })
    return JSON.parse(reply.text).error?.code
  }
  const asked = simulator.calls.length
  expect(await send(exact, named('dear'))).toBe('model_not_allowed')
  expect(simulator.calls.length).toBe(asked)
  expect(await send(exact, named('b'))).not.toBe('model_not_allowed')
  expect(await send(master, named('dear'))).not.toBe('model_not_allowed')
})

it('C34 what a client calls a model in its own words is none', async () => {
  const schema = { type: 'object', properties: { model: { type: 'string' } }, default: { model: 'dear' } }
  const own = {
    metadata: { model: 'dear' },
    tools: [{ type: 'function', function: { name: 'find', parameters: schema }, input_examples: [{ model: 'dear' }] }],
    documents: [{ title: 'Cars', model: 'dear' }],
    guided_json: schema,
    structured_outputs: { json: schema },
    response_format: { type: 'json_schema', json_schema: { name: 'car', schema } },
  }
  expect(await chat('chat', exact, own)).toEqual([200, 'up/a'])
})

it.each(kinds)('C34 a swap that moves a route elsewhere does not take %s with it', async (_, of) => {
  const secret = of()
  gateway.turnout.swap(parseConfig(JSON.stringify(configOf(['up/a', 'up-large/m'])), { env: {}, version: 1 }).snapshot)
  expect(await chat('chat', secret)).toEqual([200, 'up/a'])
  const text = JSON.stringify(configOf(['up-large/m', 'up/b']))
  gateway.turnout.swap(parseConfig(text, { env: {}, version: 2 }).snapshot)
  expect(await chat('chat', master)).toEqual([200, 'up-large/m'])
  expect(await chat('chat', secret)).toEqual([200, 'up/b'])
  const only = JSON.stringify(configOf(['up-large/m']))
  gateway.turnout.swap(parseConfig(only, { env: {}, version: 3 }).snapshot)
  expect(await chat('chat', secret)).toEqual([403, 'model_not_allowed'])
})
