// Cases C2, C12, C59 and C60: what requests must survive, and what must not survive in them.
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ask, CHAT, chunks, reply } from '../support/chatBodies.ts'
import { post } from '../support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from '../support/fakeUpstream.ts'
import { single } from '../support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'
import fc from '../support/seededCheck.ts'

let upstream: FakeUpstream
let gateway: TestGateway
/** Bodies that reached the upstream, as text. */
let arrived: string[] = []

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res: ServerResponse, body) => {
    arrived.push(body.toString())
    return (JSON.parse(body.toString()) as { stream?: boolean }).stream
      ? sendSse(res, sseText(chunks('hello')))
      : sendJson(res, 200, reply())
  })
  gateway = await startGateway({
    ...single,
    providers: { p: upstreamAt(upstream.url) },
    targets: {
      other: { provider: 'p', model: 'another' },
      forced: { provider: 'p', model: 'm', params: { top_k: 5 } },
    },
    routes: {
      m: 'p/m',
      renamed: 'other',
      forced: 'forced',
      lenient: { targets: ['p/m'], toolArguments: 'pass' },
      dear: 'p/dear',
    },
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})
beforeEach(() => {
  arrived = []
})

const chat = (body: unknown) => post(gateway.url + CHAT, body)

describe('C2 malformed tool arguments in the history', () => {
  const history = (...arguments_: unknown[]): unknown[] => [
    { role: 'user', content: 'hi' },
    {
      role: 'assistant',
      content: null,
      tool_calls: arguments_.map((text, at) => ({
        id: `c${at}`,
        type: 'function',
        function: { name: 'f', arguments: text },
      })),
    },
    { role: 'tool', tool_call_id: 'c0', content: 'ok' },
  ]

  it('C2 give a 400 that names the message and the call, and never reach the upstream', async () => {
    for (const broken of ['{"x":', '{x:1}', 'planted words', "{'a':1}", '{"a":1}}', 12, { x: 1 }, ['{}'], true, null]) {
      const { status, text } = await chat(ask('m', { messages: history('{"fine":1}', broken) }))
      expect(status, text).toBe(400)
      const { error } = JSON.parse(text)
      expect(error).toMatchObject({ code: 'invalid_tool_arguments', type: 'invalid_request_error' })
      expect(error.param).toBe('messages[1].tool_calls[1].function.arguments')
      expect(error.message).toContain('messages[1].tool_calls[1]')
      expect(text).not.toContain('planted')
    }
    expect(arrived).toEqual([])
  })

  it('C2 well-formed ones pass, empty ones too, and so do messages of odd forms', async () => {
    for (const fine of ['{}', '{"a":"\\u00e9"}', ' [1] ', 'null', '', undefined]) {
      expect((await chat(ask('m', { messages: history(fine) }))).status, String(fine)).toBe(200)
    }
    for (const calls of [
      null,
      [],
      'odd',
      [null],
      [1],
      ['x'],
      [{}],
      [{ function: null }],
      [{ function: 'f' }],
      [{ type: 'custom', custom: {} }],
    ]) {
      expect(
        (await chat(ask('m', { messages: [{ role: 'assistant', tool_calls: calls }] }))).status,
        JSON.stringify(calls),
      ).toBe(200)
    }
  })

  it('C2 deep or long arguments neither crash nor block', async () => {
    for (const text of [
      '['.repeat(100_000),
      `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
      `"${'x'.repeat(1_000_000)}"`,
    ]) {
      const { status } = await chat(ask('m', { messages: history(text) }))
      expect([200, 400]).toContain(status)
    }
  })

  it('C2 a route may leave the judgement to the upstream', async () => {
    expect((await chat(ask('lenient', { messages: history('{"x":') }))).status).toBe(200)
    expect(arrived).toHaveLength(1)
  })
})

describe('C12 parameters that the client did not set', () => {
  it('C12 are not sent, as null or otherwise', async () => {
    for (const more of [
      {},
      { stream: true },
      { stream: true, stream_options: { include_usage: true } },
      { temperature: 0 },
    ]) {
      for (const model of ['m', 'renamed', 'forced']) {
        arrived = []
        const body = ask(model, more)
        expect((await chat(body)).status).toBe(200)
        const sent = JSON.parse(arrived[0]!) as Record<string, unknown>
        expect(arrived[0]).not.toContain('null')
        const added = Object.keys(sent).filter((key) => !(key in body))
        expect(added.filter((key) => key !== 'stream_options' && key !== 'top_k')).toEqual([])
        expect(added.includes('top_k')).toBe(model === 'forced')
      }
    }
  })

  it('C12 and nulls that the client did set stay its own', async () => {
    const body = ask('m', {
      temperature: null,
      tools: null,
      user: null,
      n: null,
      stream: null,
      stream_options: null,
      max_tokens: null,
    })
    expect((await chat(body)).status).toBe(200)
    expect(arrived[0]).toBe(JSON.stringify(body))
  })
})

describe('C59 smuggling', () => {
  const base = '"messages":[{"role":"user","content":"hi"}]'
  const smuggled: [string, string][] = [
    ['another model', `{"model":"m",${base},"model":"dear"}`],
    ['another model first', `{"model":"dear",${base},"model":"m"}`],
    ['an escaped model', `{"model":"m",${base},"mod\\u0065l":"dear"}`],
    ['a model fully escaped', `{"model":"m",${base},"\\u006d\\u006f\\u0064\\u0065\\u006c":"dear"}`],
    ['a model in capitals', `{"model":"m",${base},"MODEL":"dear"}`],
    ['a model in capitals alone', `{"Model":"dear","model":"m",${base}}`],
    ['a stream', `{"model":"m",${base},"stream":false,"stream":true}`],
    ['a stream with a long s', `{"model":"m",${base},"\u017ftream":true}`],
    ['a stream in capitals alone', `{"model":"m",${base},"Stream":true}`],
    ['max_tokens', `{"model":"m",${base},"max_tokens":1,"max\\u005ftokens":100000}`],
    ['max_tokens in capitals alone', `{"model":"m",${base},"Max_Tokens":100000}`],
    ['max_completion_tokens', `{"model":"m",${base},"max_completion_tokens":1,"max_completion_token\\u0073":100000}`],
    ['n', `{"model":"m",${base},"n":1,"n":100}`],
    ['n in capitals alone', `{"model":"m",${base},"N":100}`],
    ['messages', `{"model":"m",${base},${base}}`],
    [
      'stream_options',
      `{"model":"m",${base},"stream":true,"stream_options":{"include_usage":true},"stream_options":null}`,
    ],
  ]
  it.each(smuggled)('C59 %s gets a 400 and nothing reaches the upstream', async (_what, body) => {
    const { status, text } = await chat(body)
    expect(status, text).toBe(400)
    expect(JSON.parse(text).error.code).toBe('duplicate_key')
    expect(arrived).toEqual([])
  })

  it('C59 what reaches the upstream reads the same for the first-wins, the last-wins and the case-blind reader', async () => {
    const keys = fc.constantFrom(
      'model',
      'mod\\u0065l',
      'Model',
      'stream',
      'STREAM',
      'n',
      '\\u006e',
      'N',
      'max_tokens',
      'top_p',
      'Top_P',
    )
    const values = fc.constantFrom('"m"', '"dear"', 'true', 'false', '1', '2', 'null')
    const bodies = fc
      .array(fc.tuple(keys, values), { maxLength: 4 })
      .map((fields) => `{"model":"m",${base}${fields.map(([key, value]) => `,"${key}":${value}`).join('')}}`)
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        arrived = []
        const { status } = await chat(body)
        expect([200, 400]).toContain(status)
        for (const sent of arrived) {
          const names = [...sent.matchAll(/"((?:model|mod\\u0065l|stream|n|\\u006e|max_tokens))":/gi)].map((match) =>
            String(JSON.parse(`"${match[1]}"`)).toLowerCase(),
          )
          expect(names, sent).toEqual([...new Set(names)])
        }
      }),
      { seed: 20260201, numRuns: 400 },
    )
  })

  it('C59 an escaped key alone is a key like any other, and its value is what is replaced', async () => {
    expect((await chat(`{"mod\\u0065l" : "renamed",${base}}`)).status).toBe(200)
    expect(arrived).toEqual([`{"mod\\u0065l" : "another",${base}}`])
  })
})

describe('C60 JSON errors', () => {
  it('C60 never quote the body, and say where it breaks', async () => {
    const planted = 'planted-prompt-text'
    const broken: [string, string][] = [
      [`{"model":"m","messages":[{"content":"${planted}"}`, 'ends too early'],
      [`{"model":"m","messages":[{"content":"${planted}" x}]}`, 'line 1, column 59'],
      [planted, 'line 1, column 1'],
      [`{"model":"m",\n"messages":[{"content":"${planted}\n"}]}`, 'line 2, column 44'],
      [`{"a":"${planted}",}`, 'line 1, column 28'],
      [`["${planted}"]`, 'must be a JSON object'],
      [`"${planted}"`, 'must be a JSON object'],
      [`{"${planted}":1,"messages":[]}`, 'model parameter'],
      [`{"model":{"${planted}":1}}`, 'expected a string'],
      [`{"model":"m","messages":"${planted}"}`, 'expected an array'],
      [`{"model":"m","messages":["${planted}"]}`, 'messages[0]'],
      [`{"model":"m","messages":[],"stream":"${planted}"}`, 'stream'],
    ]
    for (const [body, hint] of broken) {
      const { status, text, headers } = await chat(body)
      expect(status, text).toBe(400)
      expect(text + JSON.stringify(headers)).not.toContain(planted)
      expect(text).not.toContain('Unexpected token')
      expect(JSON.parse(text).error.message, body).toContain(hint)
    }
    expect(JSON.stringify([gateway.lines, gateway.notes])).not.toContain(planted)
  })
})
