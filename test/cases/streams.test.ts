// Cases C1, C3, C4, C7, C8, C9 and C20: what streams and tool calls must survive on their way through the identity lane.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ask,
  CHAT,
  chunk,
  chunks,
  DONE,
  event,
  finishChunk,
  reply,
  roleChunk,
  usage,
  usageChunk,
} from '../support/chatBodies.ts'
import { dataOf, eventsOf, post, send } from '../support/exchange.ts'
import {
  type FakeUpstream,
  openSse,
  piecesOf,
  sendJson,
  sendSse,
  sseText,
  startFakeUpstream,
  writePieces,
} from '../support/fakeUpstream.ts'
import { single } from '../support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'

type Json = Record<string, unknown>
type Script = (res: ServerResponse, body: Json) => void | Promise<void>

let upstream: FakeUpstream
let gateway: TestGateway
/** What the upstream does next. */
let script: Script
let asked: string

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res, body) => {
    asked = body.toString()
    return script(res, JSON.parse(asked) as Json)
  })
  gateway = await startGateway({
    ...single,
    providers: {
      p: upstreamAt(upstream.url),
      ollama: { kind: 'ollama', baseUrl: `${upstream.url}/v1` },
      mistral: upstreamAt(upstream.url, { kind: 'mistral' }),
      always: upstreamAt(upstream.url, { streamUsage: 'always' }),
    },
    routes: { m: 'p/m', o: 'ollama/m', mistral: 'mistral/m', always: 'always/m' },
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const stream = (model = 'm', more: Json = {}) => post(gateway.url + CHAT, ask(model, { stream: true, ...more }))

interface CallDelta {
  index: number
  id?: string
  function?: { name?: string; arguments?: string }
}

/** Puts tool calls together as SDKs do: by index. */
function callsOf(events: { choices: { delta: { tool_calls?: CallDelta[] } }[] }[]): CallDelta[] {
  const calls: CallDelta[] = []
  for (const { choices } of events) {
    for (const delta of choices[0]?.delta.tool_calls ?? []) {
      const known = calls[delta.index]
      if (known) known.function!.arguments += delta.function?.arguments ?? ''
      else calls[delta.index] = structuredClone(delta)
    }
  }
  return calls
}

const call = (index: number, id: string, name: string, text: string): Json => ({
  index,
  id,
  type: 'function',
  function: { name, arguments: text },
})
const more = (index: number, text: string): Json => ({ index, function: { arguments: text } })

describe('C1 parallel tool calls', () => {
  const whole = [
    chunk({ role: 'assistant', content: null, tool_calls: [call(0, 'call_a', 'one', '{"x":1}')] }),
    chunk({ tool_calls: [call(1, 'call_b', 'two', '{"y":[2]}')] }),
    finishChunk('tool_calls'),
  ]
  const fragmented = [
    chunk({ role: 'assistant', content: null }),
    chunk({ tool_calls: [call(0, 'call_a', 'one', '')] }),
    chunk({ tool_calls: [more(0, '{"x"')] }),
    chunk({ tool_calls: [more(0, ':1}')] }),
    chunk({ tool_calls: [call(1, 'call_b', 'two', ''), more(1, '{"y":')] }),
    chunk({ tool_calls: [more(1, '[2]}')] }),
    finishChunk('tool_calls'),
  ]
  for (const [name, events] of Object.entries({ whole, fragmented })) {
    for (const pieces of [undefined, 1, 7]) {
      it(`C1 ${name}, ${pieces ?? 'all'} bytes at a time: indices, ids and arguments survive`, async () => {
        script = (res) => sendSse(res, sseText(events), pieces === undefined ? {} : { pieces })
        const { text } = await stream()
        expect(text).toBe(sseText(events))
        const calls = callsOf(eventsOf(text))
        expect(calls.map(({ index, id, function: fn }) => [index, id, fn!.name, JSON.parse(fn!.arguments!)])).toEqual([
          [0, 'call_a', 'one', { x: 1 }],
          [1, 'call_b', 'two', { y: [2] }],
        ])
      })
    }
  }
})

describe('C3 tool calls and their finish', () => {
  const calling = (finish: string): Json[] => [
    roleChunk,
    chunk({ tool_calls: [call(0, 'call_a', 'one', '{"x":"1"}')] }),
    finishChunk(finish),
  ]
  const message = {
    role: 'assistant',
    content: '',
    tool_calls: [{ id: 'call_a', type: 'function', function: { name: 'one', arguments: '{}' } }],
  }

  it('C3 "stop" after a call becomes "tool_calls" where the provider is known for it, in streams', async () => {
    for (const pieces of [undefined, 1]) {
      script = (res) => sendSse(res, sseText(calling('stop')), pieces === undefined ? {} : { pieces })
      const { text } = await stream('o')
      expect(text).toBe(sseText(calling('tool_calls')))
      expect(gateway.lines.at(-1)).toMatchObject({ finish: 'tool_calls', outcome: 'ok' })
    }
  })

  it('C3 and in whole replies, every other byte unchanged', async () => {
    const body = (finish: string): string =>
      `{ "id":"x", "created":1.0e9,\n "choices":[{"finish_reason" : "${finish}","index":0,"message":${JSON.stringify(message)}}],"usage":${JSON.stringify(usage)} }`
    script = (res) => sendJson(res, 200, body('stop'))
    const { text } = await post(gateway.url + CHAT, ask('o'))
    expect(text).toBe(body('tool_calls'))
  })

  it('C3 "length" is kept, and so is "stop" without a call, and everything where the provider is not known for it', async () => {
    for (const [model, finish] of [
      ['o', 'length'],
      ['m', 'stop'],
      ['m', 'tool_calls'],
    ] as const) {
      script = (res) => sendSse(res, sseText(calling(finish)))
      expect((await stream(model)).text).toBe(sseText(calling(finish)))
      script = (res) => sendJson(res, 200, reply('', { message, finish_reason: finish }))
      expect((await post(gateway.url + CHAT, ask(model))).text).toBe(
        JSON.stringify(reply('', { message, finish_reason: finish })),
      )
    }
    script = (res) => sendSse(res, sseText(chunks('no call')))
    expect((await stream('o')).text).toBe(sseText(chunks('no call')))
  })

  // As Mistral writes them.
  const bare = [
    { id: 'gSIMJiOkT', function: { name: 'weather', arguments: '{"city": "Paris"}' } },
    { function: { arguments: '{"city": "Tokyo"}', name: 'weather' }, id: 'KikbB849t' },
  ]

  it.each([false, true])('C3 calls without a type reach the handler of OpenAI’s SDK, stream: %s', async (streamed) => {
    script = (res, { messages }) => {
      const calls = (messages as Json[]).some(({ role }) => role === 'tool') ? undefined : bare
      const whole = { role: 'assistant', content: calls ? '' : 'fine', ...(calls ? { tool_calls: calls } : {}) }
      const finish_reason = calls ? 'tool_calls' : 'stop'
      if (!streamed) return sendJson(res, 200, reply('', { message: whole, finish_reason }))
      const last = { ...chunk(whole, finish_reason), usage }
      return sendSse(res, sseText([chunk({ role: 'assistant', content: '' }), last]))
    }
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const seen: string[] = []
    const asked = {
      model: 'mistral',
      messages: [{ role: 'user' as const, content: 'Weather?' }],
      tools: [
        {
          type: 'function' as const,
          function: {
            name: 'weather',
            description: 'The weather.',
            parameters: { type: 'object', properties: { city: { type: 'string' } } },
            parse: JSON.parse as (text: string) => { city: string },
            function: ({ city }: { city: string }) => String(seen.push(city)),
          },
        },
      ],
    }
    const { completions } = client.chat
    const runner = streamed ? completions.runTools({ ...asked, stream: true }) : completions.runTools(asked)
    expect(await runner.finalContent()).toBe('fine')
    expect(seen).toEqual(['Paris', 'Tokyo'])
  })

  const thinking = (...texts: string[]) => ({
    type: 'thinking',
    thinking: texts.map((text) => ({ type: 'text', text })),
    closed: true,
  })
  const saying = (text: string) => ({ type: 'text', text })

  it.each([false, true])('C3 thoughts in a list are a text to OpenAI’s SDK, stream: %s', async (streamed) => {
    const message = {
      role: 'assistant',
      content: [thinking('Hm', ', 4.'), saying('{"n":'), saying('4}')],
      tool_calls: null,
    }
    script = (res) => {
      if (!streamed) return sendJson(res, 200, reply('', { message, finish_reason: 'stop' }))
      const deltas: Json[] = [
        { role: 'assistant', content: '' },
        { content: [thinking('Hm')] },
        { content: [thinking(', 4.'), saying('{"n"')] },
        { content: ':' },
        { content: [saying('4}')] },
      ]
      return sendSse(res, sseText([...deltas.map((delta) => chunk(delta)), { ...finishChunk(), usage }]))
    }
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const asked = { model: 'mistral', messages: [{ role: 'user' as const, content: '2+2?' }] }
    const stream = streamed && client.chat.completions.stream(asked)
    let thoughts = ''
    // The helper itself keeps the last piece alone of a field that it does not know.
    if (stream) stream.on('chunk', (piece) => (thoughts += (piece.choices[0]!.delta as Json).reasoning_content ?? ''))
    const { choices } = await (stream ? stream.finalChatCompletion() : client.chat.completions.parse(asked))
    expect(choices[0]!.message.content).toBe('{"n":4}')
    expect(streamed ? thoughts : (choices[0]!.message as unknown as Json).reasoning_content).toBe('Hm, 4.')
  })

  it('C3 a list with anything but thoughts and text stays as it is, and so do those of other vendors', async () => {
    const whole = (content: unknown, more: Json = {}) =>
      reply('', { message: { role: 'assistant', content, ...more }, finish_reason: 'stop' })
    const told = async (model: string, sent: Json) => {
      script = (res) => sendJson(res, 200, sent)
      return JSON.parse((await post(gateway.url + CHAT, ask(model))).text) as Json
    }
    const cited = whole([saying('It is'), { type: 'reference', reference_ids: [1] }])
    expect(await told('mistral', cited)).toEqual(cited)
    const listed = whole([thinking('Hm'), saying('4')])
    expect(await told('m', listed)).toEqual(listed)
    expect(await told('mistral', listed)).toEqual(whole('4', { reasoning_content: 'Hm' }))
    const calling = whole([thinking('Hm')], { tool_calls: [bare[0]] })
    const called = { content: null, reasoning_content: 'Hm', tool_calls: [{ ...bare[0], type: 'function' }] }
    expect(await told('mistral', calling)).toEqual(whole(null, called))
  })

  it('C3 a type and an index are all that such calls get, and each choice counts its own', async () => {
    const choice = (index: number, calls: unknown): Json => ({
      ...chunk({}),
      choices: [{ index, delta: { tool_calls: calls }, finish_reason: null }],
    })
    const [one, two] = bare
    const typed = (call: Json | undefined, index: number): Json => ({ ...call, index, type: 'function' })
    const goesOn = { index: 0, function: { arguments: ' ' } }
    script = (res) =>
      sendSse(
        res,
        sseText([choice(0, [one]), choice(1, [two]), choice(0, [goesOn, two]), choice(0, null), finishChunk()]),
      )
    const { text } = await stream('mistral')
    expect(text).toBe(
      sseText([
        choice(0, [typed(one, 0)]),
        choice(1, [typed(two, 0)]),
        choice(0, [goesOn, typed(two, 1)]),
        choice(0, null),
        finishChunk(),
      ]),
    )
    const whole = (calls: unknown[]) => reply('', { message: { role: 'assistant', content: '', tool_calls: calls } })
    script = (res) => sendJson(res, 200, whole([{ ...one, index: 0 }]))
    expect((await post(gateway.url + CHAT, ask('mistral'))).text).toBe(JSON.stringify(whole([typed(one, 0)])))
    script = (res) => sendSse(res, sseText([choice(0, [one]), finishChunk()]))
    expect((await stream('m')).text).toBe(sseText([choice(0, [one]), finishChunk()]))
  })

  it('C3 of several answers only those with a call are repaired', async () => {
    const choice = (index: number, delta: Json, finish: string | null = null): Json => ({
      ...chunk({}),
      choices: [{ index, delta, finish_reason: finish }],
    })
    const events = (finish: string): Json[] => [
      choice(0, { content: 'text' }),
      choice(1, { tool_calls: [call(0, 'call_a', 'one', '{}')] }),
      choice(0, {}, 'stop'),
      choice(1, {}, finish),
    ]
    script = (res) => sendSse(res, sseText(events('stop')))
    expect((await stream('o', { n: 2 })).text).toBe(sseText(events('tool_calls')))
  })
})

describe('C4 finish reasons', () => {
  const known: [string, string][] = [
    ['stop', 'stop'],
    ['length', 'length'],
    ['MAX_TOKENS', 'length'],
    ['tool_calls', 'tool_calls'],
    ['function_call', 'tool_calls'],
    ['content_filter', 'content_filter'],
    ['SAFETY', 'content_filter'],
    ['RECITATION', 'content_filter'],
    ['refusal', 'content_filter'],
    ['a-word-of-tomorrow', 'stop'],
  ]
  it.each(known)('C4 "%s" passes as it is and is understood as %s', async (raw, meaning) => {
    const events = [...chunks('x').slice(0, -1), finishChunk(raw)]
    script = (res) => sendSse(res, sseText(events))
    expect((await stream()).text).toBe(sseText(events))
    expect(gateway.lines.at(-1)).toMatchObject({ finish: meaning, outcome: 'ok' })
    script = (res) => sendJson(res, 200, reply('x', { finish_reason: raw }))
    expect((await post(gateway.url + CHAT, ask())).status).toBe(200)
    expect(gateway.lines.at(-1)).toMatchObject({ finish: meaning, outcome: 'ok' })
  })

  it('C4 a filtered answer without content is an answer, not a failure', async () => {
    for (const finish of ['content_filter', 'SAFETY', 'length']) {
      script = (res) => sendJson(res, 200, reply(null, { finish_reason: finish }, { usage: undefined }))
      expect((await post(gateway.url + CHAT, ask())).status).toBe(200)
      script = (res) => sendSse(res, sseText([roleChunk, finishChunk(finish)]))
      const { status, text } = await stream()
      expect([status, text]).toEqual([200, sseText([roleChunk, finishChunk(finish)])])
    }
  })

  it('C4 empty parts and "choices": null on the way crash nothing', async () => {
    const events = [
      { ...chunk({}), choices: null },
      { ...chunk({}), choices: [null] },
      { ...chunk({}), choices: [{ index: 0 }] },
      { ...chunk({}), choices: [{ index: 0, delta: null, finish_reason: null }] },
      chunk({ role: 'assistant', content: null, tool_calls: null }),
      chunk({ content: [] }),
      chunk({ content: 'x' }),
      { ...chunk({}), choices: 'odd' },
      finishChunk(),
    ]
    script = (res) => sendSse(res, sseText(events))
    const { status, text } = await stream()
    expect([status, text]).toEqual([200, sseText(events)])
    script = (res) => sendJson(res, 200, reply(null, { message: null, finish_reason: 'length' }))
    expect((await post(gateway.url + CHAT, ask())).status).toBe(200)
  })
})

describe('C7 an error inside the stream', () => {
  const said = { error: { message: 'The engine broke.', type: 'server_error', param: null, code: 'engine' } }
  const begun = event(roleChunk) + event(chunk({ content: 'a' }))
  const ways: Record<string, string> = {
    'as plain data': event(said),
    'as a named event': `event: error\n${event(said)}`,
    'on a chunk with choices': event({ ...chunk({ content: '' }), ...said }),
  }
  for (const [way, frame] of Object.entries(ways)) {
    for (const pieces of [undefined, 1]) {
      it(`C7 ${way}, ${pieces ?? 'all'} bytes at a time: an error frame ends the stream, no [DONE] does`, async () => {
        script = (res) => sendSse(res, begun + frame + DONE, pieces === undefined ? {} : { pieces })
        const { status, text, complete } = await stream()
        expect([status, complete]).toEqual([200, true])
        expect(text.startsWith(begun)).toBe(true)
        const last = JSON.parse(dataOf(text.replaceAll('event: error\n', '')).at(-1)!)
        expect(last.error.message).toBe('The engine broke.')
        expect(text).not.toContain('[DONE]')
        expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial', fault: 'in_band' })
      })
    }
  }

  it('C7 a finish reason "error" and a bare "event: error" are errors too, told in our words', async () => {
    for (const frame of [event(finishChunk('error')), 'event: error\ndata: {}\n\n', 'event: error\ndata\n\n']) {
      script = (res) => sendSse(res, begun + frame + DONE)
      const { text } = await stream()
      expect(text.startsWith(begun)).toBe(true)
      const { error } = JSON.parse(dataOf(text).at(-1)!)
      expect(error).toMatchObject({ type: 'upstream_error', code: 'in_band', param: null })
      expect(text).not.toContain('[DONE]')
    }
  })

  it('C7 an error after the finish still spoils the end', async () => {
    script = (res) => sendSse(res, begun + event(finishChunk()) + event(said) + DONE)
    const { text } = await stream()
    expect(text).not.toContain('[DONE]')
    expect(text).toContain('The engine broke.')
    expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial' })
  })

  it('C7 a stream cut short is not passed off as complete', async () => {
    for (const pieces of [undefined, 1]) {
      script = (res) => sendSse(res, begun, pieces === undefined ? {} : { pieces })
      const { text } = await stream()
      expect(JSON.parse(dataOf(text).at(-1)!).error.code).toBe('cut')
      expect(text).not.toContain('[DONE]')
      expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial', fault: 'cut' })
    }
  })
})

describe('C8 odd beginnings, odd line ends, odd cuts', () => {
  const text = 'naïve – 日本語 🚂🚃'
  const azure = { ...chunk({}), choices: [], prompt_filter_results: [{ prompt_index: 0 }] }
  const events = [azure, ...chunks(text, ' and more')]
  for (const eol of ['\n', '\r\n', '\r'] as const) {
    for (const pieces of [undefined, 1, 7]) {
      it(`C8 line end ${JSON.stringify(eol)}, ${pieces ?? 'all'} bytes at a time: same bytes, same answer`, async () => {
        const sent = sseText(events, { eol })
        script = (res) => sendSse(res, sent, pieces === undefined ? {} : { pieces })
        const exchange = await stream()
        expect(exchange.text).toBe(sent)
        const content = eventsOf(exchange.text).map(({ choices }) => choices[0]?.delta.content ?? '')
        expect(content.join('')).toBe(`${text} and more`)
        expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'ok', finish: 'stop' })
      })

      it(`C8 line end ${JSON.stringify(eol)}, ${pieces ?? 'all'} bytes at a time: edits keep the line ends`, async () => {
        const nulled = events.map((data) => ({ ...data, usage: null }))
        script = (res) =>
          sendSse(res, sseText([...nulled, usageChunk], { eol }), pieces === undefined ? {} : { pieces })
        expect((await stream()).text).toBe(sseText(events, { eol }))
      })
    }
  }

  it('C8 comments and pings pass', async () => {
    const sent = `: ping\n\n${event(roleChunk)}: ping\n\nevent: ping\ndata:\n\n${event(chunk({ content: 'x' }))}:\n\n${event(finishChunk())}${DONE}`
    script = (res) => sendSse(res, sent, { pieces: 5 })
    expect((await stream()).text).toBe(sent)
  })
})

describe('C9 no delay and no batching', () => {
  it('C9 each chunk reaches the client before the upstream sends the next', async () => {
    let begun: (res: ServerResponse) => void
    const opened = new Promise<ServerResponse>((resolve) => {
      begun = resolve
    })
    script = async (res) => {
      openSse(res)
      begun(res)
      await once(res, 'close')
    }
    let text = ''
    let wake = (): void => {}
    const sent = send('POST', gateway.url + CHAT, ask('m', { stream: true }))
    sent.request.once('response', (response) => {
      response.on('data', (bytes: Buffer) => {
        text += bytes.toString()
        wake()
      })
    })
    const has = async (length: number): Promise<void> => {
      while (text.length < length) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    const res = await opened
    const pieces = Array.from({ length: 20 }, (_, index) => event(chunk({ content: `piece ${index} ` })))
    // The upstream sends a piece only when the one before it has been read by the client: any batching is a deadlock, not a delay.
    let written = ''
    for (const piece of pieces) {
      res.write(piece)
      written += piece
      await has(written.length)
      expect(text).toBe(written)
    }
    res.end(event(finishChunk()) + DONE)
    expect((await sent.done).text).toBe(pieces.join('') + event(finishChunk()) + DONE)
  })

  it('C9 the headers come with the first content, not with the end', async () => {
    let finish = (): void => {}
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    script = async (res) => {
      openSse(res)
      res.write(event(chunk({ content: 'x' })))
      await held
      res.end(event(finishChunk()) + DONE)
    }
    const sent = send('POST', gateway.url + CHAT, ask('m', { stream: true }))
    const response = await sent.response
    expect(response.headers).toMatchObject({
      'x-accel-buffering': 'no',
      'cache-control': 'no-cache',
      'x-turnout-lane': 'identity',
    })
    expect(response.headers['content-length']).toBeUndefined()
    finish()
    expect((await sent.done).text).toContain('[DONE]')
  })
})

describe('C20 usage in streams', () => {
  const nulled = (events: Json[]): Json[] => events.map((data) => ({ ...data, usage: null }))
  const events = chunks('a', 'b', 'c', 'd')

  for (const pieces of [undefined, 1, 64]) {
    it(`C20 unasked, ${pieces ?? 'all'} bytes at a time: we ask, and the client sees the stream it would have seen`, async () => {
      script = (res, body) => {
        expect(body.stream_options).toEqual({ include_usage: true })
        return sendSse(res, sseText([...nulled(events), usageChunk]), pieces === undefined ? {} : { pieces })
      }
      expect((await stream()).text).toBe(sseText(events))
      expect(gateway.lines.at(-1)).toMatchObject({ inputTokens: 3, outputTokens: 2 })
    })
  }

  it('C20 asked for by the client, everything passes, and the last chunk has no choices', async () => {
    script = (res) => sendSse(res, sseText([...nulled(events), usageChunk]))
    const { text } = await stream('m', { stream_options: { include_usage: true } })
    expect(text).toBe(sseText([...nulled(events), usageChunk]))
    expect(eventsOf(text).at(-1)).toMatchObject({ choices: [], usage })
    expect(gateway.lines.at(-1)).toMatchObject({ inputTokens: 3, outputTokens: 2 })
  })

  it('C20 other stream options stay, and a client that says false means false', async () => {
    script = (res) => sendSse(res, sseText([...events, usageChunk]))
    const { text } = await stream('m', { stream_options: { include_usage: false, include_obfuscation: false } })
    expect(text).toBe(sseText(events))
    expect(JSON.parse(asked).stream_options).toEqual({ include_usage: true, include_obfuscation: false })
  })

  it('C20 a provider that sends usage unasked is asked for nothing, and nothing is taken out', async () => {
    const sent = sseText([...nulled(events), usageChunk])
    script = (res) => sendSse(res, sent)
    expect((await stream('always')).text).toBe(sent)
    expect(JSON.parse(asked)).not.toHaveProperty('stream_options')
    expect(gateway.lines.at(-1)).toMatchObject({ inputTokens: 3, outputTokens: 2 })
  })

  it('C20 usage on a chunk with choices is read, and left where the vendor put it', async () => {
    const own = [...events.slice(0, -1), { ...finishChunk(), usage }]
    script = (res) => sendSse(res, sseText(own))
    expect((await stream()).text).toBe(sseText(own))
    expect(gateway.lines.at(-1)).toMatchObject({ inputTokens: 3, outputTokens: 2 })
  })

  it('C20 "usage": null goes wherever it stands, and only from the top', async () => {
    const texts = ['one', 'two', 'three', 'four "usage":null', '"usage"']
    const written = (how: (json: string) => string): string =>
      texts
        .map((content) => how(JSON.stringify(chunk({ content, usage: null }))))
        .map(event)
        .join('') +
      event(how(JSON.stringify(finishChunk()))) +
      DONE
    const places: ((json: string) => string)[] = [
      (json) => json.replace('{"id"', '{"usage":null,"id"'),
      (json) => json.replace(',"object"', ',"usage": null,"object"'),
      (json) => json.replace(/}$/, ',"usage":null}'),
      (json) => json.replace(/}$/, ', "usage" : null }'),
    ]
    const plain: ((json: string) => string)[] = [
      (json) => json,
      (json) => json,
      (json) => json,
      (json) => json.replace(/}$/, ' }'),
    ]
    for (const [index, place] of places.entries()) {
      script = (res) => sendSse(res, written(place))
      expect((await stream()).text, `place ${index}`).toBe(written(plain[index]!))
    }
  })

  it("C20 in a whole reply usage is nobody's edit", async () => {
    script = (res) => sendJson(res, 200, reply())
    expect((await post(gateway.url + CHAT, ask())).text).toBe(JSON.stringify(reply()))
    expect(JSON.parse(asked)).not.toHaveProperty('stream_options')
  })
})

describe('pieces', () => {
  it('writes of one byte are whole events for the client', async () => {
    script = async (res) => {
      openSse(res)
      await writePieces(res, piecesOf(sseText(chunks('x')), 1))
      res.end()
    }
    const { pieces } = await stream()
    for (const piece of pieces) expect(piece.toString()).toMatch(/^data: .*\n\n$/s)
  })
})
