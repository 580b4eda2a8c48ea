// The reports of the admin API on a real gateway with a real database: what is refused, and that sums are what was spent.
import { once } from 'node:events'
import { request } from 'node:http'
import supertest from 'supertest'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createGatekeeper } from '../src/gateway/admit.ts'
import { createAdmin } from '../src/http/admin/index.ts'
import { formatUsd } from '../src/pricing/decimal.ts'
import { openReader } from '../src/store/reader.ts'
import { get, post, send } from './support/exchange.ts'
import {
  adminKey,
  appKey,
  bearer,
  billOf,
  type LedgerGateway,
  otherKey,
  startLedgerGateway,
} from './support/ledgerGateway.ts'

const chat = (model: string, more: Record<string, unknown> = {}) => ({
  model,
  messages: [{ role: 'user', content: 'Count to ten.' }],
  ...more,
})

const gatekeeper = createGatekeeper({ insecure: false })
let books: LedgerGateway

// biome-ignore lint/suspicious/noExplicitAny: tests look into replies freely
async function read(path: string, key = adminKey): Promise<{ status: number; headers: any; body: any }> {
  const exchange = await get(books.url + path, bearer(key))
  return { status: exchange.status, headers: exchange.headers, body: exchange.text ? JSON.parse(exchange.text) : null }
}

beforeAll(async () => {
  books = await startLedgerGateway({
    routes: { small: 'sim/sim-fast', cached: 'sim/sim-cached', down: ['sim/sim-error-503', 'sim/sim-fast'] },
  })
  const sent = [
    ...Array.from({ length: 4 }, () => [appKey, chat('small', { user: 'alice' })] as const),
    ...Array.from({ length: 3 }, () => [otherKey, chat('cached', { user: 'bob', stream: true })] as const),
    [appKey, chat('down')] as const,
    [otherKey, chat('sim/sim-error-400')] as const,
    // No list knows the price of a model without `sim-` in its name.
    [otherKey, chat('sim/unheard-of')] as const,
  ]
  for (const [key, body] of sent) await post(`${books.url}/v1/chat/completions`, body, bearer(key))
  await books.gateway.settled(sent.length)
  await books.ledger.flush()
})

afterAll(() => books.close())

it('does not begin a report whose client has left, and does not call that a fault of the ledger', async () => {
  const { notes } = books.gateway
  const told = notes.length
  let ask: (gone: AbortSignal) => void
  const asked = new Promise<AbortSignal>((resolve) => {
    ask = resolve
  })
  const until = vi.spyOn(books.reader, 'until').mockImplementationOnce((gone) => {
    ask(gone)
    // As the thread does with what waits for it.
    const ended = new Promise<never>((_, reject) => gone.addEventListener('abort', () => reject(new Error('gone'))))
    return { ...books.reader, requests: () => ended }
  })
  try {
    const sent = request(`${books.url}/admin/requests`, { headers: bearer(adminKey) }).on('error', () => {})
    sent.end()
    const gone = await asked
    expect(gone.aborted).toBe(false)
    sent.destroy()
    await once(gone, 'abort')
    expect((await read('/admin/requests')).status).toBe(200)
    expect(notes.slice(told)).toEqual([])
  } finally {
    until.mockRestore()
  }
})

describe('what is asked wrongly', () => {
  it.each([
    ['/spend?by=colour', 'by', 'expected names out of day, model'],
    ['/spend?by=model,model', 'by', 'twice'],
    ['/spend?from=yesterday', 'from', 'expected a day'],
    ['/spend?from=2026-02-30', 'from', 'expected a day'],
    ['/spend?from=2026-02-02&to=2026-02-01', 'to', 'before `from`'],
    ['/spend?limit=0', 'limit', ''],
    ['/spend?limit=ten', 'limit', 'expected a number, a whole one from 1 to 10000'],
    ['/traces?hours=0', 'hours', 'a whole one from 1 to 876000'],
    ['/spend?colour=red', 'colour', 'no parameter'],
    ['/spend?by=model&by=key', 'by', 'twice'],
    ['/requests?status=abc', 'status', 'expected a number'],
    ['/requests?status=', 'status', 'expected a number'],
    ['/traces?status=', 'status', 'expected ok, error'],
    ['/requests?limit=1001', 'limit', ''],
    ['/requests?outcome=good', 'outcome', 'expected ok, partial'],
    ['/requests?from=now', 'from', 'an instant'],
    ['/requests?to=2026-01-01&from=2026-01-02', 'to', 'before `from`'],
    ['/requests?cursor=abc', 'cursor', 'next_cursor'],
    [`/requests?cursor=${Buffer.from('1:99999999999999999').toString('base64url')}`, 'cursor', 'next_cursor'],
    ['/requests?user=', 'user', 'empty'],
    ['/requests/42', 'id', 'req_'],
    ['/requests/req_00000000000?x=1', 'x', 'no parameter'],
    ['/users/alice/records?format=xml', 'format', 'jsonl or csv'],
  ])('%s is a 400 that names %s', async (path, param, text) => {
    const { status, body } = await read(`/admin${path}`)
    expect(status).toBe(400)
    expect(body.error).toMatchObject({ type: 'invalid_request_error', param, code: 'invalid_value' })
    expect(body.error.message).toContain(text)
  })

  it('a body that is wrong is a 400, 413 or 415 that names the field', async () => {
    const erase = (body: unknown, headers = {}) =>
      post(`${books.url}/admin/users/erase`, body, { ...bearer(adminKey), ...headers })
    for (const [body, status, code, param] of [
      [{}, 400, 'missing_required_parameter', 'user'],
      [{ user: 7 }, 400, 'invalid_value', 'user'],
      [{ user: '' }, 400, 'invalid_value', 'user'],
      [{ user: 'x', more: 1 }, 400, 'invalid_value', 'more'],
      [[], 400, 'invalid_value', null],
      ['{"user": secret-word}', 400, 'invalid_json', null],
      ['{"user": "x", "\\u0075ser": "y"}', 400, 'invalid_value', 'user'],
      [`{"user": ${'['.repeat(5000)}${']'.repeat(5000)}}`, 400, 'json_too_deep', null],
      [{ user: 'x'.repeat(300_000) }, 413, 'request_too_large', null],
    ] as const) {
      const exchange = await erase(body)
      expect([body, exchange.status]).toEqual([body, status])
      expect(JSON.parse(exchange.text).error).toMatchObject({ code, param })
      expect(exchange.text).not.toContain('secret-word')
    }
    expect((await erase('user=x', { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415)
  })

  it('of thousands of faults in one body the first are told, and how many more there are', async () => {
    const body = Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`odd${at}`, at]))
    const { status, text } = await post(`${books.url}/admin/users/erase`, body, bearer(adminKey))
    const { message } = JSON.parse(text).error
    expect([status, message.length < 2000]).toEqual([400, true])
    expect(message).toMatch(/^'user': .* 'odd0' is no parameter of this route\. .* And 4981 more faults\.$/)
  })

  it('tells unknown paths, wrong methods and odd encodings apart', async () => {
    expect((await read('/admin/nothing')).body.error.code).toBe('invalid_url')
    expect((await read('/admin')).status).toBe(404)
    expect((await read('/admin/Spend')).status).toBe(404)
    const put = await send('PUT', `${books.url}/admin/users/x/records`, {}, bearer(adminKey)).done
    expect([put.status, put.headers.allow]).toEqual([405, 'GET, DELETE'])
    expect((await read('/admin/requests/%E0%A4%A')).status).toBe(400)
    expect((await read('/admin/requests/req_00000000000')).body.error).toMatchObject({ code: 'not_found', param: 'id' })
  })

  it('says 503 where there is no ledger, and where it cannot be read', async () => {
    const { snapshot } = books.gateway.turnout
    const log = { error() {}, warn() {} } as never
    const without = createAdmin({ snapshot: () => snapshot, ledger: undefined, gatekeeper, log })
    const reader = openReader('/nowhere/at-all.db')
    const broken = createAdmin({
      snapshot: () => snapshot,
      gatekeeper,
      ledger: { reader, keeper: books.ledger.keeper, hashUser: books.hash },
      log,
    })
    for (const admin of [without, broken]) {
      for (const path of ['/admin/spend', '/admin/requests', '/admin/users/u/records']) {
        const reply = await supertest(admin).get(path).set(bearer(adminKey))
        expect([path, reply.status, reply.body.error.code]).toEqual([path, 503, 'ledger_unavailable'])
        expect(JSON.stringify(reply.body)).not.toContain('nowhere')
      }
    }
    await reader.close()
  })
})

describe('GET /admin/spend', () => {
  const priced = () => books.simulator.calls.filter(({ model }) => model.startsWith('sim-'))

  it("sums to the vendor's bill, by whatever it is grouped", async () => {
    const bill = billOf(priced())
    expect(bill).toBeGreaterThan(0n)
    for (const by of ['', 'model', 'key', 'team', 'route', 'day', 'provider', 'model,key,team,route,day']) {
      const { body } = await read(`/admin/spend?by=${by}`)
      expect(body.total).toMatchObject({ requests: 10, failed: 1, attempts: 11, unpriced_attempts: 1 })
      expect([by, body.total.cost_nano_usd, body.total.cost_usd]).toEqual([by, Number(bill), formatUsd(bill)])
      if (by === '') expect(body.data).toEqual([])
      else {
        const sum = body.data.reduce(
          (all: number, line: { cost_nano_usd: number | null }) => all + (line.cost_nano_usd ?? 0),
          0,
        )
        expect([by, sum]).toEqual([by, Number(bill)])
        expect(body.by).toEqual(by.split(','))
      }
    }
  })

  it('tells keys, teams and models apart, dearest first', async () => {
    const keys = (await read('/admin/spend?by=key,team')).body.data
    expect(keys.map(({ key, team, requests }: Record<string, unknown>) => [key, team, requests]).sort()).toEqual([
      ['batch', 'data', 5],
      ['web', 'shop', 5],
    ])
    const costs = (await read('/admin/spend?by=model')).body.data.map(
      (line: { cost_nano_usd: number }) => line.cost_nano_usd,
    )
    expect(costs).toEqual(costs.toSorted((a: number, b: number) => b - a))
    const shop = (await read('/admin/spend?team=shop')).body.total
    expect(shop.cost_nano_usd).toBe(Number(billOf(books.simulator.calls.filter(({ model }) => model === 'sim-fast'))))
  })

  it('C24 an unknown price is null, not 0', async () => {
    const { data, total } = (await read('/admin/spend?by=model&model=unheard-of')).body
    expect(data).toMatchObject([{ model: 'unheard-of', cost_usd: null, cost_nano_usd: null, unpriced_attempts: 1 }])
    expect(data[0].tokens.input).toBeGreaterThan(0)
    expect(total.cost_usd).toBeNull()
  })

  it('C22 shows cached tokens in a class of their own', async () => {
    const calls = books.simulator.calls.filter(({ model }) => model === 'sim-cached')
    const { tokens } = (await read('/admin/spend?model=sim-cached')).body.total
    const sum = (pick: (call: (typeof calls)[number]) => number) => calls.reduce((all, call) => all + pick(call), 0)
    expect(tokens.cache_read).toBe(sum((call) => call.cachedTokens))
    expect(tokens.input).toBe(sum((call) => call.promptTokens - call.cachedTokens))
    expect(tokens.cache_read).toBeGreaterThan(0)
  })

  it('limits to days and lines', async () => {
    const today = new Date().toISOString().slice(0, 10)
    expect((await read('/admin/spend?by=day&to=2025-12-31')).body).toMatchObject({ data: [], total: { requests: 0 } })
    expect((await read('/admin/spend?to=2025-12-31')).body.total.cost_usd).toBe('0')
    expect((await read(`/admin/spend?by=day&from=${today.slice(0, 8)}01`)).body.total.requests).toBe(10)
    expect((await read('/admin/spend?by=model&limit=1')).body).toMatchObject({ data: [{}], more: 4 })
  })

  it('answers the same under /api/v1/admin, and HEAD without a body', async () => {
    expect((await read('/api/v1/admin/spend?by=model')).body).toEqual((await read('/admin/spend?by=model')).body)
    const head = await send('HEAD', `${books.url}/admin/spend`, undefined, bearer(adminKey)).done
    expect([head.status, head.text]).toEqual([200, ''])
  })

  it('writes sums that a double cannot hold as whole numbers', async () => {
    const { snapshot } = books.gateway.turnout
    const cost = 9_007_199_254_740_993n // 2^53 + 1
    const line = { requests: 1, failed: 0, attempts: 1, cost, unpriced: 0, estimated: 0, route: 'n:1' }
    const asked = { spend: async () => ({ lines: [line], total: line, more: 0 }) }
    const reader = { ...asked, until: () => asked } as never
    const admin = createAdmin({
      snapshot: () => snapshot,
      gatekeeper,
      ledger: { reader, keeper: books.ledger.keeper, hashUser: books.hash },
      log: {} as never,
    })
    const { text } = await supertest(admin).get('/admin/spend?by=route').set(bearer(adminKey))
    expect(text.match(/"cost_nano_usd":9007199254740993,/g)).toHaveLength(2)
    expect(text).toContain('"cost_usd":"9007199.254740993"')
    expect(JSON.parse(text).data[0].route).toBe('n:1')
  })
})

describe('GET /admin/requests', () => {
  const ids = async (query: string): Promise<string[]> =>
    (await read(`/admin/requests?limit=1000&${query}`)).body.data.map(({ id }: { id: string }) => id)

  it('goes through all pages, newest first, each request once', async () => {
    const seen: string[] = []
    let cursor = ''
    for (let page = 0; page < 10; page++) {
      const { body } = await read(`/admin/requests?limit=3${cursor}`)
      seen.push(...body.data.map(({ id }: { id: string }) => id))
      expect(body.has_more).toBe(body.next_cursor !== null)
      if (!body.has_more) break
      cursor = `&cursor=${body.next_cursor}`
    }
    expect(seen).toHaveLength(10)
    expect(new Set(seen).size).toBe(10)
    expect(seen).toEqual(seen.toSorted().reverse())
    expect(seen).toEqual(
      books.gateway.lines
        .map(({ id }) => id)
        .toSorted()
        .reverse(),
    )
  })

  it.each([
    ['route=small', 4],
    ['key=batch', 5],
    ['team=shop', 5],
    ['target=sim/sim-error-503', 1],
    ['provider=sim', 10],
    ['model=sim-fast', 5],
    ['outcome=failed', 1],
    ['outcome=refused', 0],
    ['status=400', 1],
    ['error=bad_request', 1],
    ['user=alice', 4],
    ['user=nobody', 0],
    ['route=no-such-route', 0],
    ['key=batch&status=200&model=sim-cached', 3],
    ['from=2025-01-01&to=2025-12-31', 0],
    ['from=2026-01-01T00:00:00%2B02:00', 10],
    ["route=' OR 1=1 --", 0],
  ])('finds by %s: %i', async (query, count) => {
    expect(await ids(query)).toHaveLength(count)
  })

  it('takes a day at the end of a range as the whole day', async () => {
    const today = new Date().toISOString().slice(0, 10)
    expect(await ids(`to=${today}`)).toHaveLength(10)
    expect(await ids(`to=${today}T00:00:00Z`)).toHaveLength(0)
  })

  it('finds users by their id and by their hash, and never tells the id', async () => {
    expect(await ids(`user=${books.hash('bob')}`)).toEqual(await ids('user=bob'))
    const exchange = await get(`${books.url}/admin/requests?user=bob`, bearer(adminKey))
    expect(exchange.text).toContain(books.hash('bob'))
    expect(exchange.text).not.toMatch(/bob|Count to ten/)
  })

  it('an id of an app that looks like a hash is still an id', async () => {
    const user = `u_${'x'.repeat(22)}`
    await post(`${books.url}/v1/chat/completions`, chat('sim/unheard-of', { user }), bearer(otherKey))
    await books.gateway.settled(11)
    await books.ledger.flush()
    expect(await ids(`user=${user}`)).toHaveLength(1)
    const erased = await send('DELETE', `${books.url}/admin/users/${user}/records`, undefined, bearer(adminKey)).done
    expect(JSON.parse(erased.text)).toEqual({ object: 'erasure', user: books.hash(user), requests: 1, answers: 0 })
    expect(await ids(`user=${user}`)).toHaveLength(0)
  })
})

describe('GET /admin/requests/{id}', () => {
  it('C27 shows both legs of a fallback, with exact costs', async () => {
    const [{ id }] = (await read('/admin/requests?route=down')).body.data
    const { body } = await read(`/admin/requests/${id}`)
    const [, second] = body.attempts
    expect(body).toMatchObject({ object: 'request', id, route: 'down', key: 'web', team: 'shop', status: 200 })
    expect(body).toMatchObject({ outcome: 'ok', stream: false, attempt_count: 2, estimated: false, rollout: null })
    expect(body.attempts).toMatchObject([
      { n: 1, target: 'sim/sim-error-503', reason: 'first', status: 503, cost_usd: '0', cost_nano_usd: 0 },
      { n: 2, target: 'sim/sim-fast', reason: 'fallback', status: 200, fault: null, finish_reason: 'stop', losses: [] },
    ])
    expect(second.price_source).toBe('config')
    const { input, output } = second.tokens
    expect(second.cost_nano_usd).toBe(input * 400 + output * 1600)
    expect(body.cost_nano_usd).toBe(second.cost_nano_usd)
    expect(body.cost_usd).toBe(formatUsd(second.cost_nano_usd))
    expect([body.tokens_in, body.tokens_out]).toEqual([input, output])
  })

  it('is found by the id that the client was told', async () => {
    const exchange = await post(`${books.url}/v1/chat/completions`, chat('small'), bearer(appKey))
    const { status, body } = await read(`/admin/requests/${exchange.headers['x-request-id']}`)
    expect(status).toBe(200)
    expect(exchange.headers['x-turnout-cost-usd']).toBe(body.cost_usd)
  })
})

describe('users', () => {
  it('exports a user, and erases one without touching a sum', async () => {
    const csv = await get(`${books.url}/admin/users/alice/records?format=csv`, bearer(adminKey))
    expect(csv.headers['content-type']).toBe('text/csv; charset=utf-8')
    expect(csv.headers['content-disposition']).toBe('attachment; filename="requests.csv"')
    expect(csv.text.split('\r\n')).toHaveLength(1 + 4 + 1)
    const attempts = await get(`${books.url}/admin/users/bob/records?rows=attempts`, bearer(adminKey))
    expect(
      attempts.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).model),
    ).toEqual(Array(3).fill('sim-cached'))
    expect((await get(`${books.url}/admin/users/nobody/records`, bearer(adminKey))).text).toBe('')

    const before = (await read('/admin/spend?by=model,key')).body
    const erased = await post(`${books.url}/admin/users/erase`, { user: 'alice' }, bearer(adminKey))
    expect(JSON.parse(erased.text)).toEqual({ object: 'erasure', user: books.hash('alice'), requests: 4, answers: 0 })
    expect((await read('/admin/requests?user=alice')).body.data).toEqual([])
    expect((await read('/admin/requests?route=small&limit=1000')).body.data.length).toBeGreaterThanOrEqual(4)
    expect((await read('/admin/spend?by=model,key')).body).toEqual(before)
    expect(await books.reader.verify()).toMatchObject({ ok: true, problems: [] })
    expect(books.gateway.notes).toContainEqual(
      expect.objectContaining({ facts: { event: 'erased', key: 'ops', count: 4 } }),
    )
    expect(JSON.stringify(books.gateway.notes)).not.toMatch(/alice|u_/)
  })

  it('stops reading when the client of an export goes away', async () => {
    let made = 0
    let end: () => void
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    const reader = {
      until: () => reader,
      requests: async () => ({ rows: [], next: undefined }),
      async *export() {
        try {
          for (; made < 10_000; made++) yield 'x'.repeat(64 * 1024)
        } finally {
          end()
        }
      },
    } as never
    const { snapshot } = books.gateway.turnout
    const admin = createAdmin({
      snapshot: () => snapshot,
      gatekeeper,
      ledger: { reader, keeper: books.ledger.keeper, hashUser: books.hash },
      log: {} as never,
    })
    const { createServer } = await import('node:http')
    const server = createServer(admin).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const asked = request({ port, host: '127.0.0.1', path: '/admin/users/u/records', headers: bearer(adminKey) })
    await new Promise<void>((resolve) => {
      asked.on('error', () => {})
      asked.on('response', (reply) => reply.once('data', () => resolve()))
      asked.end()
    })
    const closed = new Promise((resolve) => server.once('close', resolve))
    asked.destroy()
    server.close()
    await closed
    await ended
    expect(made).toBeLessThan(1000)
  })
})
