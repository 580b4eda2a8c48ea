// Retries, failover and what is left when nothing works, through a real gateway and a simulated vendor.
import { afterEach, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { type Exchange, post, send } from './support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

interface Stage {
  simulator: Simulator
  gateway: TestGateway
  call(more?: Record<string, unknown>, headers?: Record<string, string>): Promise<Exchange>
  /** The models that the vendor was asked for, in order. */
  asked(): string[]
}

const quick = { attempts: 3, baseDelay: '5ms', maxDelay: '2s', budget: 10 }

/** A gateway whose route `chat` has the models named by `scripts` as its targets, in their order. */
async function stage(
  scripts: Record<string, Script>,
  route: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): Promise<Stage> {
  const simulator = await startSimulator({ scripts })
  open.push(simulator)
  const gateway = await startGateway({
    providers: { up: upstreamAt(simulator.url) },
    routes: { chat: { targets: Object.keys(scripts).map((model) => `up/${model}`), retries: quick, ...route } },
    ...more,
  })
  open.push(gateway)
  return {
    simulator,
    gateway,
    call: (body = {}, headers = {}) => post(`${gateway.url}${CHAT}`, ask('chat', body), headers),
    asked: () => simulator.calls.map(({ model }) => model),
  }
}

const down = (more: Partial<NonNullable<Script['fault']>> = {}): Script => ({
  fault: { kind: 'status', status: 503, ...more },
})

describe('the only target', () => {
  it.each([false, true])('is asked again until it answers (stream: %s)', async (stream) => {
    const { call, asked, gateway } = await stage({ a: down({ times: 2 }) })
    const reply = await call({ stream })
    expect(reply.status).toBe(200)
    expect(reply.headers['x-turnout-attempts']).toBe('3')
    expect(asked()).toEqual(['a', 'a', 'a'])
    expect((await gateway.settled(1))[0]).toMatchObject({ outcome: 'ok', attempts: 3 })
  })

  it('is waited for as its upstream is: that is no overhead of ours', async () => {
    const { call, gateway } = await stage({ a: down({ times: 1, retryAfter: 1 }) })
    const reply = await call()
    expect([reply.status, reply.headers['x-turnout-attempts']]).toEqual([200, '2'])
    const [line] = await gateway.settled(1)
    expect(line!.durationMs).toBeGreaterThan(1_000)
    expect(line!.overheadMs).toBeLessThan(900)
    expect(Number(reply.headers['x-turnout-overhead-ms'])).toBeLessThan(900)
  })

  it('is asked as often as the route says, and its last error is the answer', async () => {
    const { call, asked } = await stage({ a: down({ message: 'all hands busy' }) })
    const reply = await call()
    expect(reply.status).toBe(503)
    expect(JSON.parse(reply.text).error.message).toBe('all hands busy')
    expect(asked()).toHaveLength(3)
  })

  it.each([400, 401, 403, 404, 413, 422])('is not asked again after a %i', async (status) => {
    const { call, asked } = await stage({ a: down({ status }) })
    expect((await call()).status).toBe(status)
    expect(asked()).toHaveLength(1)
  })

  it.each(['cut', 'reset', 'garbageJson', 'emptySuccess', 'wrongLength'] as const)(
    'is asked again after %s of a JSON reply',
    async (kind) => {
      const { call, asked } = await stage({ a: { fault: { kind, times: 1 } } })
      expect((await call()).status).toBe(200)
      expect(asked()).toHaveLength(2)
    },
  )

  it('is not asked again when the retries of the route are spent', async () => {
    const { call, asked } = await stage(
      { a: down() },
      { retries: { ...quick, attempts: 10, budget: 0 } },
      { breaker: { failures: 1000 } },
    )
    await call()
    await call()
    // Ten from the start, and no more: two requests and ten retries.
    expect(asked()).toHaveLength(12)
  })

  it('is not asked again past the deadline of the request', async () => {
    const { call, asked } = await stage(
      { a: down({ retryAfter: 40 }) },
      { timeouts: { total: '20s' }, retries: { ...quick, maxDelay: '60s' } },
    )
    expect((await call()).status).toBe(503)
    expect(asked()).toHaveLength(1)
  })

  it('is let go when the client leaves during the wait', async () => {
    const { simulator, gateway } = await stage(
      { a: down({ retryAfter: 60 }) },
      { retries: { ...quick, maxDelay: '120s' } },
    )
    const sent = send('POST', `${gateway.url}${CHAT}`, ask('chat'))
    await simulator.waitFor(({ outcome }) => outcome !== 'running')
    sent.request.destroy()
    expect((await gateway.settled(1))[0]).toMatchObject({ outcome: 'client_disconnected', attempts: 1 })
    expect(simulator.calls).toHaveLength(1)
  })
})

describe('C38 Retry-After', () => {
  it('C38 in seconds is waited for', async () => {
    const { call, asked } = await stage({ a: down({ status: 429, retryAfter: 1, times: 1 }) })
    const start = performance.now()
    expect((await call()).status).toBe(200)
    expect(performance.now() - start).toBeGreaterThanOrEqual(995)
    expect(asked()).toHaveLength(2)
  })

  it('C38 as a date is waited for', async () => {
    // HTTP dates have whole seconds: two from now is between one and two away.
    const { call, asked, simulator } = await stage({ a: {} })
    const date = new Date(Date.now() + 2000).toUTCString()
    simulator.script('a', down({ status: 429, retryAfter: date, times: 1 }))
    const start = performance.now()
    expect((await call()).status).toBe(200)
    expect(performance.now() - start).toBeGreaterThanOrEqual(900)
    expect(asked()).toHaveLength(2)
  })

  it('C38 beyond the route’s patience is passed on to the client at once', async () => {
    const { call, asked } = await stage({ a: down({ status: 429, retryAfter: 30 }) })
    const reply = await call()
    expect(reply.status).toBe(429)
    expect(reply.headers['retry-after']).toBe('30')
    expect(asked()).toHaveLength(1)
  })
})

describe('a healthy fallback', () => {
  it('is asked at once, whatever Retry-After the first one names', async () => {
    const { call, asked } = await stage({ a: down({ status: 429, retryAfter: 60 }), b: {} })
    const reply = await call()
    expect(reply.status).toBe(200)
    expect(reply.headers['x-turnout-target']).toBe('up/b')
    expect(asked()).toEqual(['a', 'b'])
  })

  it('is left alone when the client, the route, the provider or the operator say so', async () => {
    const scripts = { a: down({ status: 401 }), b: {} }
    for (const [route, more, headers] of [
      [{}, {}, { 'x-turnout-fallback': 'off' }],
      [{ fallback: false }, {}, {}],
      [{}, { fallback: false }, {}],
    ] as const) {
      const { call, asked } = await stage(scripts, route, more)
      expect((await call({}, headers)).status).toBe(401)
      expect(asked()).toEqual(['a'])
    }
    const { simulator } = await stage(scripts)
    const gateway = await startGateway({
      providers: { up: upstreamAt(simulator.url, { fallback: false }) },
      routes: { chat: ['up/a', 'up/b'] },
    })
    open.push(gateway)
    expect((await post(`${gateway.url}${CHAT}`, ask('chat'))).status).toBe(401)
    // Behind such a provider nobody is asked, however long the route is; before it others are.
    const providers = { up: upstreamAt(simulator.url), shut: upstreamAt(simulator.url, { fallback: false }) }
    const mixed = await startGateway({
      providers,
      routes: { first: ['shut/a', 'up/b', 'up/c'], second: ['up/a', 'shut/a2', 'up/b', 'up/c'] },
    })
    open.push(mixed)
    simulator.script('a2', down({ status: 401 }))
    const before = simulator.calls.length
    for (const route of ['first', 'second'])
      expect((await post(`${mixed.url}${CHAT}`, ask(route))).status, route).toBe(401)
    expect(simulator.calls.slice(before).map(({ model }) => model)).toEqual(['a', 'a', 'a2'])
  })

  it('is not asked for a request that is wrong everywhere', async () => {
    const { call, asked } = await stage({ a: down({ status: 400 }), b: {} })
    expect((await call()).status).toBe(400)
    expect(asked()).toEqual(['a'])
  })

  it('is spared from waiting: the last one is asked again, the first is not', async () => {
    const { call, asked } = await stage({ a: down(), b: down({ times: 1 }) })
    expect((await call()).status).toBe(200)
    expect(asked()).toEqual(['a', 'b', 'b'])
  })

  it('takes over for good while the breaker of the first is open', async () => {
    const { call, asked } = await stage({ a: down(), b: {} })
    for (let n = 0; n < 8; n++) expect((await call()).status).toBe(200)
    expect(asked().filter((model) => model === 'a')).toHaveLength(5)
  })

  it('C39 takes over at once when the first has no credit left; a bad request never opens anything', async () => {
    const credit = down({ status: 400, message: 'Your credit balance is too low to access the API.' })
    const { call, asked, gateway } = await stage({ a: credit, b: {} })
    for (let n = 0; n < 3; n++) expect((await call()).status).toBe(200)
    expect(asked()).toEqual(['a', 'b', 'b', 'b'])
    expect(gateway.turnout.health.report('up/a')).toMatchObject({ state: 'open', reason: 'quota_exhausted' })
    const other = await stage({ a: down({ status: 400 }) })
    for (let n = 0; n < 20; n++) await other.call()
    expect(other.gateway.turnout.health.stateOf('up/a')).toBe('closed')
  })
})

it('of a target that fails and one after it that does not take the request, reply, line and metrics name the one that failed', async () => {
  const { call, gateway } = await stage(
    { ill: down(), picky: down({ status: 400, code: 'invalid_request_error' }) },
    { retries: { attempts: 1 } },
  )
  const { status, headers } = await call()
  const told = { 'x-turnout-error': 'overloaded', 'x-turnout-target': 'up/ill', 'x-turnout-attempts': '2' }
  expect([status, headers]).toEqual([503, expect.objectContaining(told)])
  const [line] = await gateway.settled(1)
  expect(line).toMatchObject({ status: 503, target: 'up/ill', fault: 'overloaded', attempts: 2 })
  const { body } = await gateway.metrics.expose()
  expect(body).toContain('turnout_requests_total{status="5xx",outcome="failed",route="chat",target="up/ill"} 1')
  expect(body).toContain('turnout_request_errors_total{blame="upstream",cause="overloaded",route="chat"} 1')
})

describe('special chains', () => {
  it('answer a prompt that is too long, and one that a policy forbids', async () => {
    const scripts = {
      small: down({ status: 400, code: 'context_length_exceeded', message: 'too long' }),
      large: {},
      prim: down({ status: 400, code: 'content_policy_violation', message: 'no' }),
      calm: {},
      picky: down({ status: 400, code: 'invalid_request_error', message: 'no such format' }),
    }
    const simulator = await startSimulator({ scripts })
    open.push(simulator)
    const gateway = await startGateway({
      providers: { up: upstreamAt(simulator.url) },
      routes: {
        long: { targets: ['up/small'], onContextWindow: ['up/large'] },
        safe: { targets: ['up/prim'], onContentPolicy: ['up/calm'] },
        none: { targets: ['up/small'] },
        second: { targets: ['up/small'], onContextWindow: ['up/picky', 'up/large'] },
        vain: { targets: ['up/small'], onContextWindow: ['up/picky'] },
      },
    })
    open.push(gateway)
    const targetOf = async (model: string) => {
      const { status, headers } = await post(`${gateway.url}${CHAT}`, ask(model))
      return [status, headers['x-turnout-target']]
    }
    expect(await targetOf('long')).toEqual([200, 'up/large'])
    expect(await targetOf('safe')).toEqual([200, 'up/calm'])
    expect(await targetOf('none')).toEqual([400, 'up/small'])
    // One that does not take the request for a reason of its own is no way out.
    expect(await targetOf('second')).toEqual([200, 'up/large'])
    expect(JSON.parse((await post(`${gateway.url}${CHAT}`, ask('vain'))).text).error.code).toBe(
      'context_length_exceeded',
    )
  })

  it('are left alone when the client, the route, the provider or the operator want no other target', async () => {
    const scripts = { small: down({ status: 400, code: 'context_length_exceeded' }), large: {} }
    const simulator = await startSimulator({ scripts })
    open.push(simulator)
    for (const [provider, route, more, headers] of [
      [{}, {}, {}, { 'x-turnout-fallback': 'off' }],
      [{}, { fallback: false }, {}, {}],
      [{}, {}, { fallback: false }, {}],
      [{ fallback: false }, {}, {}, {}],
    ] as const) {
      const gateway = await startGateway({
        providers: { up: upstreamAt(simulator.url, provider) },
        routes: { long: { targets: ['up/small'], onContextWindow: ['up/large'], ...route } },
        ...more,
      })
      open.push(gateway)
      const { status, headers: told } = await post(`${gateway.url}${CHAT}`, ask('long'), headers)
      expect([status, told['x-turnout-error']]).toEqual([400, 'context_window'])
    }
    expect(simulator.calls.map(({ model }) => model)).toEqual(Array.from({ length: 4 }, () => 'small'))
  })
})

describe('C40 everything open', () => {
  it('C40 lets one probe through, tells the others when to come again, and recovers by the probe', async () => {
    const { call, simulator, gateway } = await stage({ a: down() }, { retries: { ...quick, attempts: 1 } })
    for (let n = 0; n < 5; n++) await call()
    expect(gateway.turnout.health.stateOf('up/a')).toBe('open')
    const before = simulator.calls.length
    // Held, so that there is one probe however long the others take to come: it is allowed one a second.
    simulator.script('a', { headersDelayMs: 600_000 })
    const refused: Exchange[] = []
    const sent = Array.from({ length: 20 }, () => send('POST', `${gateway.url}${CHAT}`, ask('chat')))
    await new Promise<void>((resolve) => {
      for (const { done } of sent) void done.then((reply) => refused.push(reply) === 19 && resolve())
    })
    await simulator.waitFor(({ outcome }) => outcome === 'running')
    expect(simulator.calls.length - before).toBe(1)
    for (const { request } of sent) request.destroy()
    for (const { status, headers, text } of refused) {
      expect(status).toBe(503)
      expect(headers['x-turnout-error']).toBe('no_target')
      expect(Number(headers['retry-after'])).toBeGreaterThan(0)
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60)
      expect(JSON.parse(text).error.code).toBe('no_target')
    }
    await Promise.all(sent.map(({ done }) => done))
    await simulator.waitFor(() => simulator.totals().running === 0)
    simulator.script('a', {})
    await expect.poll(async () => (await call()).status).toBe(200)
    expect(gateway.turnout.health.stateOf('up/a')).toBe('closed')
  })

  it('gives the operator’s words in place of an error where the route says so, marked, in JSON and as a stream', async () => {
    const { call, gateway } = await stage(
      { a: down() },
      { onAllFailed: 'message', failureMessage: 'Back soon.', retries: { ...quick, attempts: 1 } },
    )
    const reply = await call()
    expect([reply.status, reply.headers['x-turnout-degraded']]).toEqual([200, 'true'])
    expect(JSON.parse(reply.text).choices[0].message.content).toBe('Back soon.')
    const stream = await call({ stream: true })
    expect(stream.text).toContain('"content":"Back soon."')
    expect(stream.text.endsWith('data: [DONE]\n\n')).toBe(true)
    expect((await gateway.settled(2)).map(({ outcome }) => outcome)).toEqual(['failed', 'failed'])
  })

  it('has its series from the start where failures are answered, and only there', async () => {
    for (const { onAllFailed, count } of [
      { onAllFailed: 'message', count: 4 },
      { onAllFailed: 'error', count: 0 },
    ]) {
      const { gateway } = await stage({ a: {} }, { onAllFailed })
      const { body } = await gateway.metrics.expose()
      const shown = body.match(/^turnout_requests_total\{status="2xx",outcome="(failed|refused)",route="chat",.* 0$/gm)
      expect(shown ?? []).toHaveLength(count)
    }
  })

  it('keeps an error for the client’s own mistake, also then', async () => {
    const { call } = await stage({ a: down({ status: 400 }) }, { onAllFailed: 'message' })
    expect((await call()).status).toBe(400)
  })
})

describe('a client’s own chain', () => {
  it('is followed where the route allows it, and its word does not reach the vendor', async () => {
    const simulator = await startSimulator({ scripts: { a: down({ status: 401 }), b: {} }, keepBodies: true })
    open.push(simulator)
    const gateway = await startGateway({
      providers: { up: upstreamAt(simulator.url) },
      routes: { chat: { targets: ['up/a'], clientModels: true }, second: 'up/b', plain: 'up/a' },
    })
    open.push(gateway)
    const reply = await post(`${gateway.url}${CHAT}`, ask('chat', { models: ['second'] }))
    expect([reply.status, reply.headers['x-turnout-target']]).toEqual([200, 'up/b'])
    expect(JSON.parse(simulator.calls.at(-1)!.body!.toString())).not.toHaveProperty('models')
    expect((await post(`${gateway.url}${CHAT}`, ask('plain', { models: ['second'] }))).status).toBe(401)
    expect((await post(`${gateway.url}${CHAT}`, ask('chat', { models: ['nobody'] }))).status).toBe(404)
    const asked = simulator.calls.length
    for (const models of [Array.from({ length: 17 }, () => 'second'), ['second', 1], 'second']) {
      const refused = await post(`${gateway.url}${CHAT}`, ask('chat', { models }))
      expect([refused.status, JSON.parse(refused.text).error.param]).toEqual([400, 'models'])
    }
    expect(simulator.calls.length).toBe(asked)
    // Nothing further is asked for: the shut target of the route is all there is.
    for (const models of [[], null]) {
      expect((await post(`${gateway.url}${CHAT}`, ask('chat', { models }))).status).toBe(503)
    }
  })
})

describe('C37 loops are bounded', () => {
  it('C37 a 429 in the middle of a stream without a fallback ends it with an error, once', async () => {
    const { call, asked } = await stage({
      a: { tokens: 20, fault: { kind: 'midStreamError', status: 429, afterTokens: 5 } },
    })
    const reply = await call({ stream: true })
    expect(reply.status).toBe(200)
    expect(reply.text).not.toContain('[DONE]')
    expect(reply.text.match(/"error"/g)).toHaveLength(1)
    expect(asked()).toHaveLength(1)
  })
})

describe('streams that break after their commit point', () => {
  it('count against the breaker, apart from the commit that went well', async () => {
    const { call, gateway } = await stage(
      { a: { tokens: 20, fault: { kind: 'cut', afterTokens: 5 } } },
      {},
      { breaker: { failures: 1 } },
    )
    await call({ stream: true })
    expect(gateway.turnout.health.report('up/a')).toMatchObject({ state: 'open', lastFault: { kind: 'cut' } })
  })
})
