// Virtual keys from the outside: made over the admin API, used at the door, changed, rotated, taken away; allow-lists on every hop.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { createKeyring } from '../src/state/keyring.ts'
import { makeKeyStore } from '../src/store/keys.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { get, post, send } from './support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

const master = 'tk-test-master-0123456789abcdef'
const folder = mkdtempSync(join(tmpdir(), 'turnout-keys-'))
const pepper = Buffer.alloc(32, 7)
let store: Store
let simulator: Simulator
let gateway: TestGateway

beforeAll(async () => {
  store = openStore({ file: join(folder, 'turnout.db') })
  simulator = await startSimulator({ scripts: { down: { fault: { kind: 'status', status: 401 } } } })
  gateway = await startGateway(
    {
      providers: { up: upstreamAt(simulator.url), 'up-eu': upstreamAt(simulator.url) },
      routes: {
        chat: ['up/a'],
        chain: ['up/down', 'up/b', 'up-eu/c'],
        other: 'up/d',
        kept: { targets: ['up/e'], cache: { deterministicOnly: false } },
      },
      directModels: true,
      keys: [{ name: 'boss', key: master, role: 'admin' }],
    },
    { books: { keyring: createKeyring(makeKeyStore(store), pepper) } },
  )
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
  store?.close()
  rmSync(folder, { recursive: true, force: true })
})

const admin = { authorization: `Bearer ${master}`, 'content-type': 'application/json' }
const bearer = (secret: string): Record<string, string> => ({ authorization: `Bearer ${secret}` })

async function make(body: Record<string, unknown>): Promise<{ id: string; secret: string; [field: string]: unknown }> {
  const reply = await post(`${gateway.url}/admin/keys`, body, admin)
  expect(reply.status, reply.text).toBe(200)
  return JSON.parse(reply.text)
}

async function change(id: string, body: Record<string, unknown>): Promise<number> {
  return (await send('PATCH', `${gateway.url}/admin/keys/${id}`, body, admin).done).status
}

const chat = async (secret: string, model = 'chat'): Promise<[number, string | undefined]> => {
  const { status, headers } = await post(`${gateway.url}${CHAT}`, ask(model), bearer(secret))
  return [status, (headers['x-turnout-target'] ?? headers['x-turnout-error']) as string | undefined]
}

describe('a virtual key', () => {
  it('opens the door from the moment it is made, with any of the headers, and is shown once', async () => {
    const key = await make({ name: 'app-1', team: 'search', tags: { env: 'test' } })
    expect(key.secret).toMatch(/^tk-[\w-]{43}$/)
    expect(await chat(key.secret)).toEqual([200, 'up/a'])
    for (const header of ['x-api-key', 'api-key'])
      expect((await post(`${gateway.url}${CHAT}`, ask('chat'), { [header]: key.secret })).status).toBe(200)
    const shown = await get(`${gateway.url}/admin/keys/${key.id}`, admin)
    expect(JSON.parse(shown.text)).toMatchObject({ name: 'app-1', team: 'search', hint: `tk-…${key.secret.slice(-4)}` })
    const listed = await get(`${gateway.url}/admin/keys`, admin)
    expect(shown.text + listed.text).not.toContain(key.secret)
    expect(gateway.lines.some((line) => line.key === 'app-1')).toBe(true)
  })

  it('is nowhere in the database but as a digest', async () => {
    const { secret } = await make({ name: 'app-2' })
    store.db.pragma('wal_checkpoint(TRUNCATE)')
    const rows = JSON.stringify(store.db.prepare('SELECT * FROM api_key').all())
    expect(rows).toContain('app-2')
    expect(rows).not.toContain(secret.slice(3, -4))
  })

  it('does not operate the gateway', async () => {
    const { secret } = await make({ name: 'app-3' })
    expect((await get(`${gateway.url}/admin/keys`, bearer(secret))).status).toBe(403)
  })

  it('can be switched off and on again, expire, and be taken away, at once', async () => {
    const { id, secret } = await make({ name: 'app-4' })
    expect(await change(id, { disabled: true })).toBe(200)
    expect(await chat(secret)).toEqual([401, 'key_disabled'])
    await change(id, { disabled: false, expires_at: '2020-01-01T00:00:00Z' })
    expect(await chat(secret)).toEqual([401, 'key_expired'])
    await change(id, { expires_at: null })
    expect(await chat(secret)).toEqual([200, 'up/a'])
    const headers = ['x-api-key', 'api-key']
    const statuses = () =>
      Promise.all(
        headers.map(async (name) => (await post(`${gateway.url}${CHAT}`, ask('chat'), { [name]: secret })).status),
      )
    expect(await statuses()).toEqual([200, 200])
    expect((await send('DELETE', `${gateway.url}/admin/keys/${id}`, undefined, admin).done).status).toBe(200)
    expect(await chat(secret)).toEqual([401, 'invalid_api_key'])
    expect(await statuses()).toEqual([401, 401])
    expect((await get(`${gateway.url}/admin/keys/${id}`, admin)).status).toBe(404)
  })

  it('is rotated with a time of grace for the old secret, or without one', async () => {
    const { id, secret } = await make({ name: 'app-5' })
    const rotated = JSON.parse(
      (await post(`${gateway.url}/admin/keys/${id}/rotate`, { grace_seconds: 60 }, admin)).text,
    )
    expect(await chat(secret)).toEqual([200, 'up/a'])
    expect(await chat(rotated.secret)).toEqual([200, 'up/a'])
    const again = JSON.parse((await post(`${gateway.url}/admin/keys/${id}/rotate`, {}, admin)).text)
    expect(await chat(secret)).toEqual([401, 'invalid_api_key'])
    expect(await chat(rotated.secret)).toEqual([401, 'invalid_api_key'])
    expect(await chat(again.secret)).toEqual([200, 'up/a'])
    expect([rotated.old_secret_until, again.old_secret_until]).toEqual([expect.any(String), null])
  })

  it('leaves nothing but its name to whoever gets that: neither its number nor its cached answers', async () => {
    const kept = async (secret: string): Promise<unknown> =>
      (await post(`${gateway.url}${CHAT}`, ask('kept'), bearer(secret))).headers['x-turnout-cache']
    const before = await make({ name: 'app-7' })
    expect(await kept(before.secret)).toBe('miss')
    expect(await kept(before.secret)).toMatch(/^hit/)
    expect((await send('DELETE', `${gateway.url}/admin/keys/${before.id}`, undefined, admin).done).status).toBe(200)
    const after = await make({ name: 'app-7' })
    expect(after.id).not.toBe(before.id)
    expect(await kept(after.secret)).toBe('miss')
    await change(after.id, { name: 'app-8' })
    expect(await kept(after.secret)).toMatch(/^hit/)
  })

  it('is found again by the next process with the same secret of the installation, and by no other', async () => {
    const ring = createKeyring(makeKeyStore(store), pepper)
    const { key, secret } = await ring.create({ name: 'app-6', disabled: false })
    expect(createKeyring(makeKeyStore(store), pepper).find(secret)?.key.name).toBe('app-6')
    expect(createKeyring(makeKeyStore(store), Buffer.alloc(32, 8)).find(secret)).toBeUndefined()
    await ring.remove(key.id)
  })

  it.each([
    [{ name: 'app-1' }, 'name'],
    [{}, 'name'],
    [{ name: 'x y' }, 'name'],
    [{ name: 'ok', expires_at: 'tomorrow' }, 'expires_at'],
    [{ name: 'ok', expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
    [{ name: 'ok', routes: 'chat' }, 'routes'],
    [{ name: 'ok', colour: 'red' }, 'colour'],
    [{ name: 'boss' }, 'name'],
  ])('is refused when %j makes no sense, by the field', async (body, field) => {
    const reply = await post(`${gateway.url}/admin/keys`, body, admin)
    expect(reply.status).toBe(400)
    expect(reply.text).toContain(field)
  })

  it.each([
    [{}, 'name', "'name': expected a text."],
    [[], null, 'The body is not what this route takes: expected an object.'],
    [
      { name: 'ok', limits: { per: 'user', requests: 1 } },
      'limits.per',
      /^'limits\.per': unknown key "per"; known here: requests/,
    ],
    [{ name: 'ok', budgets: { usd: 1, window: 'fortnight' } }, 'budgets.window', /expected one of minute, hour, day/],
    [{ name: 'ok', budgets: [{ usd: 1 }, { usd: -1 }] }, 'budgets.1.usd', /a budget is above 0/],
    [{ name: 'ok', limits: 5 }, 'limits', "'limits': expected a block, or a list of blocks."],
  ])('says of %j what is wrong where', async (body, param, message) => {
    const { error } = JSON.parse((await post(`${gateway.url}/admin/keys`, body, admin)).text)
    expect(error.param).toBe(param)
    expect(error.message).toMatch(message)
  })
})

it('a file that brings a key of the same name is told of', async () => {
  await make({ name: 'double' })
  const text = JSON.stringify({
    providers: { up: upstreamAt(simulator.url) },
    routes: { chat: 'up/a' },
    keys: [
      { name: 'boss', key: master, role: 'admin' },
      { name: 'double', key: 'sk-test-double-0123456789' },
    ],
  })
  const before = gateway.turnout.snapshot
  gateway.turnout.swap(parseConfig(text, { env: {}, version: 2 }).snapshot)
  try {
    expect(JSON.stringify(gateway.notes.at(-1))).toContain('both called double')
    expect(await chat('sk-test-double-0123456789')).toEqual([200, 'up/a'])
  } finally {
    gateway.turnout.swap(before)
  }
})

describe('C34 allow-lists', () => {
  it('C34 hold what may be asked for, by name and by pattern', async () => {
    const { secret } = await make({ name: 'few', routes: ['chat', 'up/*'] })
    expect(await chat(secret)).toEqual([200, 'up/a'])
    expect(await chat(secret, 'up/x')).toEqual([200, 'up/x'])
    expect(await chat(secret, 'other')).toEqual([403, 'model_not_allowed'])
    expect(await chat(secret, 'up-eu/x')).toEqual([403, 'model_not_allowed'])
  })

  it('C34 are asked again for a fallback: a target outside the list is skipped, and a prefix means its provider alone', async () => {
    const skipping = await make({ name: 'hop', models: ['up/down', 'up-eu/*'] })
    expect(await chat(skipping.secret, 'chain')).toEqual([200, 'up-eu/c'])
    const narrow = await make({ name: 'narrow', models: ['up/*'] })
    expect(await chat(narrow.secret, 'chain')).toEqual([200, 'up/b'])
    const stuck = await make({ name: 'stuck', models: ['up/down'] })
    expect((await chat(stuck.secret, 'chain'))[0]).toBe(401)
    const none = await make({ name: 'none', models: ['elsewhere/*'] })
    expect(await chat(none.secret, 'chain')).toEqual([403, 'model_not_allowed'])
  })

  it('C34 are what the list of models, a single one, token counts and limits go by, too', async () => {
    const { secret } = await make({ name: 'looking', models: ['up-eu/*'] })
    const ids = JSON.parse((await get(`${gateway.url}/v1/models`, bearer(secret))).text).data.map(
      ({ id }: { id: string }) => id,
    )
    for (const [model, status] of [
      ['chain', 200],
      ['up-eu/x', 200],
      ['chat', 403],
      ['up/x', 403],
    ] as const) {
      expect((await chat(secret, model))[0], model).toBe(status)
      if (!model.includes('/')) expect(ids.includes(model), model).toBe(status === 200)
      const name = encodeURIComponent(model)
      const count = await post(`${gateway.url}/v1/tokens/count`, { model, input: 'Hello' }, bearer(secret))
      const shown = await get(`${gateway.url}/v1/models/${name}`, bearer(secret))
      const limits = await get(`${gateway.url}/v1/limits?model=${name}`, bearer(secret))
      expect([count.status, shown.status, limits.status], model).toEqual([status, status, status])
      const facts = JSON.parse(count.text)
      // Not the first of the route, which this key never meets.
      if (model === 'chain') expect(facts.counted_as).toBe('c')
      if (status === 403) expect(facts.error.code).toBe('model_not_allowed')
    }
  })

  it('C34 are looked up as the bypass sends requests, while it is on', async () => {
    const { secret } = await make({ name: 'bypassed', models: ['up-eu/*'] })
    const before = gateway.turnout.snapshot
    gateway.turnout.swap({ ...before, bypass: true })
    try {
      expect(await chat(secret, 'chain')).toEqual([403, 'model_not_allowed'])
      expect((await get(`${gateway.url}/v1/models/chain`, bearer(secret))).status).toBe(403)
      expect((await get(`${gateway.url}/v1/models`, bearer(secret))).text).not.toContain('"chain"')
    } finally {
      gateway.turnout.swap(before)
    }
  })

  it('C34 are what a mistyped name is told of: names of others are not hinted at', async () => {
    const narrow = await make({ name: 'narrow-names', routes: ['chat'] })
    const served = await make({ name: 'narrow-models', models: ['up-eu/c'] })
    for (const [{ secret }, hints] of [
      [narrow, " Did you mean 'chat'?"],
      [served, " Did you mean 'chain'?"],
    ] as const) {
      const says = `The model 'othr' does not exist or is not configured here.${hints}`
      const asked = await post(`${gateway.url}${CHAT}`, { model: 'othr', messages: [] }, bearer(secret))
      const shown = await get(`${gateway.url}/v1/models/othr`, bearer(secret))
      const limits = await get(`${gateway.url}/v1/limits?model=othr`, bearer(secret))
      for (const { status, text } of [asked, shown, limits])
        expect([status, JSON.parse(text).error.message]).toEqual([404, says])
    }
  })

  it('C34 take effect with the next request', async () => {
    const { id, secret } = await make({ name: 'changing' })
    expect(await chat(secret, 'other')).toEqual([200, 'up/d'])
    await change(id, { routes: ['chat'] })
    expect(await chat(secret, 'other')).toEqual([403, 'model_not_allowed'])
    await change(id, { routes: null })
    expect(await chat(secret, 'other')).toEqual([200, 'up/d'])
  })
})

it('a virtual key is shown nothing of what a target is sent, although the file has no key', async () => {
  const keyring = createKeyring(makeKeyStore(store), pepper)
  const { secret, key } = await keyring.create({ name: 'alone', disabled: false })
  const only = await startGateway(
    {
      providers: { up: upstreamAt(simulator.url) },
      targets: { small: { provider: 'up', model: 'a', systemPrefix: 'our-own-prompt' } },
      routes: { chat: 'small' },
    },
    { books: { keyring } },
  )
  try {
    const headers = { ...bearer(secret), 'x-turnout-echo': 'request' }
    const { status, text } = await post(only.url + CHAT, ask('chat'), headers)
    expect([status, JSON.parse(text).object]).toEqual([200, 'chat.completion'])
    expect(text).not.toContain('our-own')
  } finally {
    await keyring.remove(key.id)
    await only.close()
  }
})
