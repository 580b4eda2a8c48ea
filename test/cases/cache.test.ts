// C43 to C46: answers that are kept reach whoever asked the same, whole and well formed, and nobody else.
import { describe, expect, it } from 'vitest'
import { type CacheGateway, markOf, speak, startCacheGateway } from '../support/cacheGateway.ts'
import { ask, CHAT, chunk, chunks, DONE, event, finishChunk, reply, roleChunk } from '../support/chatBodies.ts'
import { dataOf, type Exchange, eventsOf, post, send } from '../support/exchange.ts'
import { cut, openSse, sendJson, sendSse, sseText, stall, writePieces } from '../support/fakeUpstream.ts'
import { appKey, bearer, otherKey } from '../support/ledgerGateway.ts'

const content = (text: string): string => JSON.parse(text).choices[0].message.content
const streamed = (text: string): string =>
  eventsOf(text)
    .map(({ choices }) => choices[0]?.delta?.content ?? '')
    .join('')

describe('C43: the key is the tenant and the whole request, less a few names', () => {
  it('serves the same question again, however its JSON is written', async () => {
    const { gateway, upstream, chat } = await startCacheGateway()
    const first = await chat()
    const second = await chat()
    const written = `{ "temperature": 0,\n "messages":[ {"content" :"hi", "role":"user"} ], "user":"u2","metadata":{"a":"b"},"model":"m" }`
    const third = await post(gateway.url + CHAT, written)
    expect([markOf(first), markOf(second), markOf(third)]).toEqual(['miss', 'hit', 'hit'])
    expect([first, second, third].map(({ text }) => content(text))).toEqual(['answer 1', 'answer 1', 'answer 1'])
    expect(upstream.requests).toHaveLength(1)
    const [one, two, three] = [first, second, third].map(({ text }) => JSON.parse(text))
    expect(new Set([one.id, two.id, three.id]).size).toBe(3)
    expect({ ...two, id: one.id }).toEqual(one)
    expect(two.id).toBe(`chatcmpl-${second.headers['x-request-id']}`)
    expect(second.headers).toMatchObject({
      'x-turnout-target': 'p/m',
      'x-turnout-provider': 'p',
      'x-turnout-model': 'm',
      'x-turnout-attempts': '0',
      'x-turnout-cost-usd': '0',
    })
  })

  it('asks anew when anything differs, known or not', async () => {
    const { upstream, chat } = await startCacheGateway()
    const others = [
      {},
      { messages: [{ role: 'user', content: 'Hi' }] },
      { max_tokens: 5 },
      { top_p: 0.5 },
      { some_new_field: 1 },
      { some_new_field: 2 },
      { seed: 1 },
      { tools: [{ type: 'function', function: { name: 'f' } }] },
      { stream_options: { include_obfuscation: false } },
    ]
    for (const more of others) expect(markOf(await chat(more))).toMatch(/^miss/)
    expect(upstream.requests).toHaveLength(others.length)
  })

  it('tells numbers apart that JavaScript cannot', async () => {
    const { gateway } = await startCacheGateway()
    const body = (seed: string): string => `{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":${seed}}`
    const marks = []
    for (const seed of ['12345678901234567890', '12345678901234567891', '12345678901234567890'])
      marks.push(markOf(await post(gateway.url + CHAT, body(seed))))
    expect(marks).toEqual(['miss', 'miss', 'hit'])
  })

  const keys = [
    { name: 'web', key: appKey, team: 'shop' },
    { name: 'batch', key: otherKey, team: 'data' },
    { name: 'till', key: 'sk-test-third-key-0123456789', team: 'shop' },
    { name: 'shop', key: 'sk-test-fourth-key-0123456789' },
  ]
  const ring = keys.map(({ key }) => bearer(key))

  it.each([
    ['key', ['miss', 'miss', 'miss', 'miss']],
    ['team', ['miss', 'miss', 'hit', 'miss']],
    ['global', ['miss', 'hit', 'hit', 'hit']],
  ])('keeps tenants apart by %s', async (scope, expected) => {
    const { chat } = await startCacheGateway({ scope }, speak(), { keys })
    const marks = []
    for (const headers of ring) marks.push(markOf(await chat({}, headers)))
    expect(marks).toEqual(expected)
  })

  it('keeps targets apart: after a swap that changes what is forced on one, its old answers are not served', async () => {
    const { gateway, upstream, chat } = await startCacheGateway(true, speak(), {
      targets: { t: { provider: 'p', model: 'x', params: { top_k: 1 } } },
      routes: { m: { targets: ['t'], cache: true } },
    })
    await chat()
    expect(markOf(await chat())).toBe('hit')
    const before = gateway.turnout.snapshot
    const route = before.routes.get('m')!
    const [target] = route.targets
    const changed = { ...route, targets: [{ ...target!, params: { top_k: 2 } }] }
    gateway.turnout.swap({ ...before, version: 2, routes: new Map([['m', changed]]) })
    expect(markOf(await chat())).toBe('miss')
    gateway.turnout.swap({ ...before, version: 3 })
    expect(markOf(await chat())).toBe('hit')
    expect(upstream.requests).toHaveLength(2)
  })
})

describe('C44: a stream is replayed as a stream, a document as a document, and each as the other', () => {
  const framings = {
    json: {},
    stream: { stream: true },
    'stream with usage': { stream: true, stream_options: { include_usage: true } },
  }
  const cells = Object.keys(framings).flatMap((from) => Object.keys(framings).map((to) => [from, to] as const))

  it.each(cells)('%s as %s', async (from, to) => {
    const { upstream, chat } = await startCacheGateway(
      true,
      speak(() => 'four words of text'),
    )
    const first = await chat(framings[from as keyof typeof framings])
    const again = await chat(framings[to as keyof typeof framings])
    expect(markOf(first)).toBe('miss')
    expect(markOf(again)).toBe(from === to ? 'hit' : 'hit; reason=reframed')
    expect(upstream.requests).toHaveLength(1)
    const id = `chatcmpl-${again.headers['x-request-id']}`
    const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
    if (to === 'json') {
      const body = JSON.parse(again.text)
      expect(body).toMatchObject({ id, object: 'chat.completion', usage })
      expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'four words of text' } })
      return
    }
    expect(again.headers['content-type']).toMatch(/^text\/event-stream/)
    const events = eventsOf(again.text)
    expect(dataOf(again.text).at(-1)).toBe('[DONE]')
    expect(new Set(events.map((each) => each.id))).toEqual(new Set([id]))
    expect(events[0].choices[0].delta.role).toBe('assistant')
    expect(streamed(again.text)).toBe('four words of text')
    expect(events.filter(({ choices }) => choices[0]?.finish_reason === 'stop')).toHaveLength(1)
    const told = events.filter((each) => each.usage)
    expect(told).toHaveLength(to === 'stream' ? 0 : 1)
    if (told[0]) expect(told[0]).toMatchObject({ choices: [], usage })
  })
})

describe('C45: requests decide what is read and written, replies say what was done, and only good answers are kept', () => {
  it('keeps to cache-control and to its own headers', async () => {
    const { gateway, upstream, chat } = await startCacheGateway()
    const steps: [Record<string, string>, string][] = [
      [{ 'cache-control': 'no-store' }, 'miss'],
      [{}, 'miss'],
      [{ 'cache-control': 'no-store' }, 'hit'],
      [{ 'cache-control': 'no-cache' }, 'miss'],
      [{ 'x-turnout-cache': 'refresh' }, 'miss'],
      [{ 'x-turnout-cache': 'skip' }, 'bypass; reason=skip'],
      [{ 'x-turnout-cache': 'only' }, 'hit'],
      [{ 'cache-control': 'only-if-cached, max-age=60' }, 'hit'],
    ]
    for (const [headers, mark] of steps) expect([headers, markOf(await chat({}, headers))]).toEqual([headers, mark])
    expect(upstream.requests).toHaveLength(5)
    const none = await chat({ seed: 9 }, { 'x-turnout-cache': 'only' })
    expect(none.status).toBe(504)
    expect(JSON.parse(none.text).error).toMatchObject({ code: 'not_cached' })
    expect(none.headers['x-should-retry']).toBe('false')
    const { body } = await gateway.metrics.expose()
    expect(body).toContain('turnout_request_errors_total{blame="client",cause="not_cached",route="m"} 1')
    const misses = (): number => gateway.turnout.cache.counts().get('m')!.requests.miss
    const before = misses()
    for (const [name, value] of Object.entries({ 'x-turnout-cache': 'onyl', 'x-turnout-cache-ttl': 'soon' })) {
      const refused = await chat({}, { [name]: value })
      expect([refused.status, refused.headers['x-turnout-cache']]).toEqual([400, undefined])
    }
    expect(misses()).toBe(before)
    expect(upstream.requests).toHaveLength(5)
  })

  it('says why it was not asked', async () => {
    const { chat } = await startCacheGateway()
    expect(markOf(await chat({ temperature: 0.1 }))).toBe('bypass; reason=not_deterministic')
    expect(markOf(await chat({ store: true }))).toBe('bypass; reason=store')
    const all = await startCacheGateway({ deterministicOnly: false })
    expect(markOf(await all.chat({ temperature: 0.1 }))).toBe('miss')
    expect(markOf(await all.chat({ temperature: 0.1 }))).toBe('hit')
  })

  /** Asks a cache in front of a Gemini that always says the same and ends it with this word. */
  async function startGeminiCache(finishReason: string, generationConfig: object, asked: Record<string, unknown> = {}) {
    const { gateway } = await startCacheGateway(
      true,
      (_, res) => sendJson(res, 200, { candidates: [{ content: { parts: [{ text: 'x' }] }, finishReason, index: 0 }] }),
      (url) => ({
        providers: { g: { kind: 'gemini', baseUrl: url, apiKey: 'k' } },
        targets: { forced: { provider: 'g', model: 'gemini-2.5-flash', params: { generationConfig } } },
        routes: { m: { targets: ['forced'], cache: true } },
      }),
    )
    return () => post(gateway.url + CHAT, ask('m', asked))
  }

  it.each([
    [{ temperature: 0 }, { temperature: 1 }, 'hit'],
    [{ seed: 7 }, { temperature: 1 }, 'hit'],
    [{ temperature: 1 }, { temperature: 0 }, 'bypass; reason=not_deterministic'],
  ])('goes by what is forced on Gemini: %j', async (generationConfig, asked, mark) => {
    const chat = await startGeminiCache('STOP', generationConfig, asked)
    await chat()
    expect(markOf(await chat())).toBe(mark)
  })

  const toolCall = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }
  const tools = { tools: [{ type: 'function', function: { name: 'f' } }] }
  const worthless: [string, object, string][] = [
    ['a truncated answer', { finish_reason: 'length' }, 'truncated'],
    ['a filtered answer', { finish_reason: 'content_filter' }, 'filtered'],
    ['an answer without an end', { finish_reason: null }, 'unfinished'],
    ['an answer that another turn goes on with', { finish_reason: 'pause_turn' }, 'unfinished'],
    [
      'a tool call',
      { finish_reason: 'tool_calls', message: { role: 'assistant', content: null, tool_calls: [toolCall] } },
      'tool_calls',
    ],
    [
      'a tool call that ends like a text',
      { message: { role: 'assistant', content: null, tool_calls: [toolCall] } },
      'tool_calls',
    ],
  ]
  it.each(worthless)('does not keep %s', async (_, choice, reason) => {
    const { upstream, chat } = await startCacheGateway(true, (_, res) =>
      sendJson(res, 200, reply('x', choice as never)),
    )
    for (let n = 1; n <= 2; n++) expect(markOf(await chat(tools))).toBe(`miss; reason=${reason}`)
    expect(upstream.requests).toHaveLength(2)
  })

  it('does not keep what Gemini ended for another reason', async () => {
    const chat = await startGeminiCache('OTHER', { temperature: 0 })
    for (let n = 1; n <= 2; n++) expect(markOf(await chat())).toBe('miss; reason=unfinished')
  })

  it('does not keep the call of a deprecated function that was forced, after which OpenAI says "stop"', async () => {
    const message = { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } }
    const { upstream, chat } = await startCacheGateway(true, (_, res, raw) =>
      JSON.parse(raw.toString()).stream
        ? sendSse(res, sseText([chunk(message), finishChunk()]))
        : sendJson(res, 200, reply(null, { message } as never)),
    )
    const asked = { functions: [{ name: 'f' }], function_call: { name: 'f' } }
    for (let n = 1; n <= 2; n++) {
      expect(markOf(await chat(asked))).toBe('miss; reason=tool_calls')
      expect(markOf(await chat({ ...asked, stream: true }))).toBe('miss')
    }
    expect(upstream.requests).toHaveLength(4)
  })

  it('keeps tool calls where the route says so, and replays them', async () => {
    const choice = {
      finish_reason: 'tool_calls',
      message: { role: 'assistant', content: null, tool_calls: [toolCall] },
    }
    const { chat } = await startCacheGateway({ toolCalls: true }, (_, res) =>
      sendJson(res, 200, reply(null, choice as never)),
    )
    await chat(tools)
    const again = await chat({ ...tools, stream: true })
    expect(markOf(again)).toBe('hit; reason=reframed')
    const calls = eventsOf(again.text).flatMap(({ choices }) => choices[0]?.delta?.tool_calls ?? [])
    expect(calls[0]).toMatchObject({ index: 0, id: 'call_1', function: { name: 'f' } })
    expect(calls.map((call) => call.function.arguments).join('')).toBe('{}')
  })

  it('looks at each of several answers', async () => {
    const both = reply('a', {}, {}) as { choices: object[] }
    const [choice] = both.choices
    both.choices = [
      { ...choice, finish_reason: 'length' },
      { ...choice, index: 1 },
    ]
    const { chat } = await startCacheGateway(true, (_, res) => sendJson(res, 200, both))
    expect(markOf(await chat({ n: 2 }))).toBe('miss; reason=truncated')
  })

  it('does not keep failures, streams that broke off, and streams without their end', async () => {
    const { upstream, chat } = await startCacheGateway(true, async (_, res, __, n) => {
      if (n === 1) return sendJson(res, 500, { error: { message: 'no' } })
      if (n === 2) {
        openSse(res)
        res.write(sseText([roleChunk, chunk({ content: 'half' })], { done: false }))
        return cut(res)
      }
      if (n === 3) return sendSse(res, sseText(chunks('no end marker'), { done: false }))
      await sendSse(res, sseText(chunks('good')))
    })
    expect((await chat({ stream: true })).status).toBe(500)
    expect((await chat({ stream: true })).text).toContain('"error"')
    expect(streamed((await chat({ stream: true })).text)).toBe('no end marker')
    expect(markOf(await chat({ stream: true }))).toBe('miss')
    expect(markOf(await chat({ stream: true }))).toBe('hit')
    expect(upstream.requests).toHaveLength(4)
  })

  it('does not keep what a fallback said, nor what is too long', async () => {
    const { chat } = await startCacheGateway(
      { maxEntryBytes: '2KB' },
      (_, res, raw) =>
        JSON.parse(raw.toString()).model === 'a'
          ? sendJson(res, 503, { error: { message: 'busy' } })
          : sendJson(res, 200, reply(JSON.parse(raw.toString()).messages[0].content)),
      {
        routes: {
          m: { targets: ['p/a', 'p/b'], cache: true },
          long: { targets: ['p/b'], cache: { maxEntryBytes: '2KB' } },
        },
      },
    )
    expect(markOf(await chat())).toBe('miss; reason=fallback')
    const long = { model: 'long', messages: [{ role: 'user', content: 'x'.repeat(3000) }] }
    expect(markOf(await chat(long))).toBe('miss; reason=too_large')
    expect(markOf(await chat({ ...long, stream: true }))).toBe('miss; reason=too_large')
  })

  it('does not keep what has no room even by itself, and says so', async () => {
    const { gateway, chat } = await startCacheGateway(
      true,
      speak(() => 'y'.repeat(9000)),
      { cache: { size: '8KB' } },
    )
    expect(markOf(await chat())).toBe('miss; reason=too_large')
    expect(gateway.turnout.cache.counts().get('m')).toMatchObject({ stored: 0, unkept: { too_large: 1 } })
  })

  it('is bounded in bytes: what was not asked for the longest goes first', async () => {
    const { gateway, chat } = await startCacheGateway(
      true,
      speak(() => 'y'.repeat(1000)),
      { cache: { size: '64KB' } },
    )
    const { cache } = gateway.turnout
    for (let seed = 0; seed < 200; seed++) {
      await chat({ seed })
      expect(cache.bytes).toBeLessThanOrEqual(64 * 1024)
      if (seed % 5 === 0) expect(markOf(await chat({ seed: 0 }))).toBe('hit')
    }
    expect(cache.farewells.room).toBeGreaterThan(100)
    expect(markOf(await chat({ seed: 1 }))).toBe('miss')
  })
})

describe('C46: identical requests in flight share one call', () => {
  const MANY = 200

  /** A promise and its resolve. */
  function gate(): { opened: Promise<void>; open: () => void } {
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    return { opened, open }
  }

  /** Resolves when so many requests wait for the call of another. */
  async function joined({ gateway }: CacheGateway, count: number): Promise<void> {
    while (gateway.turnout.cache.followers < count) await new Promise((resolve) => setImmediate(resolve))
  }

  it('two hundred for a document: one call, all have the whole answer', async () => {
    const { opened, open } = gate()
    const it = await startCacheGateway(true, async (req, res, raw, n) => {
      await opened
      await speak()(req, res, raw, n)
    })
    const asked = Array.from({ length: MANY }, () => it.chat())
    await joined(it, MANY - 1)
    open()
    const answers = await Promise.all(asked)
    expect(it.upstream.requests).toHaveLength(1)
    expect(new Set(answers.map(({ text }) => content(text)))).toEqual(new Set(['answer 1']))
    expect(new Set(answers.map(({ text }) => JSON.parse(text).id)).size).toBe(MANY)
    expect(answers.filter((each) => markOf(each) === 'miss')).toHaveLength(1)
    expect(answers.filter((each) => markOf(each) === 'coalesced')).toHaveLength(MANY - 1)
  })

  it('two hundred for a stream, some of them in the middle of it: what has come, then the rest live', async () => {
    const half = gate()
    const rest = gate()
    const words = Array.from({ length: 40 }, (_, at) => `word${at} `)
    const it = await startCacheGateway(true, async (_, res) => {
      openSse(res)
      res.write(sseText([roleChunk, ...words.slice(0, 20).map((text) => chunk({ content: text }))], { done: false }))
      half.open()
      await rest.opened
      await writePieces(
        res,
        words.slice(20).map((text) => event(chunk({ content: text }))),
      )
      res.end(event(finishChunk()) + DONE)
    })
    const early = Array.from({ length: MANY / 2 }, () => it.chat({ stream: true }))
    await half.opened
    await joined(it, MANY / 2 - 1)
    const late = Array.from({ length: MANY / 2 }, () =>
      send('POST', it.gateway.url + CHAT, ask('m', { temperature: 0, stream: true })),
    )
    const firstHalf = new Promise<string>((resolve) => {
      late[0]!.request.once('response', (response) => response.once('data', (data) => resolve(String(data))))
    })
    // They have the first half before the second is sent.
    expect(streamed(await firstHalf)).toContain('word0 ')
    await joined(it, MANY - 1)
    rest.open()
    const answers = await Promise.all([...early, ...late.map(({ done }) => done)])
    expect(it.upstream.requests).toHaveLength(1)
    for (const { text, complete } of answers) {
      expect([complete, streamed(text), dataOf(text).at(-1)]).toEqual([true, words.join(''), '[DONE]'])
    }
    const ids = answers.map(({ text }) => new Set(eventsOf(text).map(({ id }) => id)))
    expect(ids.every(({ size }) => size === 1)).toBe(true)
    expect(new Set(ids.flatMap((each) => [...each])).size).toBe(MANY)
    expect(answers.filter((each) => markOf(each) === 'coalesced')).toHaveLength(MANY - 1)
    expect(markOf(await it.chat({ stream: true }))).toBe('hit')
  })

  it("a vendor's id that is also a word of the answer is replaced as an id alone", async () => {
    const { opened, open } = gate()
    const it = await startCacheGateway(true, async (_, res, raw, n) => {
      if (n === 1) await opened
      const numbered = (told: object) => ({ ...told, id: '0' })
      if (!JSON.parse(raw.toString()).stream) return sendJson(res, 200, numbered(reply('0')))
      await sendSse(
        res,
        sseText([roleChunk, chunk({ content: '1' }), chunk({ content: '0' }), finishChunk()].map(numbered)),
      )
    })
    const ask = (more: object) => it.chat({ ...more, stream: true })
    const first = ask({})
    await it.upstream.waitFor(() => true)
    const second = ask({})
    await joined(it, 1)
    open()
    const costly = (): Promise<Exchange> => it.chat({ stream: true, seed: 2 }, { 'x-turnout-usage': 'cost' })
    const streams = [await first, await second, await ask({}), await costly(), await costly()]
    expect(streams.map(markOf)).toEqual(['miss', 'coalesced', 'hit', 'miss', 'hit'])
    for (const { text } of streams) expect(streamed(text)).toBe('10')
    const whole = [await it.chat({ seed: 1 }), await it.chat({ seed: 1 })]
    expect(whole.map(markOf)).toEqual(['miss', 'hit'])
    for (const { text } of whole) expect(content(text)).toBe('0')
    for (const { text, headers } of [streams[2]!, whole[1]!])
      expect(text).toContain(`chatcmpl-${headers['x-request-id']}`)
  })

  it('a document may come from a stream that is on its way', async () => {
    const { opened, open } = gate()
    const it = await startCacheGateway(true, async (req, res, raw, n) => {
      await opened
      await speak()(req, res, raw, n)
    })
    const stream = it.chat({ stream: true })
    await it.upstream.waitFor(() => true)
    const whole = it.chat()
    await joined(it, 1)
    open()
    expect(streamed((await stream).text)).toBe('answer 1')
    const { text, headers } = await whole
    expect(content(text)).toBe('answer 1')
    expect(headers['x-turnout-cache']).toMatch(/^coalesced; age=\d+; reason=reframed$/)
    expect(it.upstream.requests).toHaveLength(1)
  })

  it.each([false, true])(
    'the one that asked first may leave (stream: %s): the others have their answer',
    async (stream) => {
      const begun = gate()
      const { opened, open } = gate()
      const it = await startCacheGateway(true, async (req, res, raw, n) => {
        begun.open()
        await opened
        await speak()(req, res, raw, n)
      })
      const first = send('POST', it.gateway.url + CHAT, ask('m', { temperature: 0, stream }))
      await begun.opened
      const others = [it.chat({ stream }), it.chat({ stream })]
      await joined(it, 2)
      first.request.destroy()
      await first.done
      while (it.gateway.turnout.cache.leaderless === 0) await new Promise((resolve) => setImmediate(resolve))
      open()
      for (const { text } of await Promise.all(others)) expect(stream ? streamed(text) : content(text)).toBe('answer 1')
      expect(it.upstream.requests).toHaveLength(1)
      const lines = await it.gateway.settled(3)
      expect(lines.map(({ outcome }) => outcome).sort()).toEqual(['client_disconnected', 'ok', 'ok'])
      expect(markOf(await it.chat({ stream }))).toBe('hit')
    },
  )

  it('when all have left, the call is stopped', async () => {
    const it = await startCacheGateway(true, (_, res) => stall(res))
    const sent = [1, 2, 3].map(() => send('POST', it.gateway.url + CHAT, ask('m', { temperature: 0 })))
    await joined(it, 2)
    for (const { request, done } of sent) {
      request.destroy()
      await done
    }
    await it.upstream.waitFor(({ closedEarly }) => closedEarly)
    expect(it.upstream.requests).toHaveLength(1)
    await it.gateway.settled(3)
  })

  it.each([false, true])(
    'its failure is its own (stream: %s): the others try for themselves, each at most once',
    async (stream) => {
      const { opened, open } = gate()
      const it = await startCacheGateway(true, async (req, res, raw, n) => {
        if (n === 1) await opened
        if (n <= 2) return sendJson(res, 500, { error: { message: 'no' } })
        await speak()(req, res, raw, n)
      })
      const asked = Array.from({ length: 10 }, () => it.chat({ stream }))
      await joined(it, 9)
      open()
      const answers = await Promise.all(asked)
      // Nobody failed but those who asked by themselves and were told so.
      expect(answers.filter(({ status }) => status === 500)).toHaveLength(2)
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(8)
      expect(it.upstream.requests.length).toBeLessThanOrEqual(10)
    },
  )

  it('what breaks in the middle breaks for all, and nobody takes it for an answer', async () => {
    const { opened, open } = gate()
    const it = await startCacheGateway(true, async (_, res) => {
      openSse(res)
      res.write(sseText([roleChunk, chunk({ content: 'half' })], { done: false }))
      await opened
      cut(res)
    })
    const asked = Array.from({ length: 5 }, () => it.chat({ stream: true }))
    await joined(it, 4)
    open()
    for (const { text } of await Promise.all(asked)) {
      expect(streamed(text.split('data: {"error"')[0]!)).toBe('half')
      expect(text).toContain('"error"')
      expect(text).not.toContain('[DONE]')
    }
    // Also where the call that broke was another request's.
    expect((await it.gateway.settled(5)).map(({ fault }) => fault)).toEqual(Array(5).fill('cut'))
  })

  it('a follower that does not read holds nobody back', async () => {
    const { opened, open } = gate()
    const piece = 'z'.repeat(64 * 1024)
    const it = await startCacheGateway({ maxEntryBytes: '256KB' }, async (_, res) => {
      openSse(res)
      res.write(event(roleChunk) + event(chunk({ content: 'a' })))
      await opened
      for (let at = 0; at < 100; at++) res.write(event(chunk({ content: piece })))
      res.end(event(finishChunk()) + DONE)
    })
    const reading = it.chat({ stream: true })
    const lazy = send('POST', it.gateway.url + CHAT, ask('m', { temperature: 0, stream: true }))
    const response = await lazy.response
    await joined(it, 1)
    response.pause()
    open()
    // Longer than is kept: the upstream waits for the one that lags, until it reads or leaves.
    lazy.request.destroy()
    expect(streamed((await reading).text)).toHaveLength(1 + 100 * piece.length)
    await lazy.done
  })

  it('is only where caching is allowed', async () => {
    const { opened, open } = gate()
    const it = await startCacheGateway({ coalesce: false }, async (req, res, raw, n) => {
      if (n <= 2) await opened
      await speak()(req, res, raw, n)
    })
    const asked = [it.chat(), it.chat()]
    await it.upstream.waitFor(() => it.upstream.requests.length === 2)
    open()
    await Promise.all(asked)
    const warm = await startCacheGateway(true, speak())
    const answers = await Promise.all([1, 2, 3].map(() => warm.chat({ temperature: 1 })))
    expect(answers.map(markOf)).toEqual(Array(3).fill('bypass; reason=not_deterministic'))
    expect(warm.upstream.requests).toHaveLength(3)
  })
})
