// Cases C1, C4, C5, C8, C20, C22, C23 and C42 through the whole gateway to Anthropic and Gemini: what the client reads, and the ledger's rows.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../../src/simulator/index.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { type Answer, chat } from '../support/chatClient.ts'
import { dataOf, eventsOf, post } from '../support/exchange.ts'
import {
  type FakeUpstream,
  namedEvent,
  piecesOf,
  sendJson,
  sendSse,
  startFakeUpstream,
} from '../support/fakeUpstream.ts'
import { readStream } from '../support/hubReply.ts'
import { vendorsAt } from '../support/hubVendors.ts'
import { openAiValidators } from '../support/openaiSchema.ts'
import { type RecordedGateway, startRecordedGateway } from '../support/recordedGateway.ts'
import { hasShared } from '../support/shared.ts'

type Json = Record<string, unknown>

const vendors = ['anthropic', 'gemini'] as const
const tools = [
  {
    type: 'function',
    function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] } },
  },
]
const calls = [
  { name: 'one', arguments: { x: 1, text: 'é 🚂 "quoted"' } },
  { name: 'two', arguments: { y: [2, { z: null }] } },
  { name: 'three', arguments: {} },
]

const scripts: Record<string, Script> = {
  calls: { toolCalls: calls },
  'calls-whole': { toolCalls: calls, fragmented: false },
  'calls-1': { toolCalls: calls, split: 1 },
  thinking: { reasoningTokens: 9, redactedThinking: true, text: 'Zürich 東京 🚂.' },
  'thinking-calls': { reasoningTokens: 9, toolCalls: calls, text: 'I look it up.' },
  empty: { fault: { kind: 'emptySuccess' } },
  eaten: { reasoningTokens: 50 },
  blocked: { blockReason: 'PROHIBITED_CONTENT' },
  ...Object.fromEntries(
    ['\n', '\r\n', '\r'].flatMap((lineEnding, at) =>
      [undefined, 1, 7].map((split) => [
        `framing-${at}-${split ?? 0}`,
        { lineEnding, split, tokens: 30, reasoningTokens: 5 },
      ]),
    ),
  ),
}

let simulator: Simulator
let gateway: RecordedGateway
beforeAll(async () => {
  simulator = await startSimulator({ scripts })
  gateway = await startRecordedGateway({
    providers: vendorsAt(simulator.url),
    routes: Object.fromEntries(
      vendors.map((vendor) => [`empty-${vendor}`, { targets: [`${vendor}/empty`], retries: { attempts: 1 } }]),
    ),
    directModels: true,
    prices: {
      '*': { input: 1, cacheRead: 0.1, cacheWrite5m: 1.25, cacheWrite1h: 2, output: 4, reasoning: 5, audioIn: 7 },
    },
  })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

const stream = async (model: string, more: Json = {}): Promise<string> =>
  (await post(gateway.url + CHAT, ask(model, { stream: true, ...more }))).text
/** Reads a stream as a strict client: schema of every chunk, one identity, the role first, indices in order. */
const read = (text: string) => {
  const any = Object.assign(() => true, { errors: null }) as never
  return readStream(text, hasShared ? openAiValidators() : { reply: any, chunk: any, error: any, request: any })
}

describe.each(vendors)('%s', (vendor) => {
  describe('C1 parallel tool calls', () => {
    it.each(['calls', 'calls-whole', 'calls-1'])(
      '%s: distinct, ascending indices; arguments that parse',
      async (model) => {
        const view = read(await stream(`${vendor}/${model}`, { tools }))
        expect(view.calls.map(({ name, arguments: text }) => ({ name, arguments: JSON.parse(text) }))).toEqual(calls)
        expect(new Set(view.calls.map(({ id }) => id)).size).toBe(3)
        expect([view.finish, view.done]).toEqual(['tool_calls', true])
        const { message, finish } = await chat(gateway.url, ask(`${vendor}/${model}`, { tools }))
        expect(
          message.tool_calls?.map((call) => [call.type, call.function.name, JSON.parse(call.function.arguments)]),
        ).toEqual(calls.map((call) => ['function', call.name, call.arguments]))
        expect(finish).toBe('tool_calls')
      },
    )
  })

  describe('C4 finish reasons', () => {
    const words: [string, string][] =
      vendor === 'anthropic'
        ? [
            ['end_turn', 'stop'],
            ['max_tokens', 'length'],
            ['refusal', 'content_filter'],
            ['pause_turn', 'stop'],
            ['model_context_window_exceeded', 'length'],
            ['new_word', 'stop'],
          ]
        : [
            ['STOP', 'stop'],
            ['MAX_TOKENS', 'length'],
            ['SAFETY', 'content_filter'],
            ['RECITATION', 'content_filter'],
            ['PROHIBITED_CONTENT', 'content_filter'],
            ['NEW_WORD', 'stop'],
          ]
    it.each(words)('%s is %s', async (word, reason) => {
      simulator.script('ending', { finishReason: word })
      for (const streams of [false, true]) {
        const answer = await chat(gateway.url, ask(`${vendor}/ending`, { stream: streams }))
        expect([answer.status, answer.finish, answer.native, answer.done]).toEqual([200, reason, word, true])
      }
    })

    it('a prompt that is refused is a filtered answer with nothing in it', async () => {
      for (const streams of [false, true]) {
        const answer = await chat(gateway.url, ask(`${vendor}/blocked`, { stream: streams }))
        expect([answer.status, answer.finish, answer.done]).toEqual([200, 'content_filter', true])
        expect(answer.message.content ?? '').toBe('')
        const native = vendor === 'gemini' ? 'PROHIBITED_CONTENT' : 'refusal'
        expect(answer.native).toBe(native)
      }
    })

    it('a stop sequence is told', async () => {
      const body = ask(`${vendor}/any`, { stop: ['“'] })
      expect(await chat(gateway.url, body)).toMatchObject({ finish: 'stop', message: { content: 'You said ' } })
    })
  })

  describe('C5 blocks in order, nothing lost where they change', () => {
    it('thoughts, text and calls of one answer', async () => {
      const body = { tools, reasoning_effort: 'low', stream_options: { include_usage: true } }
      const whole = await chat(gateway.url, ask(`${vendor}/thinking-calls`, { ...body, stream_options: undefined }))
      const view = read(await stream(`${vendor}/thinking-calls`, body))
      expect(view.content).toBe('I look it up.')
      expect(view.reasoning).toBe(whole.message.reasoning_content)
      expect(view.reasoning.length).toBeGreaterThan(9)
      expect(view.calls).toHaveLength(3)
      expect(view.finish).toBe('tool_calls')
      const kinds = (details: unknown[] = []) => details.map((detail) => (detail as Json).type)
      expect(kinds(view.details)).toEqual(kinds(whole.message.reasoning_details))
    })

    it('thoughts come before the text that they led to', async () => {
      const events = eventsOf(await stream(`${vendor}/thinking`, { reasoning_effort: 'low' }))
      const kinds = events.flatMap(({ choices: [choice] }) =>
        Object.keys(choice.delta).filter((name) => name !== 'role' && choice.delta.role === undefined),
      )
      const changes = kinds.filter((kind, at) => kind !== kinds[at - 1])
      expect(changes).toEqual(
        vendor === 'anthropic'
          ? ['reasoning_details', 'reasoning_content', 'reasoning_details', 'content']
          : ['reasoning_content', 'reasoning_details', 'content', 'reasoning_details'],
      )
    })
  })

  describe('C8 odd framing', () => {
    it('LF, CRLF and CR; whole, by 1 and by 7 bytes: the same answer', async () => {
      const seen = new Set<string>()
      for (const at of [0, 1, 2]) {
        for (const split of [0, 1, 7]) {
          const {
            id: _,
            model: __,
            ...view
          } = read(await stream(`${vendor}/framing-${at}-${split}`, { reasoning_effort: 'low' }))
          seen.add(JSON.stringify(view))
        }
      }
      expect(seen.size).toBe(1)
      expect(JSON.parse([...seen][0]!)).toMatchObject({
        finish: 'stop',
        done: true,
        content: expect.stringMatching(/^You said “hi”/),
      })
    })
  })

  describe('C8 the first delta', () => {
    it.each([
      ['no text before a call', 'calls', { tools }, null],
      ['no text before thoughts', 'thinking', { reasoning_effort: 'low' }, null],
      ['an empty text before a text', 'any', {}, ''],
    ])('has the role and %s', async (_, model, more, content) => {
      const [first] = eventsOf(await stream(`${vendor}/${model}`, more))
      expect(first.choices[0].delta).toEqual({ role: 'assistant', content, refusal: null })
    })
  })

  describe('C20 usage in streams', () => {
    it('not asked for: no trace of it, and the ledger has it all the same', async () => {
      const { text, headers } = await post(gateway.url + CHAT, ask(`${vendor}/any`, { stream: true }))
      expect(text).not.toContain('usage')
      expect(eventsOf(text).every(({ choices }) => choices.length === 1)).toBe(true)
      const { attempts } = await gateway.rowsOf(String(headers['x-request-id']))
      expect(attempts[0]).toMatchObject({ output: simulator.calls[0]!.completionTokens, estimated: 0 })
    })

    it('asked for: one chunk with no choices, the last one', async () => {
      const data = dataOf(await stream(`${vendor}/any`, { stream_options: { include_usage: true } }))
      const chunks = data.slice(0, -1).map((text) => JSON.parse(text))
      expect(data.at(-1)).toBe('[DONE]')
      expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true)
      const { promptTokens, completionTokens } = simulator.calls[0]!
      expect(chunks.at(-1)).toMatchObject({
        choices: [],
        usage: {
          prompt_tokens: promptTokens,
          completion_tokens: completionTokens,
          total_tokens: promptTokens + completionTokens,
        },
      })
    })
  })

  describe('C22 and C23 token classes', () => {
    const usage =
      vendor === 'anthropic'
        ? {
            promptTokens: 1000,
            cachedTokens: 300,
            cacheWriteTokens: 200,
            cacheWrite1hTokens: 50,
            completionTokens: 90,
            reasoningTokens: 30,
          }
        : { promptTokens: 1000, cachedTokens: 300, audioInTokens: 40, completionTokens: 90, reasoningTokens: 30 }
    const row =
      vendor === 'anthropic'
        ? {
            input: 500,
            cache_read: 300,
            cache_write_5m: 150,
            cache_write_1h: 50,
            output: 60,
            reasoning: 30,
            audio_in: 0,
          }
        : { input: 660, cache_read: 300, cache_write_5m: 0, cache_write_1h: 0, output: 60, reasoning: 30, audio_in: 40 }
    // USD per million tokens are nano-USD for a thousandth of a token.
    const nanoUsd =
      1000 *
      (row.input +
        0.1 * row.cache_read +
        1.25 * row.cache_write_5m +
        2 * row.cache_write_1h +
        4 * row.output +
        5 * row.reasoning +
        7 * row.audio_in)

    it.each([false, true])('partition prompt and output, at custom prices; stream: %s', async (streams) => {
      simulator.script('counted', { usage, reasoningTokens: 4 })
      const body = ask(`${vendor}/counted`, {
        stream: streams,
        reasoning_effort: 'low',
        ...(streams ? { stream_options: { include_usage: true } } : {}),
      })
      const answer: Answer = await chat(gateway.url, body)
      expect(answer.usage).toMatchObject({
        prompt_tokens: 1000,
        completion_tokens: 90,
        total_tokens: 1090,
        prompt_tokens_details: { cached_tokens: 300, audio_tokens: row.audio_in },
        completion_tokens_details: { reasoning_tokens: 30 },
      })
      const { attempts } = await gateway.rowsOf(String(answer.headers['x-request-id']))
      expect(attempts).toMatchObject([{ ...row, audio_out: 0, estimated: 0, cost: nanoUsd, price_source: 'config' }])
      if (!streams) expect(Number(answer.headers['x-turnout-cost-usd'])).toBeCloseTo(nanoUsd / 1e9, 12)
    })
  })

  describe('C42 emptiness dressed as success', () => {
    it.each([false, true])('nothing said and nothing counted is a failure; stream: %s', async (streams) => {
      const { status, headers, text } = await post(gateway.url + CHAT, ask(`empty-${vendor}`, { stream: streams }))
      expect([status, headers['x-turnout-error']]).toEqual([502, 'empty'])
      expect(JSON.parse(text).error).toMatchObject({ type: 'upstream_error', code: expect.any(String) })
    })

    it.each([false, true])('thoughts that ate the cap are "length" with nothing said; stream: %s', async (streams) => {
      const answer = await chat(
        gateway.url,
        ask(`${vendor}/eaten`, { stream: streams, reasoning_effort: 'low', max_completion_tokens: 20 }),
      )
      expect([answer.status, answer.finish, answer.done, answer.message.content]).toEqual([200, 'length', true, ''])
      const { attempts } = await gateway.rowsOf(String(answer.headers['x-request-id']))
      expect(attempts[0]).toMatchObject({ output: 0, reasoning: 20 })
    })
  })
})

describe('what the simulator does not do', () => {
  let upstream: FakeUpstream
  let own: RecordedGateway
  let reply: (path: string) => Json | string
  beforeAll(async () => {
    upstream = await startFakeUpstream((req, res) => {
      const body = reply(req.url ?? '')
      return typeof body === 'string' ? sendSse(res, body, { pieces: 3 }) : sendJson(res, 200, body)
    })
    own = await startRecordedGateway({ providers: vendorsAt(upstream.url), directModels: true })
  })
  afterAll(async () => {
    await own?.close()
    await upstream?.close()
  })

  it('C4 candidates: null, no parts at all, content without a role: no crash', async () => {
    for (const candidates of [null, undefined, []]) {
      reply = () => ({ candidates, usageMetadata: { promptTokenCount: 3, totalTokenCount: 3 } }) as Json
      expect((await chat(own.url, ask(`gemini/a${String(candidates)}`))).status).toBe(502)
    }
    reply = () => ({
      candidates: [{ content: {}, finishReason: 'STOP' }],
      usageMetadata: { promptTokenCount: 3, totalTokenCount: 3 },
    })
    expect(await chat(own.url, ask('gemini/b'))).toMatchObject({
      status: 200,
      finish: 'stop',
      message: { content: '' },
    })
  })

  it('C5 a second message_start does no harm; a second message is an error and not a mixture', async () => {
    const start = (id: string) =>
      namedEvent('message_start', {
        type: 'message_start',
        message: {
          id,
          type: 'message',
          role: 'assistant',
          model: 'c',
          content: [],
          usage: { input_tokens: 3, output_tokens: 1 },
        },
      })
    const text = (index: number, said: string) =>
      namedEvent('content_block_start', {
        type: 'content_block_start',
        index,
        content_block: { type: 'text', text: '' },
      }) +
      namedEvent('content_block_delta', {
        type: 'content_block_delta',
        index,
        delta: { type: 'text_delta', text: said },
      }) +
      namedEvent('content_block_stop', { type: 'content_block_stop', index })
    const end =
      namedEvent('message_delta', {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn' },
        usage: { output_tokens: 4 },
      }) + namedEvent('message_stop', { type: 'message_stop' })
    reply = () => start('m1') + start('m1') + text(0, 'Hello ') + text(1, 'there') + end
    expect(await chat(own.url, ask('anthropic/a', { stream: true }))).toMatchObject({
      message: { content: 'Hello there' },
      done: true,
      finish: 'stop',
    })
    reply = () => start('m1') + text(0, 'Hello') + start('m2') + text(0, 'Other') + end
    const mixed = await chat(own.url, ask('anthropic/b', { stream: true }))
    expect(mixed).toMatchObject({ message: { content: 'Hello' }, done: false, error: { code: 'garbage' } })
  })

  it('C8 bytes cut through characters, in pieces of every size', async () => {
    const said = 'Zürich 東京 🚂 café'
    const frame = `data: ${JSON.stringify({ candidates: [{ content: { role: 'model', parts: [{ text: said }] }, finishReason: 'STOP', index: 0 }], usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 9, totalTokenCount: 12 } })}\r\n\r\n`
    expect(piecesOf(frame, 3).length).toBeGreaterThan(50)
    reply = () => frame
    expect((await chat(own.url, ask('gemini/c', { stream: true }))).message.content).toBe(said)
  })
})
