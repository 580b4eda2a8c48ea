// The admin API that changes traffic, on a whole gateway: what each route does, who may, what is refused, what is written down.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mayAct, type Role, roles } from '../src/http/admin/role.ts'
import { adminRoutes } from '../src/http/admin/table.ts'
import { writeLastGood } from '../src/pricing/lastGood.ts'
import { loadDriver } from '../src/store/driver.ts'
import { type ControlGateway, document, keys, planted, startControl } from './support/control.ts'
import { send } from './support/exchange.ts'

let gateway: ControlGateway
beforeAll(async () => {
  gateway = await startControl()
})
afterAll(() => gateway.close())

const ask: ControlGateway['ask'] = (...args) => gateway.ask(...args)
const version = async (): Promise<number> => (await ask('GET', '/config')).body.version
const chainOf = async (route: string) => {
  const { body } = await ask('GET', `/models/config?route=${route}`)
  return [body.primary_model, ...body.fallback_models.map(({ model }: { model: string }) => model)]
}
/** Puts the document of the test back. */
const putBack = () => ask('PUT', '/config', { document: document() }, 'admin', { 'if-match': '*' })

/** A call of each route that is well formed, so that only the role can stand in its way. */
const bodies: Readonly<Record<string, unknown>> = {
  'POST /models/set-primary': { route: 'chat', model_id: 'small' },
  'POST /models/reload': {},
  'POST /bypass': { on: false, reason: 'test of roles' },
  'POST /targets/*id/disable': {},
  'POST /targets/*id/enable': {},
  'POST /targets/*id/reset': {},
  'PUT /config': { document: 'providers: [' },
  'POST /config/rollback': { version: 9999 },
}
const ours = adminRoutes.filter(
  ({ method, path }) => `${method} ${path}` in bodies || /^\/(models|config|audit|openapi)/.test(path),
)
const pathOf = (path: string): string =>
  path.replace('*id', 'nobody').replace(':version', '9999').replace('/config/diff', '/config/diff?from=9999')

describe('C49 every route has its role', () => {
  it('has all the routes that operators are promised', () => {
    expect(ours.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(
      [
        'GET /audit',
        'GET /config',
        'GET /config/diff',
        'GET /config/versions',
        'GET /config/versions/:version',
        'GET /models/available',
        'GET /models/config',
        'GET /models/health',
        'GET /openapi.json',
        ...Object.keys(bodies),
      ].sort(),
    )
  })

  it.each(ours.map((route) => [route.method, route.path, route] as const))('%s %s', async (method, path, route) => {
    const body = bodies[`${method} ${path}`]
    for (const role of roles) {
      const reply = await ask(method, pathOf(path), body, role, { 'if-match': '*' })
      if (mayAct(role, route.role)) expect([200, 404, 422], `${role}: ${reply.text}`).toContain(reply.status)
      else {
        expect(reply.status, role).toBe(403)
        expect(reply.body.error).toMatchObject({
          code: 'permission_denied',
          message: `This needs the role '${route.role}'; the key has '${role}'.`,
        })
      }
    }
    expect((await ask(method, pathOf(path), body, 'app')).status).toBe(403)
    await putBack()
  })

  it('answers under /api/v1/admin too', async () => {
    const { status, text } = await send('GET', `${gateway.url}/api/v1/admin/models/config`, undefined, {
      authorization: `Bearer ${keys.viewer}`,
    }).done
    expect(status).toBe(200)
    expect(JSON.parse(text).object).toBe('model_config')
  })
})

describe('wrong bodies and unknown ids give clear errors', () => {
  it.each([
    ['POST', '/models/set-primary', {}, 400, 'missing_required_parameter', 'model_id'],
    ['POST', '/models/set-primary', { model_id: 5 }, 400, 'invalid_value', 'model_id'],
    ['POST', '/models/set-primary', { model_id: 'small', oops: 1 }, 400, 'invalid_value', 'oops'],
    ['POST', '/models/set-primary', { model_id: 'nobody/x' }, 400, 'invalid_value', 'model_id'],
    ['POST', '/models/set-primary', { model_id: 'small', route: 'nobody' }, 404, 'not_found', 'route'],
    ['POST', '/models/reload', { force: 'yes' }, 400, 'invalid_value', 'force'],
    ['POST', '/bypass', { on: true }, 400, 'missing_required_parameter', 'reason'],
    ['POST', '/bypass', { on: 'yes', reason: 'x' }, 400, 'invalid_value', 'on'],
    ['POST', '/bypass', { on: true, reason: ' ' }, 400, 'invalid_value', 'reason'],
    ['POST', '/targets/nobody/disable', {}, 404, 'not_found', 'id'],
    ['POST', '/targets/nobody/enable', {}, 404, 'not_found', 'id'],
    ['POST', '/targets/nobody/reset', {}, 404, 'not_found', 'id'],
    ['POST', '/targets/small/disable', { reason: 5 }, 400, 'invalid_value', 'reason'],
    ['PUT', '/config', { document: 5 }, 400, 'invalid_value', 'document'],
    ['PUT', '/config', {}, 400, 'missing_required_parameter', 'document'],
    ['POST', '/config/rollback', { version: 'x' }, 400, 'invalid_value', 'version'],
    ['POST', '/config/rollback', { version: 9999 }, 404, 'not_found', 'version'],
    ['GET', '/config/versions/9999', undefined, 404, 'not_found', 'version'],
    ['GET', '/config/versions/x', undefined, 404, 'not_found', 'version'],
    ['GET', '/config/versions?limit=0', undefined, 400, 'invalid_value', 'limit'],
    ['GET', '/config/diff', undefined, 400, 'missing_required_parameter', 'from'],
    ['GET', '/config/diff?from=9999', undefined, 404, 'not_found', 'from'],
    ['GET', '/models/config?route=nobody', undefined, 404, 'not_found', 'route'],
    ['GET', '/models/health?all=1', undefined, 400, 'invalid_value', 'all'],
    ['GET', '/audit?before=x', undefined, 400, 'invalid_value', 'before'],
  ])('%s %s %j is %i %s', async (method, path, body, status, code, param) => {
    const before = await ask('GET', '/audit?limit=1')
    const reply = await ask(method, path, body, 'admin', { 'if-match': '*' })
    expect(reply.status, reply.text).toBe(status)
    expect(reply.body.error).toMatchObject({ code, param })
    // What is refused is not done, and leaves no row.
    expect((await ask('GET', '/audit?limit=1')).body.data).toEqual(before.body.data)
  })
})

describe('primaries', () => {
  it('are set until the next restart, or for good', async () => {
    const set = await ask('POST', '/models/set-primary', { route: 'chat', model_id: 'other/sim-fast' }, 'operator')
    expect(set.body).toMatchObject({
      route: 'chat',
      primary_model: 'other/sim-fast',
      previous_primary_model: 'sim/sim-text',
      fallback_models: ['sim/sim-text', 'small'],
      swapped: true,
      stored: false,
    })
    const { status, headers } = await gateway.chat('chat')
    expect([status, headers['x-turnout-target']]).toEqual([200, 'other/sim-fast'])
    expect(headers['x-turnout-config']).toBe(String(set.body.config.version))
    await ask('POST', '/models/set-primary', { route: 'single', model_id: 'sim/sim-fast', update_env: true })
    const { body } = await ask('GET', '/models/config')
    expect(body).toMatchObject({ stored_changes: ['routes.single'], temporary_primaries: { chat: 'other/sim-fast' } })
    await gateway.restart()
    expect(await chainOf('chat')).toEqual(['sim/sim-text', 'small'])
    expect(await chainOf('single')).toEqual(['sim/sim-fast', 'other/sim-text'])
    await putBack()
  })

  it('are set on what directModels accepts as on a route, by its own name', async () => {
    await ask('PUT', '/config', { document: document('directModels: true\n') }, 'admin', { 'if-match': '*' })
    const { body } = await ask('POST', '/models/set-primary', { route: 'sim/sim-text', model_id: 'other/sim-fast' })
    expect(body).toMatchObject({
      primary_model: 'other/sim-fast',
      previous_primary_model: 'sim/sim-text',
      fallback_models: ['sim/sim-text'],
      swapped: true,
    })
    expect((await gateway.chat('sim/sim-text')).headers['x-turnout-target']).toBe('other/sim-fast')
    expect((await gateway.chat('sim/sim-fast')).headers['x-turnout-target']).toBe('sim/sim-fast')
    await putBack()
  })

  it('nobody knows: accepted with a warning, and the first request fails over', async () => {
    const { body } = await ask('POST', '/models/set-primary', { route: 'chat', model_id: 'sim-error-404' })
    expect(body).toMatchObject({ swapped: true, primary_model: 'sim/sim-error-404' })
    expect(body.warnings[0]).toContain("nobody knows the model 'sim-error-404'")
    const reply = await gateway.chat('chat')
    expect([reply.status, reply.headers['x-turnout-target']]).toEqual([200, 'sim/sim-text'])
    await putBack()
  })
})

describe('targets', () => {
  const healthOf = async (id: string) =>
    (await ask('GET', '/models/health', undefined, 'viewer')).body.data.find(
      (target: { id: string }) => target.id === id,
    )

  it('are switched off and on, over a restart too, with slashes in their ids or encoded', async () => {
    for (const path of ['sim/sim-text', 'sim%2Fsim-text']) {
      const off = await ask('POST', `/targets/${path}/disable`, { reason: 'bad answers' }, 'responder')
      expect(off.body).toMatchObject({ id: 'sim/sim-text', is_healthy: false, breaker: { state: 'disabled' } })
      expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe('small')
      await gateway.restart()
      expect(await healthOf('sim/sim-text')).toMatchObject({
        is_healthy: false,
        breaker: { state: 'disabled', reason: 'operator: bad answers' },
      })
      expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe('small')
      const on = await ask('POST', `/targets/${path}/enable`, {}, 'responder')
      expect(on.body).toMatchObject({ is_healthy: true, breaker: { state: 'closed' } })
      expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe('sim/sim-text')
    }
  })

  it('stay off, also while they are in no configuration, over restarts', async () => {
    await ask('POST', '/targets/sim/sim-text/disable', { reason: 'leaks' }, 'responder')
    const whole = document()
    writeFileSync(gateway.file, whole.replaceAll('sim/sim-text', 'sim/sim-long'))
    await gateway.restart()
    expect(await healthOf('sim/sim-text')).toBeUndefined()
    await gateway.restart()
    writeFileSync(gateway.file, whole)
    await ask('POST', '/models/reload', {})
    expect((await healthOf('sim/sim-text')).breaker).toMatchObject({ state: 'disabled', reason: 'operator: leaks' })
    expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe('small')
    await ask('POST', '/targets/small/disable', {}, 'responder')
    // Nobody can say when that will be over.
    const refused = await gateway.chat('chat')
    expect([refused.status, refused.headers['retry-after'], refused.headers['x-should-retry']]).toEqual([
      503,
      undefined,
      'false',
    ])
    for (const id of ['sim/sim-text', 'small']) await ask('POST', `/targets/${id}/enable`, {}, 'responder')
    expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe('sim/sim-text')
  })

  it('are kept in the database only where they are configured: clients make up others', async () => {
    const text = document('directModels: true\n').replace('routes:', 'routes:\n  shut: other/sim-error-401')
    const open = await startControl({ text })
    try {
      const db = new (loadDriver())(join(open.folder, 'data', 'turnout.db'), { readonly: true })
      for (const model of ['sim/sim-error-401', 'sim/sim-error-403', 'shut']) await open.chat(model)
      expect(open.running.turnout.health.stateOf('sim/sim-error-401')).toBe('open')
      const rows = () => db.prepare('SELECT target FROM target_health').pluck().all()
      // Rows are written in the order of what happened.
      await expect.poll(rows).toContain('other/sim-error-401')
      expect(rows()).toEqual(['other/sim-error-401'])
      db.close()
    } finally {
      await open.close()
    }
  })

  it('tell their faults, latency, prices and capabilities; reset and a forced reload close their breakers', async () => {
    await ask('POST', '/models/set-primary', { route: 'chat', model_id: 'sim/sim-error-401' })
    const fail = async (): Promise<void> => {
      await gateway.chat('chat')
      const health = await healthOf('sim/sim-error-401')
      expect(health).toMatchObject({
        is_healthy: false,
        routes: ['chat'],
        breaker: { state: 'open', consecutive_faults: 1, until: expect.stringMatching(/^20.*Z$/) },
        last_fault: { kind: expect.any(String), at: expect.stringMatching(/^20.*Z$/) },
        latency: { calls: expect.any(Number), mean_ms: expect.any(Number), last_ms: expect.any(Number) },
      })
      expect(Object.keys(health)).toEqual(expect.arrayContaining(['prices', 'capabilities', 'context_window']))
    }
    await fail()
    expect((await ask('POST', '/targets/sim/sim-error-401/reset', {}, 'responder')).body.is_healthy).toBe(true)
    await fail()
    expect((await ask('POST', '/models/reload', {}, 'operator')).body).toMatchObject({ closed_breakers: [] })
    expect((await ask('POST', '/models/reload', { force: true }, 'operator')).body).toMatchObject({
      closed_breakers: ['sim/sim-error-401'],
    })
    expect((await healthOf('sim/sim-error-401')).is_healthy).toBe(true)
    await putBack()
  })

  it('and further models are listed as available', async () => {
    const { body } = await ask('GET', '/models/available', undefined, 'viewer')
    expect(body.data[0]).toMatchObject({
      id: 'small',
      provider: 'sim',
      model: 'sim-fast',
      configured: true,
      routes: ['chat'],
    })
    const further = body.data.find(({ configured }: { configured: boolean }) => !configured)
    expect(further).toMatchObject({ provider: 'sim', routes: [], prices: { per: '1M tokens' } })
  })
})

describe('the configuration', () => {
  it('is written with If-Match, and read with an ETag', async () => {
    const read = await ask('GET', '/config', undefined, 'viewer')
    expect(read.headers.etag).toBe(`"${read.body.version}"`)
    const next = document().replace('small]', 'small, other/sim-fast]')
    const put = await ask('PUT', '/config', { document: next }, 'admin', { 'if-match': read.headers.etag })
    expect(put.body).toMatchObject({
      swapped: true,
      version: read.body.version + 1,
      changes: [
        {
          path: 'routes.chat',
          before: ['sim/sim-text', 'small'],
          after: ['sim/sim-text', 'small', 'other/sim-fast'],
        },
      ],
    })
    expect(put.headers.etag).toBe(`"${read.body.version + 1}"`)
    const stale = await ask('PUT', '/config', { document: next }, 'admin', { 'if-match': read.headers.etag })
    expect([stale.status, stale.body.error.code]).toEqual([412, 'precondition_failed'])
    const bare = await ask('PUT', '/config', { document: next })
    expect([bare.status, bare.body.error.code]).toEqual([428, 'precondition_required'])
    await putBack()
  })

  it('that is invalid is refused with every fault and its place, and the old one serves on', async () => {
    const before = await version()
    const bad = `${document()}  - { name: app, key: short }\nrotes: {}\n`.replace('small]', 'smal]')
    const { status, body } = await ask('PUT', '/config', { document: bad }, 'admin', { 'if-match': '*' })
    expect([status, body.error.code]).toEqual([422, 'invalid_configuration'])
    expect(body.error.metadata.problems.map(({ path }: { path: string }) => path)).toEqual([
      'routes.chat[1]',
      'keys[5].name',
      'keys[5].key',
      'rotes',
    ])
    expect(await version()).toBe(before)
    expect((await gateway.chat('chat')).status).toBe(200)
  })

  it('as it was read may be written back: secrets stay what they were', async () => {
    const { body } = await ask('GET', '/config')
    expect(body.document).toContain('[redacted:')
    const same = await ask('PUT', '/config', { document: body.document }, 'admin', { 'if-match': `"${body.version}"` })
    expect(same.body).toMatchObject({ swapped: false, version: body.version, hash: body.hash, changes: [] })
    const put = await ask(
      'PUT',
      '/config',
      { document: body.document.replace('small]', 'small, other/sim-fast]') },
      'admin',
      {
        'if-match': `"${body.version}"`,
      },
    )
    expect(put.status, put.text).toBe(200)
    expect(gateway.running.turnout.snapshot.providers.get('sim')!.apiKey).toBe(planted[0])
    expect((await ask('GET', '/config')).status).toBe(200)
    await putBack()
  })

  it('may be written as an object', async () => {
    const object = {
      providers: { sim: { kind: 'openai', baseUrl: `${gateway.simulator.url}/v1`, apiKey: planted[0] } },
      routes: { chat: 'sim/sim-text' },
      keys: [{ name: 'admin', key: keys.admin, role: 'admin' }],
      log: { level: 'silent' },
    }
    const put = await ask('PUT', '/config', { document: object }, 'admin', { 'if-match': '*' })
    expect(put.status, put.text).toBe(200)
    expect(put.body.warnings).toContain('server.port: takes effect at the next start')
    await putBack()
  })

  it('has versions to look at, to compare, and to go back to', async () => {
    const start = await version()
    await ask('POST', '/models/set-primary', { route: 'single', model_id: 'small' })
    const { body } = await ask('GET', '/config/versions?limit=2', undefined, 'viewer')
    expect(body).toMatchObject({
      data: [
        {
          version: start + 1,
          current: true,
          source: 'primary',
          actor: 'admin',
          note: 'single: small first, until the next restart',
        },
        { version: start, current: false },
      ],
      has_more: start > 1,
    })
    const diff = await ask('GET', `/config/diff?from=${start}`, undefined, 'viewer')
    expect(diff.body.changes).toEqual([
      { path: 'routes.single', before: 'other/sim-text', after: ['small', 'other/sim-text'] },
    ])
    const back = await ask('POST', '/config/rollback', { version: start })
    expect(back.body).toMatchObject({ swapped: true, version: start + 2 })
    expect(await chainOf('single')).toEqual(['other/sim-text'])
    const one = await ask('GET', `/config/versions/${start + 1}`, undefined, 'viewer')
    expect(one.body).toMatchObject({ version: start + 1, document: expect.stringContaining('- small') })
  })

  it('whose file changes is the file again, without anybody asking', async () => {
    const before = await version()
    writeFileSync(gateway.file, `${document()}directModels: true\n`)
    // The watch finds it by itself.
    while ((await version()) === before) await new Promise((resolve) => setImmediate(resolve))
    expect((await gateway.chat('other/sim-fast')).status).toBe(200)
    writeFileSync(gateway.file, document())
    await ask('POST', '/models/reload', {})
    expect((await gateway.chat('other/sim-fast')).status).toBe(404)
  })
})

it('a reload takes up a price list that was refreshed, though the configuration is as it was', async () => {
  const inputOf = async () =>
    (await ask('GET', '/models/health')).body.data.find(({ id }: { id: string }) => id === 'sim/sim-text').prices?.input
  expect(await inputOf()).toBeUndefined()
  await writeLastGood(join(gateway.folder, 'data'), 'a test', new Date(), {
    'sim-text': { per: '1M', input: 7, output: 8 },
  })
  expect((await ask('POST', '/models/reload', {})).body).toMatchObject({ swapped: false })
  expect(await inputOf()).toBe('7')
  const { headers, body } = await gateway.chat('chat')
  const { prompt_tokens, completion_tokens } = body.usage
  expect(Number(headers['x-turnout-cost-usd']) * 1e6).toBeCloseTo(prompt_tokens * 7 + completion_tokens * 8)
  // Another data folder is one of the next start, with the prices that lie there.
  const { turnout } = gateway.running
  const { snapshot } = turnout
  turnout.swap({ ...snapshot, dataDir: join(gateway.folder, 'elsewhere') })
  expect(await inputOf()).toBe('7')
  turnout.swap(snapshot)
})

describe('the one switch', () => {
  it('sends everything straight to the first target, shows it, and goes off', async () => {
    await ask('POST', '/models/set-primary', { route: 'chat', model_id: 'sim/sim-error-503' })
    expect((await gateway.chat('chat')).status).toBe(200)
    const on = await ask('POST', '/bypass', { on: true, reason: 'incident 7' }, 'responder')
    expect(on.body).toEqual({ object: 'bypass', on: true, reason: 'incident 7' })
    expect((await gateway.chat('chat')).headers['x-turnout-target']).not.toBe('sim/sim-text')
    const { text } = await send('GET', `${gateway.url}/status`).done
    expect(JSON.parse(text).bypass).toBe(true)
    expect((await ask('GET', '/config')).body.bypass).toMatchObject({ reason: 'incident 7', actor: 'responder' })
    await ask('POST', '/bypass', { on: false, reason: 'over' }, 'responder')
    expect((await gateway.chat('chat')).status).toBe(200)
    await putBack()
  })
})

describe('the audit trail', () => {
  it('has a row for every write: who, what, before and after', async () => {
    const writes: [string, string, unknown, Role, string, string][] = [
      ['POST', '/models/set-primary', { route: 'chat', model_id: 'small' }, 'operator', 'set-primary', 'chat'],
      ['POST', '/models/reload', {}, 'operator', 'reload', ''],
      ['POST', '/bypass', { on: true, reason: 'drill' }, 'responder', 'bypass', ''],
      ['POST', '/bypass', { on: false, reason: 'drill over' }, 'responder', 'bypass', ''],
      ['POST', '/targets/small/disable', { reason: 'drill' }, 'responder', 'disable', 'small'],
      ['POST', '/targets/small/enable', {}, 'responder', 'enable', 'small'],
      ['POST', '/targets/small/reset', {}, 'responder', 'reset', 'small'],
      [
        'PUT',
        '/config',
        { document: document() },
        'admin',
        'write-config',
        expect.stringMatching(/^version \d+$/) as unknown as string,
      ],
      [
        'POST',
        '/config/rollback',
        { version: 1 },
        'admin',
        'rollback',
        expect.stringMatching(/^version \d+$/) as unknown as string,
      ],
    ]
    for (const [method, path, body, role] of writes)
      expect((await ask(method, path, body, role, { 'if-match': '*' })).status, path).toBe(200)
    const { body } = await ask('GET', `/audit?limit=${writes.length}`, undefined, 'operator')
    expect(body.data.reverse()).toMatchObject(
      writes.map(([, , , role, verb, subject]) => ({
        actor: role,
        role,
        verb,
        subject,
        at: expect.stringMatching(/Z$/),
      })),
    )
    expect(body.data[0]).toMatchObject({
      before: { targets: ['sim/sim-text', 'small'] },
      after: { targets: ['small', 'sim/sim-text'] },
    })
    expect(body.data[4]).toMatchObject({ before: { state: 'closed' }, after: { state: 'disabled', asked: 'drill' } })
    await putBack()
  })

  it('and the answers say what each of several changes at once was made of', async () => {
    const put = (label: string) => {
      const text = document().replace('sim/sim-text, small', `sim/${label}, small`)
      return ask('PUT', '/config', { document: text }, 'admin', { 'if-match': '*' })
    }
    // None can be stored before all have come.
    const holder = new (loadDriver())(join(gateway.folder, 'data/turnout.db'))
    holder.exec('BEGIN IMMEDIATE')
    const swap = ask('POST', '/models/set-primary', { route: 'chat', model_id: 'sim/swapped' })
    const asked = [swap, put('one'), put('two'), put('three')]
    await ask('GET', '/config')
    holder.exec('ROLLBACK')
    holder.close()
    const replies = await Promise.all(asked)
    const [swapped, ...written] = replies.map(({ body }) => body)
    for (const { version: to, changes } of written) {
      const { body } = await ask('GET', `/config/diff?from=${to - 1}&to=${to}`)
      expect(changes).toEqual(body.changes)
    }
    const { body: diff } = await ask(
      'GET',
      `/config/diff?from=${swapped.config.version - 1}&to=${swapped.config.version}`,
    )
    expect(diff.changes).toMatchObject([
      {
        path: 'routes.chat',
        before: [swapped.previous_primary_model, 'small'],
        after: [swapped.primary_model, ...swapped.fallback_models],
      },
    ])
    const { body } = await ask('GET', `/audit?limit=${replies.length}`)
    for (const { verb, before, after } of body.data)
      if (verb !== 'set-primary') expect(after.version).toBe(before.version + 1)
    await putBack()
  })

  it('and every other read show no planted secret, although they were changed, and the rows in the database do not either', async () => {
    const { body } = await ask('GET', '/config')
    const rotated = 'sk-planted-rotated-0123456789'
    const next = body.document.replace(/apiKey: \S+/, `apiKey: ${rotated}`)
    const put = await ask('PUT', '/config', { document: next }, 'admin', { 'if-match': '*' })
    expect(put.body.changes.map(({ path }: { path: string }) => path)).toEqual(['providers.sim.apiKey'])
    const reads = [put.text]
    for (const { method, path } of adminRoutes) {
      // The stream of changes does not end; what it shows of a rollout is what `/rollouts` shows.
      if (method !== 'GET' || path.includes(':') || path === '/rollouts/stream') continue
      reads.push((await ask('GET', path === '/config/diff' ? '/config/diff?from=1' : path)).text)
    }
    for (const { version: number } of (await ask('GET', '/config/versions')).body.data)
      reads.push((await ask('GET', `/config/versions/${number}`)).text)
    reads.push(JSON.stringify(gateway.running.audit.list(1000)))
    expect(reads.length).toBeGreaterThan(20)
    for (const secret of [...planted, rotated, ...Object.values(keys)])
      for (const text of reads) expect(text).not.toContain(secret)
    await putBack()
  })

  it('holds a refused document back too: its faults quote no secret', async () => {
    const bad = document().replace(planted[0]!, `"${planted[0]} with spaces"`)
    const reply = await ask('PUT', '/config', { document: bad }, 'admin', { 'if-match': '*' })
    expect(reply.status).toBe(422)
    for (const secret of planted) expect(reply.text).not.toContain(secret)
  })
})

describe('signed tokens', () => {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
  }
  const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()
  const secret = 'test-secret-of-signed-tokens-0123456789'
  const claims = { role: 'responder' }
  const token = (
    alg: string,
    key: KeyObject | Uint8Array,
    more: Record<string, unknown> = {},
    expires: string | number = '5m',
  ) =>
    new SignJWT({ ...claims, sub: 'jo@example.com', aud: 'turnout', ...more })
      .setProtectedHeader({ alg })
      .setExpirationTime(expires)
      .sign(key)
  const statusOf = async (bearer: string): Promise<number> =>
    (await send('GET', `${gateway.url}/admin/models/config`, undefined, { authorization: `Bearer ${bearer}` }).done)
      .status
  const accept = async (jwt: Record<string, unknown>): Promise<void> => {
    const put = await ask(
      'PUT',
      '/config',
      { document: `${document()}admin:\n  jwt: ${JSON.stringify(jwt)}\n` },
      'admin',
      { 'if-match': '*' },
    )
    expect(put.status, put.text).toBe(200)
  }
  const bytes = new TextEncoder().encode(secret)

  it.each(['RS256', 'ES256', 'EdDSA'] as const)(
    '%s: the algorithm follows from the key, and no other is taken',
    async (alg) => {
      const { publicKey, privateKey } = pairs[alg]
      await accept({ publicKey: pemOf(publicKey) })
      expect(await statusOf(await token(alg, privateKey))).toBe(200)
      // The classic: the public key, which everybody knows, taken as the secret of an HMAC.
      expect(await statusOf(await token('HS256', new TextEncoder().encode(pemOf(publicKey))))).toBe(401)
      if (alg === 'RS256') expect(await statusOf(await token('PS256', privateKey))).toBe(401)
      const stranger = generateKeyPairSync('ed25519').privateKey
      expect(await statusOf(await token('EdDSA', stranger))).toBe(401)
    },
  )

  it('need a role, an expiry in the future, a subject, the audience and the issuer', async () => {
    await accept({ secret, issuer: 'https://id.example.com' })
    const iss = 'https://id.example.com'
    const make = (more: Record<string, unknown>, expires?: string | number) =>
      token('HS256', bytes, { iss, ...more }, expires)
    expect(await statusOf(await make({}))).toBe(200)
    expect(await statusOf(await make({ aud: 'elsewhere' }))).toBe(401)
    expect(await statusOf(await make({ aud: undefined }))).toBe(401)
    expect(await statusOf(await make({ iss: 'https://evil.example.com' }))).toBe(401)
    expect(await statusOf(await make({ sub: undefined }))).toBe(401)
    expect(await statusOf(await make({}, Math.floor(Date.now() / 1000) - 60))).toBe(401)
    for (const role of [undefined, 'root', 'app', ['admin']]) expect(await statusOf(await make({ role }))).toBe(403)
    const endless = await new SignJWT({ ...claims, iss, sub: 'x', aud: 'turnout' })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(bytes)
    expect(await statusOf(endless)).toBe(401)
    const unsigned = new UnsecuredJWT({ ...claims, iss, sub: 'x', aud: 'turnout' }).setExpirationTime('5m').encode()
    expect(await statusOf(unsigned)).toBe(401)
  })

  it('act with their role and their subject`s name, and not where none is configured', async () => {
    await accept({ secret })
    const responder = { authorization: `Bearer ${await token('HS256', bytes)}` }
    const act = (path: string, body: unknown) => send('POST', `${gateway.url}/admin${path}`, body, responder).done
    expect((await act('/bypass', { on: false, reason: 'drill' })).status).toBe(200)
    expect((await act('/models/set-primary', { model_id: 'small' })).status).toBe(403)
    expect((await ask('GET', '/audit?limit=1')).body.data[0]).toMatchObject({
      actor: 'jwt:jo@example.com',
      role: 'responder',
    })
    await putBack()
    expect(await statusOf(await token('HS256', bytes))).toBe(401)
  })

  it.each([
    [{ secret: 'too-short-for-hs256' }, /admin\.jwt\.secret/],
    [{ secret, publicKey: pemOf(pairs.ES256.publicKey) }, /judged by one of them/],
    [
      { publicKey: pairs.ES256.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
      /admin\.jwt\.publicKey/,
    ],
    [{ publicKey: pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey) }, /admin\.jwt\.publicKey/],
    [{ audience: 'x' }, /needs a `secret` or a `publicKey`/],
  ])('with a key that will not do are refused', async (jwt, message) => {
    const reply = await ask(
      'PUT',
      '/config',
      { document: `${document()}admin: { jwt: ${JSON.stringify(jwt)} }\n` },
      'admin',
      {
        'if-match': '*',
      },
    )
    expect(reply.status).toBe(422)
    expect(reply.body.error.message).toMatch(message)
    expect(reply.text).not.toContain('PRIVATE KEY')
  })
})

it('the OpenAPI document describes every route, with its role', async () => {
  const { body } = await ask('GET', '/openapi.json', undefined, 'viewer')
  expect(body.openapi).toBe('3.1.0')
  for (const { method, path, role } of adminRoutes) {
    const operation = body.paths[path.replace(/[:*](\w+)/g, '{$1}')][method.toLowerCase()]
    expect(operation['x-role'], path).toBe(role)
    expect(operation.summary.length).toBeGreaterThan(10)
  }
  const ids = Object.values(body.paths as Record<string, Record<string, { operationId: string }>>).flatMap((path) =>
    Object.values(path).map(({ operationId }) => operationId),
  )
  expect(new Set(ids).size).toBe(ids.length)
  expect(body.paths['/bypass'].post.requestBody.content['application/json'].schema).toMatchObject({
    required: ['on', 'reason'],
    additionalProperties: false,
  })
})

it('every answer is one that the OpenAPI document tells of, and what that refers to is there', async () => {
  const { body: told } = await ask('GET', '/openapi.json')
  const at = (ref: string) =>
    ref
      .split('/')
      .slice(1)
      .reduce((part, step) => part?.[step], told)
  for (const [, ref] of JSON.stringify(told).matchAll(/"\$ref":"([^"]+)"/g)) expect(at(ref!), ref).toBeDefined()
  const json = { 'content-type': 'application/json' }
  const change = { document: 'providers: [' }
  // Whoever asks, and whatever is wrong with the question.
  const calls: readonly (readonly [query: string, body: unknown, headers: Record<string, string>])[] = [
    ['', undefined, { authorization: '' }],
    ['', undefined, { authorization: `Bearer ${keys.app}` }],
    ['', {}, {}],
    ['', change, {}],
    ['', change, { 'if-match': '"999999"' }],
    ['', change, { 'if-match': '*' }],
    ['', { version: 1 }, { 'if-match': '"999999"' }],
    ['', { percent: 0, reason: 'test' }, { 'if-match': '"999999"' }],
    ['', 'text', { 'content-type': 'text/plain' }],
    ['', ' '.repeat(300 * 1024), json],
    ['?seconds=0&format=csv', undefined, {}],
    ['?seconds=0', undefined, {}],
    ['?format=csv', undefined, {}],
  ]
  const seen = new Set<number>()
  for (const { method, path, ...takes } of adminRoutes) {
    const { responses, parameters } = told.paths[path.replace(/[:*](\w+)/g, '{$1}')][method.toLowerCase()]
    const url = `${gateway.url}/admin${pathOf(path)
      .split('?')[0]!
      .replace(/[:*]\w+/, 'nobody')}`
    const asked = calls.map(async ([query, body, headers]) => {
      if ((body !== undefined && !takes.body) || (query !== '' && !takes.query)) return
      // It would stay open.
      if (path === '/rollouts/stream' && query !== '?seconds=0') return
      const as = { authorization: `Bearer ${keys.admin}`, ...headers }
      const reply = await send(method, url + query, body, as).done
      const shown = `${method} ${path}${query} ${JSON.stringify(headers)}: ${reply.status} ${reply.text.slice(0, 200)}`
      expect(Object.keys(responses), shown).toContain(String(reply.status))
      seen.add(reply.status)
      if (reply.status === 200) {
        const type = reply.headers['content-type']!.split(';')[0]!
        expect(Object.keys(responses[200].content), shown).toContain(type)
      } else if (reply.status === 428) {
        expect(parameters).toContainEqual(expect.objectContaining({ name: 'If-Match', required: true }))
      }
    })
    await Promise.all(asked)
  }
  expect([...seen].sort()).toEqual([200, 400, 401, 403, 404, 412, 413, 415, 422, 428])
  await putBack()
})

it('nothing of the database is a secret of a provider that only a variable holds', async () => {
  const secret = 'sk-planted-in-the-environment-0123456789'
  const held = await startControl({ text: document().replace(planted[0]!, '"${HELD_KEY}"'), env: { HELD_KEY: secret } })
  try {
    await held.ask('POST', '/models/set-primary', { route: 'chat', model_id: 'small', update_env: true })
    expect((await held.ask('GET', '/config')).body.document).toContain('${HELD_KEY}')
    await held.restart()
    const data = join(held.folder, 'data')
    const files = readdirSync(data)
    expect(files).toContain('turnout.db')
    for (const file of files) expect(readFileSync(join(data, file)).includes(secret), file).toBe(false)
  } finally {
    await held.close()
  }
})
