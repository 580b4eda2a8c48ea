// Requests that wait for the same call: who may answer is asked for each of them, and what one is told all are told.
import { expect, it, onTestFinished } from 'vitest'
import { markOf, speak, startCacheGateway } from './support/cacheGateway.ts'
import { ask, CHAT, chunk, chunks, event, finishChunk, reply, roleChunk, usageChunk } from './support/chatBodies.ts'
import { type Exchange, get, post, send } from './support/exchange.ts'
import { type Handler, openSse, sendJson, sendSse, sseText } from './support/fakeUpstream.ts'
import { upstreamAt } from './support/gateway.ts'
import { appKey, bearer, otherKey, startLedgerGateway } from './support/ledgerGateway.ts'

type Json = Record<string, unknown>

const framings: [string, Json][] = [
  ['a document', {}],
  ['a stream', { stream: true }],
]

/** Two requests of one team, of which the second has joined the first when `p/first` fails for it; `p/second` answers. */
async function shareFallback(framing: Json, headers: Record<string, string>): Promise<[Exchange, Exchange]> {
  const keys = [
    { name: 'free', key: appKey, team: 'shop' },
    { name: 'bound', key: otherKey, team: 'shop', models: ['p/first'] },
  ]
  const { gateway, chat } = await startCacheGateway(
    true,
    async (_, res, raw, n) => {
      const { model, stream } = JSON.parse(raw.toString())
      if (n === 1) await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
      if (model === 'first') sendJson(res, 503, { error: { message: 'down' } })
      else if (stream) await sendSse(res, sseText(chunks('from the second')))
      else sendJson(res, 200, reply('from the second'))
    },
    { keys, routes: { m: { targets: ['p/first', 'p/second'], cache: { scope: 'team' } } } },
  )
  const leader = chat(framing, bearer(appKey))
  await expect.poll(() => gateway.metrics.inFlight).toBe(1)
  return Promise.all([leader, chat(framing, headers)])
}

it.each(framings)('%s of a fallback is not shared with a key that may not use it', async (_, framing) => {
  const [leader, bound] = await shareFallback(framing, bearer(otherKey))
  expect([leader.status, leader.headers['x-turnout-target']]).toEqual([200, 'p/second'])
  expect([bound.status, markOf(bound), bound.headers['x-turnout-target']]).toEqual([503, 'miss', 'p/first'])
  expect(bound.text).not.toContain('second')
})

it.each(framings)('%s of a fallback is not shared with a client that wants none', async (_, framing) => {
  const [leader, strict] = await shareFallback(framing, { ...bearer(appKey), 'x-turnout-fallback': 'off' })
  expect([leader.status, leader.headers['x-turnout-target']]).toEqual([200, 'p/second'])
  expect([strict.status, markOf(strict), strict.headers['x-turnout-target']]).toEqual([503, 'miss', 'p/first'])
  expect(strict.text).not.toContain('second')
})

it.each(framings)('%s of a fallback is shared with everybody else, and says whom it comes from', async (_, framing) => {
  const [leader, other] = await shareFallback(framing, bearer(appKey))
  expect(leader.headers['x-turnout-attempts']).toBe('2')
  expect([other.status, markOf(other)]).toEqual([200, 'coalesced'])
  expect(other.headers).toMatchObject({
    'x-turnout-target': 'p/second',
    'x-turnout-provider': 'p',
    'x-turnout-model': 'second',
    'x-turnout-attempts': '0',
  })
})

it.each(framings)(
  '%s of a fallback is not shared with a key that may not use all it may come from',
  async (_, framing) => {
    const keys = [
      { name: 'free', key: appKey, team: 'shop' },
      { name: 'bound', key: otherKey, team: 'shop', models: ['claude/*', 'p/second'] },
    ]
    const { gateway, chat } = await startCacheGateway(
      true,
      async ({ url }, res, raw, n) => {
        if (n === 1) await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
        if (!url!.endsWith('/chat/completions')) return sendJson(res, 503, { error: { message: 'down' } })
        if (JSON.parse(raw.toString()).stream) return sendSse(res, sseText(chunks('from the second')))
        sendJson(res, 200, reply('from the second'))
      },
      (url) => ({
        keys,
        providers: { p: upstreamAt(url), claude: { kind: 'anthropic', baseUrl: url, apiKey: 'k' } },
        routes: { m: { targets: ['claude/first', 'p/second'], cache: { scope: 'team' } } },
      }),
    )
    const models = ['x/dear']
    const leader = chat({ ...framing, models }, bearer(appKey))
    await expect.poll(() => gateway.metrics.inFlight).toBe(1)
    const [free, bound] = await Promise.all([leader, chat({ ...framing, models }, bearer(otherKey))])
    expect([free.status, free.headers['x-turnout-target']]).toEqual([200, 'p/second'])
    expect([bound.status, markOf(bound), bound.headers['x-turnout-target']]).toEqual([503, 'miss', 'claude/first'])
  },
)

it.each([
  ['asks for usage', {}, { stream_options: { include_usage: true } }],
  ['asks for none', { stream_options: { include_usage: true } }, {}],
])('a stream is shared with a client that %s, unlike the first', async (_, first, second) => {
  const { gateway, upstream, chat } = await startCacheGateway(true, async (req, res, raw, n) => {
    await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
    await speak(() => 'one two')(req, res, raw, n)
  })
  const leader = chat({ stream: true, ...first })
  await expect.poll(() => gateway.metrics.inFlight).toBe(1)
  const both = await Promise.all([leader, chat({ stream: true, ...second })])
  expect(both.map(markOf)).toEqual(['miss', 'coalesced; reason=reframed'])
  expect(upstream.requests).toHaveLength(1)
  for (const [{ text, headers }, asked] of [
    [both[0], first],
    [both[1], second],
  ] as const) {
    expect(text).toMatch(/data: \[DONE\]\n\n$/)
    const told = [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data!))
    expect(told.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('one two')
    const usages = told.filter(({ usage }) => usage)
    expect(usages.map(({ choices, usage }) => [choices, usage.total_tokens])).toEqual(
      'stream_options' in asked ? [[[], 5]] : [],
    )
    if (headers['x-turnout-attempts'] === '0')
      expect(new Set(told.map(({ id }) => id))).toEqual(new Set([`chatcmpl-${headers['x-request-id']}`]))
  }
})

it.each([
  ['asked for', { n: 2 }, {}],
  ['made by the target', {}, { n: 2 }],
])('of two answers, %s, the first of which was cut, none is kept', async (_, asked, params) => {
  const [whole] = reply('two').choices as Json[]
  const choices = [
    { ...whole, finish_reason: 'length' },
    { ...whole, index: 1 },
  ]
  const handler: Handler = (_req, res) => sendJson(res, 200, { ...reply('two'), choices })
  const { chat } = await startCacheGateway(true, handler, (url) => ({
    providers: { p: upstreamAt(url) },
    targets: { t: { provider: 'p', model: 'm', params } },
    routes: { m: { targets: ['t'], cache: true } },
  }))
  expect([markOf(await chat(asked)), markOf(await chat(asked))]).toEqual(Array(2).fill('miss; reason=truncated'))
})

const done = event('[DONE]')
const unended = event(finishChunk()).slice(0, -1)
it.each<[string, Json, (usage: string) => string]>([
  ['tells of the usage first, and ends without a blank line', {}, (usage) => usage + unended],
  ['gives one answer of the two', { n: 2 }, (usage) => event(finishChunk()) + usage + done],
  ['gives no reason for the end', {}, (usage) => usage + done],
  ['tells of the usage before the end', {}, (usage) => usage + event(finishChunk()) + done],
])(
  'a stream is shared by those who ask for its usage and those who do not, of a vendor that %s',
  async (_, asked, ending) => {
    const usage = { stream_options: { include_usage: true } }
    for (const framings of [
      [{}, usage],
      [usage, {}],
    ]) {
      const { gateway, upstream, chat } = await startCacheGateway(true, async (_, res, raw) => {
        await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
        const isAsked = JSON.parse(raw.toString()).stream_options !== undefined
        openSse(res)
        res.end(event(roleChunk) + event(chunk({ content: 'so' })) + ending(isAsked ? event(usageChunk) : ''))
      })
      const leader = chat({ stream: true, ...asked, ...framings[0] })
      await expect.poll(() => gateway.metrics.inFlight).toBe(1)
      const both = await Promise.all([leader, chat({ stream: true, ...asked, ...framings[1] })])
      expect(both.map(markOf)).toEqual(['miss', 'coalesced; reason=reframed'])
      expect(upstream.requests).toHaveLength(1)
      for (const [n, { text, headers }] of both.entries()) {
        const events = text.split('\n\n').filter((each) => each.startsWith('data: {'))
        const told = events.map((each) => JSON.parse(each.slice(6)))
        const usages = told.filter(({ usage }) => usage)
        expect(usages.map(({ choices, usage }) => [choices, usage.total_tokens])).toEqual(
          framings[n] === usage ? [[[], 5]] : [],
        )
        const id = n === 0 ? 'chatcmpl-1' : `chatcmpl-${headers['x-request-id']}`
        for (const each of told)
          expect(each).toMatchObject({ id, object: 'chat.completion.chunk', model: 'vendor-model' })
      }
    }
  },
)

it('what a vendor says of our key when a shared stream breaks is blanked for all who read it', async () => {
  const { gateway, chat } = await startCacheGateway(true, async ({ headers }, res) => {
    openSse(res)
    res.write(event(roleChunk) + event(chunk({ content: 'well' })))
    await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
    res.end(event({ error: { message: `Wrong key: ${headers.authorization}`, type: 'server_error', code: 'x' } }))
  })
  const leader = chat({ stream: true })
  await expect.poll(() => gateway.metrics.inFlight).toBe(1)
  const both = await Promise.all([leader, chat({ stream: true })])
  expect(both.map(markOf)).toEqual(['miss', 'coalesced'])
  for (const { text } of both) {
    expect(text).toContain('Wrong key: Bearer ***')
    expect(text).not.toContain('sk-test-upstream')
  }
})

it.each(framings)('%s that a budget cut short is for the key whose budget that was', async (_, framing) => {
  const books = await startLedgerGateway(
    {
      routes: { m: { targets: ['sim/sim-held'], cache: { scope: 'team' } } },
      keys: [
        { name: 'poor', key: appKey, team: 'shop', budgets: { usd: 0.0002, fit: true } },
        { name: 'rich', key: otherKey, team: 'shop' },
      ],
    },
    { simulator: { scripts: { 'sim-held': { tokens: 300, headersDelayMs: 300 } } } },
  )
  onTestFinished(() => books.close())
  const chat = (key: string) => post(books.url + CHAT, ask('m', { temperature: 0, ...framing }), bearer(key))
  const poor = chat(appKey)
  await expect.poll(() => books.simulator.calls.length + books.gateway.metrics.inFlight).toBeGreaterThan(0)
  const [cutShort, whole] = await Promise.all([poor, chat(otherKey)])
  expect(cutShort.headers['x-turnout-max-tokens']).toMatch(/^\d+$/)
  expect(cutShort.text).toContain('"finish_reason":"length"')
  expect(markOf(whole)).toBe('miss')
  expect(whole.text).toContain('"finish_reason":"stop"')
})

it('what a client waits for the call of another until it leaves is no time of ours', async () => {
  const { gateway, upstream } = await startCacheGateway(true, () => {})
  const body = ask('m', { temperature: 0 })
  const [leader, other] = [0, 1].map(() => {
    const sent = send('POST', gateway.url + CHAT, body)
    sent.response.catch(() => {})
    return sent
  })
  await upstream.waitFor(() => upstream.requests.length === 1)
  await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
  await new Promise((resolve) => setTimeout(resolve, 600))
  for (const sent of [leader!, other!]) sent.request.destroy()
  for (const line of await gateway.settled(2)) {
    expect(line).toMatchObject({ outcome: 'client_disconnected' })
    expect(line.durationMs).toBeGreaterThanOrEqual(600)
    expect(line.overheadMs).toBeLessThan(300)
  }
})

it('an answer that the budget of an end user cut short is not shared with another user of the key', async () => {
  const books = await startLedgerGateway(
    {
      routes: { m: { targets: ['sim/sim-held'], cache: true } },
      keys: [{ name: 'app', key: appKey }],
      budgets: { each: { per: 'user', usd: 0.0003, fit: true } },
    },
    { simulator: { scripts: { 'sim-held': { tokens: 100, headersDelayMs: 300 } } } },
  )
  onTestFinished(() => books.close())
  const chat = (user: string, more: Json = {}) =>
    post(books.url + CHAT, ask('m', { temperature: 0, user, ...more }), bearer(appKey))
  // The one has spent most of what is the other's, too.
  await chat('poor', { seed: 1, max_tokens: 100 })
  const poor = chat('poor')
  await expect.poll(() => books.simulator.calls.length + books.gateway.metrics.inFlight).toBeGreaterThan(1)
  const [cutShort, whole] = await Promise.all([poor, chat('rich')])
  expect(cutShort.text).toContain('"finish_reason":"length"')
  expect([whole.status, markOf(whole)]).toEqual([200, 'miss'])
  expect(whole.text).toContain('"finish_reason":"stop"')
})

it('what comes after a removal does not join a call from before it, and who waited then still gets its answer', async () => {
  let release = (): void => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { gateway, upstream, chat } = await startCacheGateway(true, async (req, res, raw, n) => {
    if (n === 1) await held
    await speak()(req, res, raw, n)
  })
  const { cache } = gateway.turnout
  const leader = chat()
  await upstream.waitFor(() => upstream.requests.length === 1)
  const waited = chat()
  await expect.poll(() => cache.followers).toBe(1)
  cache.remove({ route: 'other' })
  const unconcerned = chat()
  await expect.poll(() => cache.followers).toBe(2)
  cache.remove({ route: 'm' })
  const after = await chat()
  expect([markOf(after), after.text.includes('answer 2')]).toEqual(['miss', true])
  release()
  for (const { text } of await Promise.all([leader, waited, unconcerned])) expect(text).toContain('answer 1')
  const later = await chat()
  expect([markOf(later), later.text.includes('answer 2')]).toEqual(['hit', true])
})

it('whoever leaves its call to others gives its slot back, and was sent nothing', async () => {
  let release = (): void => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { gateway, upstream } = await startCacheGateway(
    { scope: 'team' },
    async (req, res, raw, n) => {
      if (n === 1) await held
      await speak()(req, res, raw, n)
    },
    {
      keys: [
        { name: 'one', key: appKey, team: 'shop', limits: { concurrency: 1 } },
        { name: 'two', key: otherKey, team: 'shop' },
      ],
    },
  )
  const { cache } = gateway.turnout
  const body = ask('m', { temperature: 0 })
  const leader = send('POST', gateway.url + CHAT, body, bearer(appKey))
  leader.response.catch(() => {})
  await upstream.waitFor(() => upstream.requests.length === 1)
  const other = post(gateway.url + CHAT, body, bearer(otherKey))
  await expect.poll(() => cache.followers).toBe(1)
  leader.request.destroy()
  await expect.poll(() => cache.leaderless).toBe(1)
  expect((await post(gateway.url + CHAT, { ...body, seed: 1 }, bearer(appKey))).status).toBe(200)
  release()
  expect([(await other).status, markOf(await other)]).toEqual([200, 'coalesced'])
  const lines = await gateway.settled(3)
  expect(lines.find(({ key, outcome }) => key === 'one' && outcome !== 'ok')).toMatchObject({
    outcome: 'client_disconnected',
    status: 499,
    attempts: 1,
  })
  const { text } = await get(`${gateway.url}/metrics`)
  expect(text).toMatch(/^turnout_upstream_attempts_total\{.*outcome="ok".*\} 2$/m)
  expect(text).not.toMatch(/^turnout_upstream_attempts_total\{.*outcome="cancelled".*\} [1-9]/m)
})
