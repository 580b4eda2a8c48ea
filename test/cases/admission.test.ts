// Case C29: every route that the server has goes through one admission, held over the routes as they are listed by the server itself.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminPaths } from '../../src/http/admin/door.ts'
import { adminRoutes } from '../../src/http/admin/table.ts'
import { type Admission, type DataPlane, dataRoutes } from '../../src/http/dataPlane.ts'
import { type Simulator, startSimulator } from '../../src/simulator/index.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { type Exchange, send } from '../support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'

const APP = 'sk-test-app-key-0123456789'
const SPENT = 'sk-test-spent-key-0123456789'
const OPS = 'sk-test-ops-key-0123456789'

interface Route {
  method: string
  path: string
  admission: Admission | 'operator'
}

/** What the server answers at all: a route that is added to it is in here, too. */
const routes: Route[] = [
  // Routes are made of what they are given and do not look at it before they are opened.
  ...[...dataRoutes(undefined as unknown as DataPlane)].flatMap(([path, { methods, admission }]) =>
    methods.map((method) => ({ method, path: path.replace('*', 'chat'), admission })),
  ),
  ...adminRoutes.flatMap(({ method, path }) =>
    adminPaths.map((start) => ({
      method,
      path: start + path.replace(/[:*]\w+/g, 'x'),
      admission: 'operator' as const,
    })),
  ),
]
const cells = routes.map((route) => [route.method, route.path, route] as const)

const limited: readonly Route['admission'][] = ['journey', 'caller']
const keyed: readonly Route['admission'][] = [...limited, 'account', 'operator']
const pages: readonly Route['admission'][] = ['page', 'account']

let simulator: Simulator
let gateway: TestGateway
beforeAll(async () => {
  simulator = await startSimulator()
  gateway = await startGateway({
    server: { trustedProxies: ['127.0.0.1'] },
    providers: { up: upstreamAt(simulator.url) },
    routes: { chat: 'up/sim-fast' },
    access: { deny: ['203.0.113.0/24'], statusPerMinute: 2, metricsPerMinute: 2, failuresPerMinute: 2 },
    keys: [
      { name: 'app', key: APP },
      { name: 'spent', key: SPENT, limits: { requests: 1 } },
      { name: 'ops', key: OPS, role: 'admin', limits: { requests: 1 } },
    ],
  })
})
afterAll(async () => {
  await gateway.close()
  await simulator.close()
})

let last = 0
/** An address that nobody had before: what one request does to it is no other's business. */
const newAddress = (): string => `10.0.${last >> 8}.${last++ & 255}`

function call({ method, path }: Route, key: string | undefined, address: string): Promise<Exchange> {
  const body = method === 'GET' || method === 'HEAD' ? undefined : ask('chat', { max_tokens: 5 })
  return send(method, gateway.url + path, body, {
    'x-forwarded-for': address,
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  }).done
}

const errorOf = ({ headers }: Exchange): unknown => headers['x-turnout-error']

describe('C29 every route goes through one admission', () => {
  it('C29 all routes are listed, and each says how it is admitted', () => {
    expect(routes.length).toBeGreaterThan(60)
    const known = [...keyed, ...pages, 'probe']
    for (const { path, admission } of routes) expect(known, path).toContain(admission)
    // Whoever is let in always, or without a key, is named here: a new one has to be put down by hand.
    const open = routes.filter(({ admission }) => admission === 'probe' || admission === 'page')
    expect([...new Set(open.map(({ path }) => path))].sort()).toEqual([
      '/',
      '/health',
      '/health/live',
      '/health/ready',
      '/metrics',
      '/status',
    ])
  })

  it.each(cells)('C29 %s %s: an address that may not come gets nothing', async (_method, _path, route) => {
    for (const key of [undefined, OPS]) {
      const reply = await call(route, key, '203.0.113.9')
      if (route.admission === 'probe') expect(reply.status).toBe(200)
      else expect([reply.status, errorOf(reply)]).toEqual([403, 'address_not_allowed'])
    }
  })

  it.each(cells)('C29 %s %s: a key without requests left asks no model and counts nothing', async (_m, _p, route) => {
    await call({ method: 'POST', path: CHAT, admission: 'journey' }, SPENT, newAddress())
    const before = simulator.calls.length
    const reply = await call(route, SPENT, newAddress())
    if (!limited.includes(route.admission)) return expect(reply.status).not.toBe(429)
    expect([reply.status, errorOf(reply)]).toEqual([429, 'rate_limit_exceeded'])
    expect(reply.headers).toMatchObject({
      'x-ratelimit-limit-requests': '1',
      'x-ratelimit-remaining-requests': '0',
      'retry-after': expect.stringMatching(/^[1-6]\d$/),
    })
    expect(simulator.calls.length).toBe(before)
  })

  it.each(cells)('C29 %s %s: an address with too many wrong keys has to wait', async (_method, _path, route) => {
    const address = newAddress()
    const seen: unknown[] = []
    for (const key of ['wrong-1', 'wrong-2', 'wrong-3', OPS]) seen.push(errorOf(await call(route, key, address)))
    if (keyed.includes(route.admission))
      expect(seen).toEqual(['invalid_api_key', 'invalid_api_key', 'rate_limit_exceeded', 'rate_limit_exceeded'])
    if (route.admission === 'probe') expect(seen).toEqual([undefined, undefined, undefined, undefined])
  })

  it.each(cells)('C29 %s %s: a page is shown as often as an address may see it', async (_method, _path, route) => {
    const address = newAddress()
    const replies = []
    for (let n = 0; n < 3; n++) replies.push(await call(route, APP, address))
    const refused = replies.map((reply) => errorOf(reply) === 'rate_limit_exceeded')
    expect(refused).toEqual([false, false, pages.includes(route.admission)])
    if (refused[2]) expect(Number(replies[2]!.headers['retry-after'])).toBeGreaterThan(0)
    expect(errorOf(await call(route, APP, newAddress()))).not.toBe('rate_limit_exceeded')
  })

  it('C29 paths that nobody has go through the door as well', async () => {
    const route: Route = { method: 'GET', path: '/nobody', admission: 'page' }
    expect(errorOf(await call(route, OPS, '203.0.113.9'))).toBe('address_not_allowed')
    expect((await call(route, OPS, newAddress())).status).toBe(404)
  })
})
