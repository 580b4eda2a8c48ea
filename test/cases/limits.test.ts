// Cases C32 and C33 through the gateway: what is let in, what its headers say, and that whatever was taken comes back.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { type Simulator, startSimulator } from '../../src/simulator/index.ts'
import type { LimitState } from '../../src/state/limits/limit.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { type Exchange, get, post, send } from '../support/exchange.ts'
import { type GatewayOptions, startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'
import { makeClock } from '../support/limitClock.ts'
import { openRaw, rawPost } from '../support/rawSocket.ts'
import fc from '../support/seededCheck.ts'

const KEY = 'sk-test-limited-0123456789'
const OTHER = 'sk-test-other-0123456789'
const bearer = (key = KEY): Record<string, string> => ({ authorization: `Bearer ${key}` })

let simulator: Simulator
let gateway: TestGateway
beforeAll(async () => {
  simulator = await startSimulator({
    scripts: {
      held: { firstTokenMs: 60_000 },
      slow: { firstTokenMs: 150 },
      flowing: { tokens: 2_000, tokensPerSecond: 20 },
      told: { headers: { 'x-ratelimit-remaining-requests': '4321', 'x-ratelimit-limit-requests': '5000' } },
    },
  })
})
afterAll(() => simulator.close())
afterEach(() => gateway.close())

const document = (more: Record<string, unknown>): Record<string, unknown> => ({
  providers: { up: upstreamAt(simulator.url) },
  directModels: true,
  keys: [
    { name: 'limited', key: KEY, team: 'red' },
    { name: 'other', key: OTHER, team: 'red' },
  ],
  ...more,
})

async function start(more: Record<string, unknown>, options: GatewayOptions = {}): Promise<TestGateway> {
  gateway = await startGateway(document(more), options)
  return gateway
}

const swapTo = (more: Record<string, unknown>, version = 2): void =>
  gateway.turnout.swap(
    parseConfig(JSON.stringify({ retries: { attempts: 1 }, ...document(more) }), { env: {}, version }).snapshot,
  )

const chat = (model = 'up/sim-fast', key = KEY, more: Record<string, unknown> = {}): Promise<Exchange> =>
  post(gateway.url + CHAT, ask(model, more), bearer(key))

/** How many replies have each status. */
function statuses(replies: readonly Exchange[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

const times = <Result>(count: number, work: (n: number) => Promise<Result>): Promise<Result[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => work(n)))

/** Resolves when a request waits, or none does any more. */
async function waiting(count: number): Promise<void> {
  while (gateway.turnout.limits.size.waiting !== count) await new Promise((resolve) => setImmediate(resolve))
}

describe('C33 a limit of 100 a minute', () => {
  const limits = { limits: { each: { per: 'key', requests: 100 } } }

  it('C33 lets exactly 100 of a burst of 300 in, and tells the others when to come back', async () => {
    await start(limits, { clock: makeClock() })
    const replies = await times(300, () => chat())
    expect(statuses(replies)).toEqual({ 200: 100, 429: 200 })
    for (const reply of replies) expect(reply.headers['x-ratelimit-limit-requests']).toBe('100')
    for (const { headers, text } of replies.filter(({ status }) => status === 429)) {
      expect(Number(headers['retry-after'])).toBeGreaterThan(50)
      expect(headers['x-ratelimit-remaining-requests']).toBe('0')
      expect(headers['x-turnout-error']).toBe('rate_limit_exceeded')
      expect(JSON.parse(text).error).toMatchObject({
        type: 'rate_limit_error',
        code: 'rate_limit_exceeded',
        param: null,
        metadata: { limit: 'each', scope: 'key', entity: 'limited', kind: 'requests', allowed: 100, used: 100 },
      })
    }
    // Somebody else's hundred is whole.
    expect((await chat('up/sim-fast', OTHER)).headers['x-ratelimit-remaining-requests']).toBe('99')
    expect(simulator.calls.length).toBe(101)
  })

  it('C33 in any 60 s, also across the edge of a fixed minute: by the clock, over HTTP', async () => {
    const clock = makeClock(30_000)
    await start(limits, { clock })
    const burst = async (): Promise<number> => statuses(await times(120, () => chat()))[200] ?? 0
    clock.move(29_000)
    expect(await burst()).toBe(100)
    clock.move(2_000)
    expect(await burst()).toBe(0)
    clock.move(57_999)
    expect(await burst()).toBe(0)
    clock.move(2)
    expect(await burst()).toBe(100)
  })

  it('C33 whatever the arrivals: never one more in 60 s, never one less than there is room for', async () => {
    const clock = makeClock()
    await start({ limits: { each: { per: 'key', requests: 3 } } }, { clock })
    const arrivals = fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(arrivals, async (gaps) => {
        clock.move(120_000)
        const passed: number[] = []
        for (const gap of gaps) {
          clock.move(gap)
          const { status, headers } = await chat()
          const room = 3 - passed.filter((at) => clock.now() - at <= 60_000).length
          expect(status).toBe(room > 0 ? 200 : 429)
          expect(headers['x-ratelimit-remaining-requests']).toBe(String(Math.max(0, room - 1)))
          if (status === 200) passed.push(clock.now())
          // Coming back as told helps, a moment earlier does not.
          else expect(passed.at(-3)! + 60_000 - clock.now()).toBeLessThan(Number(headers['retry-after']) * 1000)
        }
      }),
      { numRuns: 25 },
    )
  })

  it("C33 headers are the enforced state, a vendor's own move aside, and pass where no limit is", async () => {
    await start({ limits: { each: { only: { key: 'limited' }, per: 'key', requests: 5 } } }, { clock: makeClock() })
    for (let left = 4; left >= 0; left--) {
      const { headers } = await chat('up/told', KEY, { stream: left % 2 === 0 })
      expect(headers).toMatchObject({
        'x-ratelimit-limit-requests': '5',
        'x-ratelimit-remaining-requests': String(left),
        'x-upstream-ratelimit-remaining-requests': '4321',
        'x-upstream-ratelimit-limit-requests': '5000',
      })
      expect(headers['x-ratelimit-reset-requests']).toMatch(/^(1m\ds|\d\ds)$/)
    }
    const refused = await chat('up/told')
    expect([refused.status, refused.headers['x-ratelimit-remaining-requests']]).toEqual([429, '0'])
    const free = await chat('up/told', OTHER)
    expect(free.headers['x-ratelimit-remaining-requests']).toBe('4321')
    expect(free.headers['x-upstream-ratelimit-remaining-requests']).toBeUndefined()
  })
})

describe('limits of every scope', () => {
  it.each([
    ['of everybody', { limits: { all: { requests: 1 } } }],
    ['of a key', { keys: [{ name: 'limited', key: KEY, limits: { requests: 1 } }] }],
    ['of a team', { teams: { red: { limits: { requests: 1 } } } }],
    ['of a route', { routes: { chat: { targets: ['up/sim-fast'], limits: { requests: 1 } } } }],
  ])('hold where there is none but that %s', async (_, more) => {
    await start({ routes: { chat: 'up/sim-fast' }, ...more }, { clock: makeClock() })
    expect([(await chat('chat')).status, (await chat('chat')).status]).toEqual([200, 429])
  })

  it('count by key, team, route, user, address and all together', async () => {
    const address = (n: number): Record<string, string> => ({ 'x-forwarded-for': `198.51.100.${n}` })
    await start(
      {
        server: { trustedProxies: ['127.0.0.1'] },
        routes: { chat: 'up/sim-fast', small: { targets: ['up/sim-fast'], limits: { per: 'user', requests: 1 } } },
        teams: { red: { limits: { requests: 4 } } },
        keys: [
          { name: 'limited', key: KEY, team: 'red', limits: { requests: 3 } },
          { name: 'other', key: OTHER, team: 'red' },
          { name: 'free', key: 'sk-test-free-0123456789' },
        ],
        limits: { address: { per: 'ip', requests: 2 }, all: { requests: 9 } },
      },
      { clock: makeClock() },
    )
    const ask1 = async (key: string, ip: number, model = 'chat', more = {}): Promise<string> => {
      const { status, text } = await post(gateway.url + CHAT, ask(model, more), { ...bearer(key), ...address(ip) })
      return status === 200 ? 'in' : `${JSON.parse(text).error.metadata.scope} ${JSON.parse(text).error.metadata.limit}`
    }
    expect(await ask1(KEY, 1)).toBe('in')
    expect(await ask1(KEY, 1)).toBe('in')
    expect(await ask1(KEY, 1)).toBe('ip address')
    expect(await ask1(KEY, 2)).toBe('in')
    expect(await ask1(KEY, 3)).toBe('key key limited')
    expect(await ask1(OTHER, 3)).toBe('in')
    expect(await ask1(OTHER, 4)).toBe('team team red')
    const free = 'sk-test-free-0123456789'
    expect(await ask1(free, 5, 'small', { user: 'ann' })).toBe('in')
    expect(await ask1(free, 6, 'small', { user: 'ann' })).toBe('user route small')
    expect(await ask1(free, 6, 'small', { user: 'bob' })).toBe('in')
    expect(await ask1(free, 7, 'small')).toBe('in')
    expect(await ask1(free, 8, 'chat')).toBe('in')
    expect(await ask1(free, 9, 'chat')).toBe('in')
    expect(await ask1(free, 10, 'chat')).toBe('everything all')
    expect(gateway.lines.filter(({ limit }) => limit).map(({ limit }) => limit)).toEqual([
      'address',
      'key limited',
      'team red',
      'route small',
      'all',
    ])
  })

  it('of tokens are reserved when a request comes and settled to what it used', async () => {
    await start({ limits: { each: { per: 'key', tokens: 10_000, answerTokens: 2_000 } } }, { clock: makeClock() })
    const first = await chat()
    const { usage } = JSON.parse(first.text)
    // What the vendor counted, not what was reserved.
    expect(first.headers['x-ratelimit-remaining-tokens']).toBe(String(10_000 - usage.total_tokens))
    const held = send('POST', gateway.url + CHAT, ask('up/held', { max_tokens: 6_000 }), bearer())
    await simulator.waitFor(() => simulator.totals().running === 1)
    const beside = await chat('up/sim-fast', KEY, { max_tokens: 5_000 })
    expect([beside.status, JSON.parse(beside.text).error.metadata.kind]).toEqual([429, 'tokens'])
    held.request.destroy()
    await held.done
    await simulator.waitFor(() => simulator.totals().running === 0)
    expect((await chat('up/sim-fast', KEY, { max_tokens: 5_000 })).status).toBe(200)
    const large = await chat('up/sim-fast', KEY, { max_tokens: 20_000 })
    expect([large.status, large.headers['x-should-retry'], large.headers['retry-after']]).toEqual([
      429,
      'false',
      undefined,
    ])
    // A picture in base64 is no text: it takes what there is, and its true size in the end.
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(200_000)}` } }
    const seen = await chat('up/sim-fast', OTHER, { messages: [{ role: 'user', content: [image] }], max_tokens: 10 })
    expect(seen.status).toBe(200)
    expect(Number(seen.headers['x-ratelimit-remaining-tokens'])).toBeGreaterThan(9_000)
  })

  it('count an answer of the cache as a request that used no tokens', async () => {
    await start(
      {
        routes: { kept: { targets: ['up/sim-fast'], cache: true } },
        limits: { each: { per: 'key', requests: 3, tokens: 10_000, concurrency: 1 } },
      },
      { clock: makeClock() },
    )
    const ask0 = () => chat('kept', KEY, { temperature: 0 })
    const bought = await ask0()
    expect(bought.headers['x-turnout-cache']).toMatch(/^miss/)
    for (const left of ['1', '0']) {
      const { headers } = await ask0()
      expect(headers['x-turnout-cache']).toMatch(/^hit/)
      expect(headers['x-ratelimit-remaining-requests']).toBe(left)
      expect(headers['x-ratelimit-remaining-tokens']).toBe(bought.headers['x-ratelimit-remaining-tokens'])
    }
    expect((await ask0()).status).toBe(429)
  })

  it('hold at once when the configuration changes, and count on where they were', async () => {
    const clock = makeClock()
    const requests = (most: number) => ({ limits: { each: { per: 'key', requests: most } } })
    await start(requests(4), { clock })
    for (let n = 0; n < 3; n++) expect((await chat()).status).toBe(200)
    swapTo(requests(3))
    expect((await chat()).status).toBe(429)
    swapTo(requests(5), 3)
    expect((await chat()).headers['x-ratelimit-remaining-requests']).toBe('1')
    swapTo({}, 4)
    expect((await chat()).headers['x-ratelimit-limit-requests']).toBeUndefined()
  })
})

describe('C32 concurrency slots', () => {
  /** Those in use. */
  const slots = (): number => {
    const { snapshot, limits } = gateway.turnout
    const [{ limit, remaining }] = limits.states([{ setting: snapshot.limits[0]!, entity: 'limited' }]) as [LimitState]
    return limit - remaining
  }
  /** Resolves when none is taken. */
  const freed = async (): Promise<void> => {
    while (slots() > 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const one = { limits: { each: { per: 'key', concurrency: 1 } } }

  it('C32 come back after success, errors, refusals, streams, cuts and clients that leave', async () => {
    await start(one)
    const tries: [string, Record<string, unknown>][] = [
      ['up/sim-fast', {}],
      ['up/sim-fast', { stream: true }],
      ['up/sim-error-503', {}],
      ['up/sim-cut', { stream: true }],
      ['up/sim-reset', {}],
      ['up/sim-fast', { max_tokens: 'x' }],
      ['nowhere/x', {}],
    ]
    for (const [model, more] of tries) {
      await chat(model, KEY, more)
      await freed()
    }
    for (const stream of [false, true]) {
      const left = send('POST', gateway.url + CHAT, ask(stream ? 'up/flowing' : 'up/held', { stream }), bearer())
      await simulator.waitFor(() => simulator.totals().running === 1)
      if (stream) await left.response
      expect(slots()).toBe(1)
      expect((await chat()).status).toBe(429)
      left.request.destroy()
      await left.done
      await simulator.waitFor(() => simulator.totals().running === 0)
      await freed()
    }
    expect((await chat()).status).toBe(200)
    const refused = gateway.lines.filter(({ refusal }) => refusal === 'rate_limit_exceeded')
    expect(refused.map(({ limit }) => limit)).toEqual(['each', 'each'])
  })

  it('C32 come back when the upstream takes too long, and when our own code fails', async () => {
    let broken = false
    await start(
      { ...one, routes: { late: { targets: ['up/held'], timeouts: { total: '50ms' } } } },
      {
        random: () => {
          if (broken) throw new Error('a fault of our own')
          return 0.5
        },
      },
    )
    expect((await chat('late')).status).toBe(504)
    await freed()
    broken = true
    expect((await chat()).status).toBe(500)
    await freed()
    broken = false
    expect((await chat()).status).toBe(200)
  })

  it('C32 are not taken by a request that is still on its way, and come back from one that leaves in the queue', async () => {
    await start({ limits: { each: { per: 'key', concurrency: 1, queueMs: 60_000 } } })
    const raw = await openRaw(gateway.port)
    raw.write(rawPost(CHAT, ' '.repeat(10_000), [`authorization: Bearer ${KEY}`]).slice(0, -9_990))
    const held = send('POST', gateway.url + CHAT, ask('up/held'), bearer())
    await simulator.waitFor(() => simulator.totals().running === 1)
    const queued = send('POST', gateway.url + CHAT, ask('up/sim-fast'), bearer())
    await waiting(1)
    raw.socket.destroy()
    queued.request.destroy()
    await queued.done
    await waiting(0)
    expect(slots()).toBe(1)
    held.request.destroy()
    await held.done
    await freed()
    expect((await chat()).status).toBe(200)
    await freed()
    expect(gateway.lines.filter(({ outcome }) => outcome === 'client_disconnected')).toHaveLength(3)
  })

  it('C32 are as many as the limit says, however many ask at once', async () => {
    await start({ limits: { each: { per: 'key', concurrency: 7 } } })
    const all = Array.from({ length: 60 }, () => send('POST', gateway.url + CHAT, ask('up/held'), bearer()))
    const replies: Exchange[] = []
    for (const { done } of all) void done.then((reply) => replies.push(reply))
    while (replies.length < 53) await new Promise((resolve) => setImmediate(resolve))
    expect(slots()).toBe(7)
    expect(statuses(replies)).toEqual({ 429: 53 })
    for (const { headers } of replies) expect(headers['retry-after']).toBe('1')
    for (const { request } of all) request.destroy()
    await Promise.all(all.map(({ done }) => done))
    await freed()
    expect((await chat()).status).toBe(200)
  })
})

describe('waiting', () => {
  it('lets all in, in turn between keys, and no more at a time than the limit says', async () => {
    await start({ limits: { all: { concurrency: 2, queueMs: 120_000, queueSize: 50 } } })
    // Both slots are taken until all are in the queue.
    const held = [1, 2].map(() => send('POST', gateway.url + CHAT, ask('up/held'), bearer()))
    await simulator.waitFor(() => simulator.totals().running === 2)
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, simulator.totals().running)
    }, 2)
    const order: string[] = []
    const note = async (key: string): Promise<Exchange> => {
      const reply = await chat('up/slow', key)
      order.push(key)
      return reply
    }
    const busy = Array.from({ length: 10 }, () => note(KEY))
    await waiting(10)
    const late = [note(OTHER), note(OTHER)]
    await waiting(12)
    for (const { request } of held) request.destroy()
    await Promise.all(held.map(({ done }) => done))
    const replies = await Promise.all([...busy, ...late])
    clearInterval(watch)
    expect(statuses(replies)).toEqual({ 200: 12 })
    expect(most).toBe(2)
    // Two at a time: the latecomers' turn comes with the next two rounds, not after the ten that wait.
    expect(order.slice(0, 6).filter((key) => key === OTHER)).toHaveLength(2)
    const queued = (await gateway.settled(14)).filter(({ queuedMs }) => queuedMs !== undefined)
    expect(queued).toHaveLength(12)
    // Waiting is no work of ours.
    for (const { overheadMs, queuedMs, durationMs } of queued)
      expect(overheadMs! + queuedMs!).toBeLessThanOrEqual(durationMs + 1)
  })

  it('is refused when the queue is full, and when it takes too long', async () => {
    const clock = makeClock()
    await start({ limits: { each: { per: 'key', concurrency: 1, queueMs: 300, queueSize: 2 } } }, { clock })
    const held = send('POST', gateway.url + CHAT, ask('up/held'), bearer())
    await simulator.waitFor(() => simulator.totals().running === 1)
    const soon: Exchange[] = []
    const asked = times(4, async () => {
      const reply = await chat()
      soon.push(reply)
      return reply
    })
    while (soon.length < 2) await new Promise((resolve) => setImmediate(resolve))
    await waiting(2)
    clock.move(301)
    const replies = await asked
    held.request.destroy()
    const reasons = replies.map(({ text }) => JSON.parse(text).error.metadata.reason).sort()
    expect(reasons).toEqual(['queue_full', 'queue_full', 'waited', 'waited'])
    await held.done
  })

  it('ends when another configuration has room', async () => {
    await start({ limits: { each: { per: 'key', concurrency: 1, queueMs: 60_000 } } })
    const held = send('POST', gateway.url + CHAT, ask('up/held'), bearer())
    await simulator.waitFor(() => simulator.totals().running === 1)
    const queued = chat()
    await waiting(1)
    swapTo({ limits: { each: { per: 'key', concurrency: 2, queueMs: 60_000 } } })
    expect((await queued).status).toBe(200)
    const again = send('POST', gateway.url + CHAT, ask('up/held'), bearer())
    await simulator.waitFor(() => simulator.totals().running === 2)
    const third = chat()
    await waiting(1)
    // Taken out altogether.
    swapTo({}, 3)
    expect((await third).status).toBe(200)
    for (const { request } of [held, again]) request.destroy()
    await Promise.all([held.done, again.done])
  })

  it('shows on /metrics, as refusals do', async () => {
    await start({ limits: { each: { per: 'key', concurrency: 1, queueMs: 60_000 }, all: { requests: 3 } } })
    const held = send('POST', gateway.url + CHAT, ask('up/held'), bearer())
    await simulator.waitFor(() => simulator.totals().running === 1)
    const queued = chat()
    await waiting(1)
    expect((await get(`${gateway.url}/metrics`)).text).toMatch(/^turnout_limit_waiting 1$/m)
    held.request.destroy()
    await Promise.all([held.done, queued])
    await chat('up/sim-fast', OTHER)
    await chat('up/sim-fast', OTHER)
    const { text } = await get(`${gateway.url}/metrics`)
    expect(text).toMatch(/^turnout_limit_waiting 0$/m)
    expect(text).toMatch(/^turnout_limit_refusals_total\{scope="everything",kind="requests"\} 1$/m)
    expect(text).toMatch(/^turnout_limit_refusals_total\{scope="key",kind="concurrency"\} 0$/m)
  })
})
