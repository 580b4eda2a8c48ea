// Whose fault it is that a request's time ran out, and who is left when a target fails: what shuts a target shuts it for everybody.
import { once } from 'node:events'
import { request } from 'node:http'
import net from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT, chunk, event } from './support/chatBodies.ts'
import { type Exchange, post } from './support/exchange.ts'
import { openSse, pour, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { openRaw, rawPost } from './support/rawSocket.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

const stalls = { fault: { kind: 'stall' as const } }
const fails = (times?: number) => ({ fault: { kind: 'status' as const, status: 503, ...(times ? { times } : {}) } })

async function stage(more: Record<string, unknown>): Promise<{ gateway: TestGateway; simulator: Simulator }> {
  const simulator = await startSimulator({
    scripts: { well: {}, hung: stalls, slow: { headersDelayMs: 1200 }, down: fails(), once: fails(1) },
  })
  open.push(simulator)
  const gateway = await startGateway({
    providers: { up: upstreamAt(simulator.url) },
    breaker: { failures: 1, openFor: '10m' },
    retries: { attempts: 3, baseDelay: '1ms', budget: 10 },
    ...more,
  })
  open.push(gateway)
  return { gateway, simulator }
}

const call = (gateway: TestGateway, model: string): Promise<Exchange> => post(gateway.url + CHAT, ask(model))
const faultOf = ({ status, headers }: Exchange): unknown[] => [status, headers['x-turnout-error']]

it('a body that comes so slowly that the time is over shuts nobody', async () => {
  const { gateway } = await stage({ routes: { chat: { targets: ['up/hung'], timeouts: { total: '2s' } } } })
  const body = Buffer.from(JSON.stringify(ask('chat')))
  const sent = request(gateway.url + CHAT, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', 'content-length': body.length },
  })
  sent.write(body.subarray(0, 9))
  await new Promise((resolve) => setTimeout(resolve, 1400))
  sent.end(body.subarray(9))
  const [reply] = await once(sent, 'response')
  reply.resume()
  expect([reply.statusCode, reply.headers['x-turnout-error']]).toEqual([504, 'total_timeout'])
  expect(gateway.turnout.health.stateOf('up/hung')).toBe('closed')
  // The same time, all of it the target's own.
  expect(faultOf(await call(gateway, 'chat'))).toEqual([504, 'total_timeout'])
  expect(gateway.turnout.health.stateOf('up/hung')).toBe('open')
})

it('a tier that has only what others leave shuts nobody when they leave nothing', async () => {
  const upstream = await startFakeUpstream((_req, res) => {
    res.writeHead(429, { 'content-type': 'application/json' }).end('{"error":{"message":"Resource unavailable"}}')
  })
  open.push(upstream)
  const { gateway } = await stage({
    providers: { vendor: upstreamAt(upstream.url) },
    targets: { spare: { provider: 'vendor', model: 'n', params: { service_tier: 'flex' } } },
    routes: {
      chat: { targets: ['vendor/m'], retries: { attempts: 1 } },
      always: { targets: ['spare'], retries: { attempts: 1 } },
    },
  })
  const flex = (model: string) => post(gateway.url + CHAT, { ...ask(model), service_tier: 'flex' })
  expect(faultOf(await flex('chat'))).toEqual([429, 'rate_limited'])
  expect(gateway.turnout.health.stateOf('vendor/m')).toBe('closed')
  expect(faultOf(await flex('always'))).toEqual([429, 'rate_limited'])
  expect(gateway.turnout.health.stateOf('spare')).toBe('open')
  expect(faultOf(await call(gateway, 'chat'))).toEqual([429, 'rate_limited'])
  expect(gateway.turnout.health.stateOf('vendor/m')).toBe('open')
})

it.each([
  ['who knows no such tier', 'anthropic', {}],
  ['whose tier the target chooses', 'gemini', { params: { serviceTier: 'standard' } }],
])('for the tier that has what others leave, no room at a vendor %s is no room for all', async (_, kind, forced) => {
  const upstream = await startFakeUpstream((_req, res) => {
    res.writeHead(529).end('{"error":{"message":"Overloaded"}}')
  })
  open.push(upstream)
  const { gateway } = await stage({
    providers: { vendor: { kind, baseUrl: upstream.url, apiKey: 'k' } },
    targets: { full: { provider: 'vendor', model: 'm', ...forced } },
    routes: { chat: { targets: ['full'], retries: { attempts: 1 } } },
  })
  const reply = await post(gateway.url + CHAT, { ...ask('chat'), service_tier: 'flex' })
  expect(faultOf(reply)).toEqual([529, 'overloaded'])
  expect(gateway.turnout.health.stateOf('full')).toBe('open')
})

/** As undici dials. */
function failDials(error: Error): { mockRestore(): void } {
  return vi
    .spyOn(net, 'connect')
    .mockImplementation((() => new net.Socket().destroy(error)) as unknown as typeof net.connect)
}
const failure = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code })

it.each(['EMFILE', 'EADDRNOTAVAIL'])(
  'a process that has no file descriptor or local port left blames itself, and shuts nobody: %s',
  async (code) => {
    const { gateway } = await stage({ routes: { chat: { targets: ['up/well'], retries: { attempts: 1 } } } })
    const dial = failDials(failure(code))
    try {
      const reply = await call(gateway, 'chat')
      expect(faultOf(reply)).toEqual([503, 'no_socket'])
      expect(JSON.parse(reply.text).error).toMatchObject({ code: 'no_socket', type: 'gateway_error' })
    } finally {
      dial.mockRestore()
    }
    expect(gateway.turnout.health.stateOf('up/well')).toBe('closed')
    const { body } = await gateway.metrics.expose()
    expect(body).toContain('turnout_request_errors_total{blame="gateway",cause="no_socket",route="chat"} 1')
    expect(faultOf(await call(gateway, 'chat'))).toEqual([200, undefined])
  },
)

it('a server that is down is blamed, also where its name has an IPv6 address that the machine cannot use', async () => {
  const { gateway } = await stage({ routes: { chat: { targets: ['up/well'], retries: { attempts: 1 } } } })
  const all = ['EADDRNOTAVAIL', 'ECONNREFUSED'].map(failure)
  // As Node makes it.
  const dial = failDials(Object.assign(new AggregateError(all), failure('EADDRNOTAVAIL')))
  try {
    expect(faultOf(await call(gateway, 'chat'))).toEqual([502, 'dial_failed'])
  } finally {
    dial.mockRestore()
  }
  expect(gateway.turnout.health.stateOf('up/well')).toBe('open')
})

it('a target that nobody asks is not called well because its breaker has been open for long enough', async () => {
  const { gateway } = await stage({
    breaker: { failures: 1, openFor: '1ms' },
    routes: { chat: { targets: ['up/once'], retries: { attempts: 1 } } },
  })
  const healthy = async () => (await gateway.metrics.expose()).body.match(/^turnout_route_healthy_targets.*/m)![0]
  expect(await healthy()).toMatch(/ 1$/)
  expect(faultOf(await call(gateway, 'chat'))).toEqual([503, 'overloaded'])
  await vi.waitFor(() => expect(gateway.turnout.health.wait(['up/once'])).toBe(0))
  expect(await healthy()).toMatch(/ 0$/)
  expect(faultOf(await call(gateway, 'chat'))).toEqual([200, undefined])
  expect(await healthy()).toMatch(/ 1$/)
})

it('requests whose time went by in the line of a limit shut nobody', async () => {
  const chat = { targets: ['up/slow'], timeouts: { total: '2s' }, limits: { concurrency: 1, queueMs: 5000 } }
  const { gateway } = await stage({ routes: { chat } })
  const replies = await Promise.all([1, 2].map(() => call(gateway, 'chat')))
  expect(replies.map(faultOf)).toEqual(
    expect.arrayContaining([
      [200, undefined],
      [504, 'total_timeout'],
    ]),
  )
  expect(gateway.turnout.health.stateOf('up/slow')).toBe('closed')
})

it('a target that is left with the rest of the time by a silent one is not shut with it', async () => {
  const { gateway } = await stage({
    targets: { first: { provider: 'up', model: 'hung', timeouts: { total: '1200ms' } } },
    routes: { chat: { targets: ['first', 'up/slow'], timeouts: { total: '2s' } } },
  })
  expect(faultOf(await call(gateway, 'chat'))).toEqual([504, 'total_timeout'])
  expect(['first', 'up/slow'].map((id) => gateway.turnout.health.stateOf(id))).toEqual(['open', 'closed'])
  expect((await call(gateway, 'chat')).headers['x-turnout-target']).toBe('up/slow')
})

it('a target that is being probed by another request is none that is left: the last one is asked again', async () => {
  const { gateway, simulator } = await stage({
    breaker: { failures: 2, openFor: '10m' },
    routes: { chat: ['up/once', 'up/slow'], other: 'up/slow' },
  })
  gateway.turnout.health.restore([{ target: 'up/slow', state: 'half_open', reason: 'overloaded' }])
  await expect.poll(() => gateway.turnout.health.stateOf('up/slow'), { timeout: 10_000 }).toBe('half_open')
  const probe = call(gateway, 'other')
  await expect.poll(() => simulator.calls.length).toBe(1)
  const reply = await call(gateway, 'chat')
  expect([reply.status, reply.headers['x-turnout-target'], reply.headers['x-turnout-attempts']]).toEqual([
    200,
    'up/once',
    '2',
  ])
  expect((await probe).status).toBe(200)
}, 20_000)

it('a fault that shuts the only target is not waited upon', async () => {
  const { gateway, simulator } = await stage({
    breaker: { failures: 1, openFor: '24h' },
    routes: {
      chat: { targets: ['up/down'], retries: { baseDelay: '1h', maxDelay: '1h' }, timeouts: { total: '24h' } },
    },
  })
  expect(faultOf(await call(gateway, 'chat'))).toEqual([503, 'overloaded'])
  expect(simulator.calls).toHaveLength(1)
})

it('a stream whose time runs out while its client takes nothing of it shuts nobody', async () => {
  const piece = event(chunk({ content: 'x'.repeat(64 * 1024) }))
  const upstream = await startFakeUpstream(async (_req, res) => {
    openSse(res)
    await pour(res, piece)
  })
  open.push(upstream)
  const gateway = await startGateway({
    providers: { p: upstreamAt(upstream.url) },
    routes: { m: { targets: ['p/m'], timeouts: { total: '3s' } } },
    breaker: { failures: 1, openFor: '10m' },
  })
  open.push(gateway)
  const raw = await openRaw(gateway.port)
  raw.socket.pause()
  raw.write(rawPost(CHAT, JSON.stringify(ask('m', { stream: true }))))
  await gateway.settled(1)
  expect(gateway.lines[0]).toMatchObject({ outcome: 'partial', fault: 'total_timeout' })
  expect(gateway.turnout.health.stateOf('p/m')).toBe('closed')
  raw.close()
})
