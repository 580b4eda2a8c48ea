// Token counting: agreement with another tokenizer and with vendors, deadlines, ratios, and that nothing else waits.
import { readFileSync } from 'node:fs'
import * as cl100k from 'gpt-tokenizer/encoding/cl100k_base'
import * as o200k from 'gpt-tokenizer/encoding/o200k_base'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { upperBoundPromptTokens } from '../src/telemetry/tokens/bound.ts'
import { createTokenCounter, type TokenCounter, type TokenCounterOptions } from '../src/telemetry/tokens/counter.ts'
import { encodingOf } from '../src/telemetry/tokens/encodings.ts'
import { chatOverheadOf, countableOf } from '../src/telemetry/tokens/messages.ts'
import { createRatios } from '../src/telemetry/tokens/ratios.ts'
import fc from './support/seededCheck.ts'
import { hasShared, needsShared, sharedPath } from './support/shared.ts'

/** Patient limits: these tests are about numbers, and the machine may be busy. */
const patient: TokenCounterOptions = { deadline: 15_000, maxWait: 18_000 }

const texts = [
  '',
  'Hello, world!',
  'The quick brown fox jumps over the lazy dog. '.repeat(50),
  'Ünïcödé, 日本語のテキスト, русский текст, العربية, 🙂👩‍👩‍👧‍👦🏳️‍🌈',
  '{"a":[1,2,3.14159,null,true],"b":"\\u00e9\\n"}',
  'function f(x) {\n\treturn x ** 2 // comment\n}\n\n\n   indented   text',
  '1234567890'.repeat(20),
  '<|endoftext|> is text here, and so is <|im_start|>system<|im_end|>',
  "I'll they've DON'T can't IT'S",
  'https://example.com/path?query=1&other=%20#fragment',
  '\r\n\r\n\t\t  \u00a0\u200b',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
]

describe('exact counts', () => {
  const counter = createTokenCounter(patient)
  afterAll(() => counter.close())

  it('agree with another tokenizer', async () => {
    for (const text of texts) {
      for (const [model, oracle] of [
        ['gpt-4o', o200k],
        ['gpt-4-turbo', cl100k],
      ] as const) {
        const expected = oracle.encode(text, { disallowedSpecial: new Set() }).length
        expect(await counter.count({ model, text })).toEqual({
          tokens: expected,
          method: 'exact',
          encoding: model === 'gpt-4o' ? 'o200k_base' : 'cl100k_base',
        })
      }
    }
  })

  it('agree on generated text', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(text, async (generated) => {
        const expected = o200k.encode(generated, { disallowedSpecial: new Set() }).length
        expect((await counter.count({ model: 'gpt-5', text: generated })).tokens).toBe(expected)
      }),
      { numRuns: 60 },
    )
  })

  it('add what OpenAI documents for messages', async () => {
    // 3 to prime + 3 per message + role + content (+ name + 1).
    const messages = [
      { role: 'system', content: 'You are terse.' },
      { role: 'user', name: 'ada', content: [{ type: 'text', text: 'Hi' }] },
    ]
    const of = (text: string): number => o200k.encode(text).length
    const expected = 3 + 3 + of('system') + of('You are terse.') + 3 + of('user') + of('ada') + 1 + of('Hi')
    expect(await counter.count({ model: 'gpt-4o', messages })).toEqual({
      tokens: expected,
      method: 'exact',
      encoding: 'o200k_base',
    })
  })

  it('say how much they could not see', async () => {
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'data:,' } },
          { type: 'text', text: 'What?' },
        ],
      },
      { role: 'assistant', content: null, tool_calls: [{ function: { name: 'f', arguments: '{}' } }] },
    ]
    expect(await counter.count({ model: 'gpt-4o', messages })).toMatchObject({ method: 'exact', uncounted: 2 })
    expect(await counter.count({ model: 'gpt-oss-20b', messages: [{ role: 'user', content: 'Hi' }] })).toMatchObject({
      method: 'ratio',
    })
    expect(countableOf([null, 5, 'x', { role: 7 }])).toEqual({ texts: [], overhead: 6, uncounted: 0 })
  })

  it.skipIf(!hasShared)(`are what OpenAI billed for plain chats${needsShared}`, async () => {
    const wrong: unknown[] = []
    const chats = plainChats()
    for (const { model, messages, billed, source } of chats) {
      const { tokens, method } = await counter.count({ model, messages })
      expect(method).toBe('exact')
      if (tokens !== billed) wrong.push({ source, model, tokens, billed })
    }
    expect(wrong).toEqual([])
    expect(chats.length).toBeGreaterThan(10)
  })
})

describe('the deadline', () => {
  let counter: TokenCounter
  afterEach(() => counter.close())

  it('answers by ratio, gives the worker up, and the next one counts again', async () => {
    counter = createTokenCounter({ ...patient, deadline: 5_000 })
    const worst = 'a'.repeat(400_000)
    expect((await counter.count({ model: 'gpt-4o', text: 'warm' })).method).toBe('exact')
    const [slow, behind] = await Promise.all([
      counter.count({ model: 'gpt-4o', text: worst }),
      counter.count({ model: 'gpt-4o', text: 'behind the slow one' }),
    ])
    expect(slow).toEqual({ tokens: Math.ceil(400_000 / 4.2), method: 'ratio', because: 'deadline' })
    expect(behind).toMatchObject({ method: 'exact', tokens: 4 })
    expect(counter.stats).toMatchObject({ recycled: 1, exact: 2, ratio: 1, queued: 0 })
  })

  it('bounds the queue and the size', async () => {
    counter = createTokenCounter({ ...patient, maxQueue: 3, maxBytes: 1_000 })
    const all = await Promise.all(Array.from({ length: 8 }, () => counter.count({ model: 'gpt-4o', text: 'one two' })))
    expect(all.filter(({ because }) => because === 'queue-full')).toHaveLength(5)
    expect(all.filter(({ method }) => method === 'exact')).toHaveLength(3)
    expect(await counter.count({ model: 'gpt-4o', text: 'x '.repeat(501) })).toMatchObject({ because: 'too-large' })
  })

  it('lets the worker go when there is no work, and starts another one', async () => {
    counter = createTokenCounter({ ...patient, idle: 1 })
    for (let i = 0; i < 3; i++) {
      expect((await counter.count({ model: 'gpt-4o', text: 'one two' })).tokens).toBe(2)
      await vi.waitFor(() => expect(counter.stats.alive).toBe(false), { timeout: 60_000, interval: 2 })
    }
    expect(counter.stats.recycled).toBe(0)
  })

  it('answers what waits when it is closed', async () => {
    counter = createTokenCounter(patient)
    const waiting = Promise.all([1, 2, 3].map(() => counter.count({ model: 'gpt-4o', text: 'x'.repeat(100) })))
    await counter.close()
    for (const { method, because } of await waiting) expect([method, because]).toEqual(['ratio', 'failed'])
    expect(await counter.count({ model: 'gpt-4o', text: 'x' })).toMatchObject({ method: 'ratio' })
  })
})

describe('the event loop', () => {
  it('is not held up by the worst 400 KB', async () => {
    const counter = createTokenCounter({ deadline: 400, maxWait: 18_000 })
    try {
      await counter.count({ model: 'gpt-4o', text: 'warm' })
      // Other programs on the machine can delay a timer too, but not every time; a count on this thread would.
      const delays: number[] = []
      for (let round = 0; round < 20 && (round < 3 || Math.min(...delays) >= 20); round++) {
        const watch = watchDelay()
        const { because } = await counter.count({ model: 'gpt-4o', text: 'a'.repeat(400_000) })
        delays.push(watch.stop())
        expect(because).toBe('deadline')
      }
      // A count on this thread would be one delay of the whole deadline, in every round.
      expect(Math.min(...delays)).toBeLessThan(200)
    } finally {
      await counter.close()
    }
  })
})

describe('encodings', () => {
  it('are known for the models whose encoding is published, and for no others', () => {
    expect(encodingOf('gpt-4o-2024-08-06')).toBe('o200k_base')
    expect(encodingOf('openai/gpt-5-mini')).toBe('o200k_base')
    expect(encodingOf('ft:gpt-4o-mini-2024-07-18:org::id')).toBe('o200k_base')
    expect(encodingOf('o1')).toBe('o200k_base')
    expect(encodingOf('o3-mini')).toBe('o200k_base')
    expect(encodingOf('gpt-4')).toBe('cl100k_base')
    expect(encodingOf('gpt-4-0613')).toBe('cl100k_base')
    expect(encodingOf('gpt-35-turbo')).toBe('cl100k_base')
    expect(encodingOf('text-embedding-3-small')).toBe('cl100k_base')
    expect(encodingOf('text-davinci-003')).toBe('p50k_base')
    for (const other of ['claude-sonnet-4-5', 'gemini-2.5-pro', 'gpt-9', 'o10', 'gpt-45', 'my-o1', '']) {
      expect(encodingOf(other)).toBeUndefined()
    }
  })
})

describe('ratios', () => {
  it('are learnt, and one odd reply does not move them', () => {
    const ratios = createRatios()
    const before = ratios.estimate('my-model', 3_600)
    expect(before).toBe(1_000)
    for (let i = 0; i < 20; i++) ratios.learn('my-model', 2_000 + i, 1_000)
    expect(ratios.ratio('my-model')).toBeCloseTo(2, 1)
    for (let i = 0; i < 5; i++) ratios.learn('my-model', 20_000, 1_000)
    expect(ratios.ratio('my-model')).toBeCloseTo(2, 1)
    expect(ratios.ratio('my-model', 'answer')).toBe(3.6)
  })

  it('follow a lasting change', () => {
    const ratios = createRatios()
    for (let i = 0; i < 100; i++) ratios.learn('m', 4_000, 1_000)
    for (let i = 0; i < 31; i++) ratios.learn('m', 3_000, 1_000)
    expect(ratios.ratio('m')).toBe(3)
  })

  it('ignore prompts of more tokens than bytes: a vendor has put something before them', () => {
    const ratios = createRatios()
    for (let i = 0; i < 20; i++) ratios.learn('m', 300, 700)
    expect(ratios.ratio('m')).toBe(3.6)
    for (let i = 0; i < 20; i++) ratios.learn('m', 300, 700, 'answer')
    expect(ratios.ratio('m', 'answer')).toBeCloseTo(300 / 700)
  })

  it('ignore nonsense and stay bounded', () => {
    const ratios = createRatios(10)
    for (const [bytes, tokens] of [
      [0, 10],
      [10, 0],
      [Number.NaN, 5],
      [1_000_000, 6],
      [24, 1_000_000],
      [-100, -100],
    ] as const) {
      ratios.learn('m', bytes, tokens)
    }
    expect(ratios.size).toBe(0)
    for (let i = 0; i < 1_000; i++) {
      ratios.learn('kept', 2_000, 1_000)
      ratios.learn(`junk-${i}`, 4_000, 1_000)
    }
    expect(ratios.size).toBe(10)
    expect(ratios.ratio('kept')).toBe(2)
    expect(ratios.estimate('kept', 0)).toBe(0)
    expect(ratios.estimate('kept', 1)).toBe(1)
  })

  it('are the median of the last 31, whatever came before', () => {
    const ratios = createRatios()
    const seen = [3.6, 3.6]
    let state = 7
    for (let i = 0; i < 2_000; i++) {
      state = (state * 48_271) % 2_147_483_647
      const bytes = 1_000 + (state % 5_000)
      ratios.learn('m', bytes, 1_000)
      seen.push(bytes / 1_000)
      const last = seen.slice(-31).sort((a, b) => a - b)
      expect(ratios.ratio('m')).toBe(last[last.length >> 1])
    }
  })

  it('forget the model that was not learnt from for longest', () => {
    const ratios = createRatios(3)
    const learn = (...models: string[]) => {
      for (const model of models) for (let i = 0; i < 5; i++) ratios.learn(model, 2_000, 1_000)
    }
    const known = () => ['a', 'b', 'c', 'd', 'e'].filter((model) => ratios.ratio(model) === 2).join('')
    learn('a', 'b', 'c', 'a', 'd')
    expect(known()).toBe('acd')
    learn('c', 'e')
    expect(known()).toBe('cde')
    learn('e', 'd', 'c', 'a')
    expect(known()).toBe('acd')
    ratios.learn('a', 3_000, 1_000, 'answer')
    expect([known(), ratios.size]).toEqual(['acd', 4])
  })

  it('teach the counter', async () => {
    const counter = createTokenCounter()
    for (let i = 0; i < 10; i++) counter.learn('claude-sonnet-4-5', 3_000, 1_000)
    expect(counter.estimate('claude-sonnet-4-5', 600)).toBe(200)
    expect(await counter.count({ model: 'claude-sonnet-4-5', text: 'x'.repeat(600) })).toEqual({
      tokens: 200,
      method: 'ratio',
    })
    await counter.close()
  })
})

describe('the upper bound', () => {
  it('is never below the exact count of a body', () => {
    const message = fc.record({ role: fc.constant('user'), content: fc.string({ unit: 'binary', maxLength: 80 }) })
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 5 }), (messages) => {
        const body = JSON.stringify({ model: 'm', messages })
        const { texts: counted, overhead } = countableOf(messages)
        const tokens = counted.reduce(
          (sum, text) => sum + o200k.encode(text, { disallowedSpecial: new Set() }).length,
          overhead,
        )
        expect(upperBoundPromptTokens(Buffer.byteLength(body))).toBeGreaterThanOrEqual(tokens)
      }),
    )
    expect(upperBoundPromptTokens(10, { tools: true })).toBe(1_034)
  })
})

/** Measures the longest time for which a timer of one millisecond was late. */
function watchDelay(): { stop(): number } {
  let last = performance.now()
  let worst = 0
  const timer = setInterval(() => {
    const now = performance.now()
    worst = Math.max(worst, now - last - 1)
    last = now
  }, 1)
  return {
    stop() {
      clearInterval(timer)
      return Math.max(worst, performance.now() - last - 1)
    },
  }
}

/** Recorded chats of text alone, answered by OpenAI itself, with the prompt tokens that it billed. */
function plainChats(): { source: string; model: string; messages: unknown[]; billed: number }[] {
  const chats: { source: string; model: string; messages: unknown[]; billed: number }[] = []
  for (const line of readFileSync(sharedPath('recordings', 'openai-chat.ndjson'), 'utf8').split('\n')) {
    if (!line) continue
    const { source, request, response } = JSON.parse(line)
    if (!request.url.startsWith('https://api.openai.com/') || response.status !== 200) continue
    const asked = typeof request.body === 'string' ? JSON.parse(request.body) : request.body
    const told = typeof response.body === 'string' ? parsed(response.body) : response.body
    const billed = told?.usage?.prompt_tokens
    if (!billed || asked.tools || asked.functions || asked.response_format || asked.web_search_options) continue
    const plain = asked.messages.every(
      (m: { content: unknown; tool_calls?: unknown }) => typeof m.content === 'string' && !m.tool_calls,
    )
    if (plain && encodingOf(asked.model) && chatOverheadOf(asked.model))
      chats.push({ source, model: asked.model, messages: asked.messages, billed })
  }
  return chats
}

function parsed(body: string): { usage?: { prompt_tokens?: number } } | undefined {
  try {
    return JSON.parse(body)
  } catch {
    return undefined // A stream.
  }
}
