// The admin API of virtual keys: what each verb takes and tells, what the audit trail keeps of it, and what it refuses.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ControlGateway, keys, startControl } from './support/control.ts'
import { post, send } from './support/exchange.ts'
import { holdUp } from './support/holdUp.ts'

let gateway: ControlGateway
beforeAll(async () => {
  gateway = await startControl()
})
afterAll(() => gateway.close())

const chat = async (secret: string): Promise<number> => {
  const body = { model: 'chat', messages: [{ role: 'user', content: 'Hello' }] }
  return (await post(`${gateway.url}/v1/chat/completions`, body, { authorization: `Bearer ${secret}` })).status
}
/** Rows of the audit trail that name the key, newest first. */
const trail = async (name: string) =>
  (await gateway.ask('GET', '/audit?limit=100')).body.data.filter((row: { subject: string }) => row.subject === name)

describe('limits and budgets of a virtual key', () => {
  it('are those of the configuration, are shown again, and come with the key on every request', async () => {
    const rules = { limits: { requests: 100, window: '10s' }, budgets: [{ usd: '5' }, { usd: 0.5, window: 'day' }] }
    const made = await gateway.ask('POST', '/keys', { name: 'ruled', ...rules })
    expect(made.status, made.text).toBe(200)
    expect(made.body).toMatchObject({
      limits: [{ requests: 100, window: 10_000 }],
      budgets: [{ usd: '5' }, { usd: 0.5, window: 'day' }],
    })
    const shown = await gateway.ask('GET', `/keys/${made.body.id}`)
    const { secret: _, ...rest } = made.body
    expect(shown.body).toEqual(rest)
    const { keyring } = gateway.running
    expect(keyring.find(made.body.secret)?.key).toMatchObject({
      limits: [{ name: 'key ruled', per: ['key'], only: { key: 'ruled' }, requests: 100, window: 10_000 }],
      budgets: [
        { name: 'key ruled', limitNano: 5_000_000_000, window: 'month', hard: true },
        { name: 'key ruled 2', limitNano: 500_000_000, window: 'day' },
      ],
    })
  })

  it('can be changed and taken away, and follow the name', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'moving', limits: { requests: 1 } })
    const rules = () => gateway.running.keyring.find(body.secret)?.key
    await gateway.ask('PATCH', `/keys/${body.id}`, { name: 'moved' })
    expect(rules()).toMatchObject({ name: 'moved', limits: [{ name: 'key moved', only: { key: 'moved' } }] })
    await gateway.ask('PATCH', `/keys/${body.id}`, { limits: { tokens: 5 } })
    expect(rules()?.limits).toMatchObject([{ requests: undefined, tokens: 5 }])
    expect((await gateway.ask('PATCH', `/keys/${body.id}`, { limits: null })).body.limits).toBe(null)
    expect(rules()?.limits ?? []).toEqual([])
  })

  it.each([
    [{ limits: {} }, 'limits'],
    [{ limits: { requests: 0 } }, 'limits'],
    [{ limits: { requests: 1, per: 'ip' } }, 'per'],
    [{ limits: { requests: 1, window: '2d' } }, 'limits'],
    [{ budgets: { usd: '-1' } }, 'budgets'],
    [{ budgets: { usd: 1, timezone: 'Mars/Olympus' } }, 'budgets.timezone'],
    [{ budgets: { usd: 1, onExhausted: 'route:nowhere' } }, 'budgets.onExhausted'],
  ])('are refused when %j means nothing, by the field', async (rules, field) => {
    const made = await gateway.ask('POST', '/keys', { name: 'senseless', ...rules })
    expect(made.status, made.text).toBe(400)
    expect(made.text).toContain(field)
    expect((await gateway.ask('GET', '/keys/senseless')).status).toBe(404)
  })

  it('outlive the process', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'lasting', limits: { requests: 7 }, routes: ['chat'] })
    await gateway.restart()
    expect(await chat(body.secret)).toBe(200)
    expect(gateway.running.keyring.find(body.secret)?.key).toMatchObject({
      name: 'lasting',
      routes: ['chat'],
      limits: [{ requests: 7 }],
    })
  })
})

describe('a request that waits for its turn', () => {
  const waiting = async (): Promise<number> => {
    const { text } = await send('GET', `${gateway.url}/metrics`, undefined, { authorization: `Bearer ${keys.admin}` })
      .done
    return Number(/^turnout_limit_waiting (\d+)$/m.exec(text)?.[1])
  }
  it.each([
    ['has gone', 'DELETE', undefined, 401, 'invalid_api_key'],
    ['is switched off', 'PATCH', { disabled: true }, 401, 'key_disabled'],
    ['may not use the model any more', 'PATCH', { routes: ['single'] }, 403, 'model_not_allowed'],
  ])('is refused when its key %s meanwhile', async (_, method, change, status, code) => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'queued', limits: { concurrency: 1, queueMs: 60_000 } })
    const headers = { authorization: `Bearer ${body.secret}` }
    const first = await holdUp(gateway, headers)
    const wish = { model: 'chat', messages: [{ role: 'user', content: 'Hello' }] }
    const second = send('POST', `${gateway.url}/v1/chat/completions`, wish, headers)
    await expect.poll(waiting).toBe(1)
    expect((await gateway.ask(method, '/keys/queued', change)).status).toBe(200)
    first.request.destroy()
    const reply = await second.done
    expect(reply.status, reply.text).toBe(status)
    expect(JSON.parse(reply.text).error.code).toBe(code)
    await gateway.ask('DELETE', '/keys/queued')
  })
})

describe('the audit trail of virtual keys', () => {
  it('holds who made, changed, rotated and took away, with before and after, and no secret', async () => {
    const made = await gateway.ask('POST', '/keys', { name: 'watched', team: 'red' }, 'operator')
    await gateway.ask('PATCH', '/keys/watched', { team: 'blue', disabled: true }, 'admin')
    const rotated = await gateway.ask('POST', '/keys/watched/rotate', { grace_seconds: 60 }, 'operator')
    await gateway.ask('DELETE', '/keys/watched', undefined, 'admin')
    const rows = await trail('watched')
    expect(rows.map(({ verb, actor }: Record<string, unknown>) => [verb, actor])).toEqual([
      ['delete-key', 'admin'],
      ['rotate-key', 'operator'],
      ['change-key', 'admin'],
      ['create-key', 'operator'],
    ])
    const [deleted, turned, changed, created] = rows
    expect(created).toMatchObject({ before: null, after: { name: 'watched', team: 'red', disabled: false } })
    expect(changed).toMatchObject({
      before: { team: 'red', disabled: false },
      after: { team: 'blue', disabled: true },
    })
    expect(turned.before.hint).not.toBe(turned.after.hint)
    expect(turned.after.old_secret_until).toMatch(/^20/)
    expect(deleted).toMatchObject({ before: { name: 'watched' }, after: null })
    const text = JSON.stringify(rows)
    for (const { secret } of [made.body, rotated.body]) {
      expect(secret).toMatch(/^tk-/)
      expect(text).not.toContain(secret.slice(3, -4))
    }
    expect(text).not.toContain('digest')
  })

  it('has no row of what was refused', async () => {
    await gateway.ask('POST', '/keys', { name: 'taken' })
    expect((await gateway.ask('POST', '/keys', { name: 'taken' })).status).toBe(400)
    expect((await gateway.ask('PATCH', '/keys/taken', { name: 'ruled' })).status).toBe(400)
    expect(await trail('taken')).toHaveLength(1)
  })
})

describe('a virtual key is found', () => {
  it('by its name as by its id, and is 404 where there is none, for every verb', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'named' })
    expect((await gateway.ask('GET', '/keys/named')).body.id).toBe(body.id)
    expect((await gateway.ask('GET', `/keys/${body.id}`)).body.name).toBe('named')
    for (const id of ['key_999999', 'key_0', 'key_1e3', 'nobody', '__proto__'])
      for (const [method, path, change] of [
        ['GET', `/keys/${id}`, undefined],
        ['PATCH', `/keys/${id}`, { team: 'x' }],
        ['POST', `/keys/${id}/rotate`, {}],
        ['DELETE', `/keys/${id}`, undefined],
      ] as const)
        expect((await gateway.ask(method, path, change)).status, `${method} ${path}`).toBe(404)
  })

  it.each(['operator', 'master', 'jwt:x', 'key_7'])(
    'never by the name %s, which means something else',
    async (name) => {
      expect((await gateway.ask('POST', '/keys', { name })).status).toBe(400)
      await gateway.ask('POST', '/keys', { name: 'renamed' })
      expect((await gateway.ask('PATCH', '/keys/renamed', { name })).status).toBe(400)
    },
  )
})

it('two operators who make a key of one name at once: one of them is told that it is taken', async () => {
  const both = await Promise.all([1, 2, 3].map(() => gateway.ask('POST', '/keys', { name: 'contested' })))
  expect(both.map(({ status }) => status).sort()).toEqual([200, 400, 400])
  expect(
    (await gateway.ask('GET', '/keys')).body.data.filter((key: { name: string }) => key.name === 'contested'),
  ).toHaveLength(1)
})

it('a key of the file is not taken for one that is not there', async () => {
  const { status, body } = await gateway.ask('PATCH', '/keys/app', { disabled: true })
  expect([status, body.error.code]).toEqual([404, 'not_found'])
  expect(body.error.message).toBe("'app' is a key of the file: it is changed there. A block keeps it out at once.")
  // What the message, and the runbook, says helps.
  expect(await chat(keys.app)).toBe(200)
  expect((await gateway.ask('POST', '/blocks', { key: 'app', seconds: 60, reason: 'leaked' })).status).toBe(200)
  expect(await chat(keys.app)).toBe(403)
  expect((await gateway.ask('DELETE', '/blocks', { key: 'app' })).status).toBe(200)
  expect(await chat(keys.app)).toBe(200)
})

describe('C49 a virtual key with a role', () => {
  const as = (secret: string, method: string, path: string, body?: unknown) =>
    send(method, `${gateway.url}/admin${path}`, body, { authorization: `Bearer ${secret}` }).done

  it('C49 operates as far as its role goes, under its own name, until it is taken away', async () => {
    const { body } = await gateway.ask('POST', '/keys', { name: 'ada', role: 'operator' })
    expect(body.role).toBe('operator')
    expect((await as(body.secret, 'GET', '/keys')).status).toBe(200)
    expect((await as(body.secret, 'POST', '/keys', { name: 'made-by-ada' })).status).toBe(200)
    expect((await trail('made-by-ada'))[0]).toMatchObject({ actor: 'ada', role: 'operator' })
    expect((await as(body.secret, 'POST', '/config/rollback', { version: 1 })).status).toBe(403)
    await gateway.ask('PATCH', '/keys/ada', { role: 'viewer' })
    expect((await as(body.secret, 'POST', '/keys', { name: 'more' })).status).toBe(403)
    await gateway.ask('DELETE', '/keys/ada')
    expect((await as(body.secret, 'GET', '/keys')).status).toBe(401)
  })

  it('C49 is made, raised, turned over and taken away by nobody of a lesser one', async () => {
    const { body: operator } = await gateway.ask('POST', '/keys', { name: 'op', role: 'operator' })
    const { body: admin } = await gateway.ask('POST', '/keys', { name: 'adm', role: 'admin' })
    for (const [method, path, change] of [
      ['POST', '/keys', { name: 'raised', role: 'admin' }],
      ['PATCH', '/keys/op', { role: 'admin' }],
      ['PATCH', '/keys/adm', { role: 'app' }],
      ['PATCH', '/keys/adm', { disabled: true }],
      ['POST', '/keys/adm/rotate', {}],
      ['DELETE', '/keys/adm', undefined],
    ] as const) {
      const reply = await as(operator.secret, method, path, change)
      expect([method, path, reply.status]).toEqual([method, path, 403])
    }
    expect((await as(admin.secret, 'GET', '/keys/adm')).status).toBe(200)
    expect((await gateway.ask('GET', '/keys/raised')).status).toBe(404)
    expect((await as(admin.secret, 'DELETE', '/keys/op')).status).toBe(200)
  })
})
