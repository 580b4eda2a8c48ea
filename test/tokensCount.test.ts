// POST /v1/tokens/count over real HTTP: exact counts, counts by ratio, what is refused, and that nobody else waits.
import { get_encoding } from 'tiktoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { get, post, send } from './support/exchange.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { adminKey, appKey, bearer } from './support/ledgerGateway.ts'

let gateway: TestGateway

beforeAll(async () => {
  gateway = await startGateway({
    // Nothing is listening there: a count never goes upstream.
    providers: { openai: upstreamAt('http://127.0.0.1:9'), local: upstreamAt('http://127.0.0.1:9', { kind: 'vllm' }) },
    routes: { chat: ['openai/gpt-4o', 'local/llama'], 'own-*': 'local/*' },
    directModels: true,
    server: { maxBody: '1MB', maxMessages: 50 },
    keys: [
      { name: 'app', key: appKey },
      { name: 'ops', key: adminKey, role: 'admin' },
    ],
  })
})

/** The first count waits for the worker to start, which takes a busy machine longer than a request is patient. */
beforeAll(async () => {
  while ((await count({ model: 'gpt-4o', input: 'warm' })).body.method !== 'exact');
})
afterAll(() => gateway.close())

async function count(body: unknown, key = appKey) {
  const exchange = await post(`${gateway.url}/v1/tokens/count`, body, bearer(key))
  return { status: exchange.status, headers: exchange.headers, body: JSON.parse(exchange.text) }
}

/** What the encoding itself says, in the test's own process. */
function exactly(...texts: string[]): number {
  const encoding = get_encoding('o200k_base')
  try {
    return texts.reduce((sum, text) => sum + encoding.encode_ordinary(text).length, 0)
  } finally {
    encoding.free()
  }
}

const text = 'The quick brown fox — schnell und braun — jumps over 13 lazy dogs. 🦊'

describe('what is counted', () => {
  it('a text, exactly, where the encoding is known', async () => {
    const { status, body, headers } = await count({ model: 'openai/gpt-4o', input: text })
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('application/json')
    expect(body).toEqual({
      object: 'token_count',
      model: 'openai/gpt-4o',
      counted_as: 'gpt-4o',
      tokens: exactly(text),
      method: 'exact',
      encoding: 'o200k_base',
    })
  })

  it('a chat, with what OpenAI puts around messages', async () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', name: 'ann', content: [{ type: 'text', text }] },
    ]
    const { body } = await count({ model: 'gpt-4o', messages })
    // 3 a message, 1 for a name, 3 to open the answer.
    expect(body.tokens).toBe(exactly('system', 'Be brief.', 'user', 'ann', text) + 3 + 3 + 1 + 3)
    expect(body).toMatchObject({ method: 'exact', encoding: 'o200k_base' })
    expect(body.uncounted).toBeUndefined()
    expect((await count({ model: 'gpt-4o', input: messages })).body.tokens).toBe(body.tokens)
  })

  it('several texts, each for itself', async () => {
    const { body } = await count({ model: 'gpt-4o', input: ['hel', 'lo', text] })
    expect(body).toMatchObject({ tokens: exactly('hel') + exactly('lo') + exactly(text), method: 'exact' })
    expect((await count({ model: 'gpt-4o', input: [] })).body.tokens).toBe(0)
  })

  it('a route as its first target, and says so', async () => {
    const { body } = await count({ model: 'chat', input: text })
    expect(body).toMatchObject({ model: 'chat', counted_as: 'gpt-4o', tokens: exactly(text) })
    expect((await count({ model: 'own-model', input: 'x' })).body).toMatchObject({ counted_as: 'own-model' })
    expect((await count({ model: 'local/llama', input: 'x' })).body).toMatchObject({ counted_as: 'llama' })
  })

  it('by ratio where no encoding is known: a number above 0, near the bytes over 4', async () => {
    const { body } = await count({ model: 'local/llama', input: 'word '.repeat(2000) })
    expect(body.method).toBe('ratio')
    expect(body.encoding).toBeUndefined()
    expect(body.tokens).toBeGreaterThan(1000)
    expect(body.tokens).toBeLessThan(10_000)
  })

  it('says how much it left out: pictures and tool definitions', async () => {
    const { body } = await count({
      model: 'gpt-4o',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(10_000)}` } },
          ],
        },
      ],
      tools: [{ type: 'function', function: { name: 'look' } }],
    })
    expect(body.uncounted).toBe(2)
    expect(body.tokens).toBeLessThan(50)
  })
})

describe('what is refused', () => {
  it('needs a key, of any role', async () => {
    for (const headers of [{}, bearer('sk-test-wrong-key-0123456789')]) {
      const exchange = await post(`${gateway.url}/v1/tokens/count`, { model: 'gpt-4o', input: 'x' }, headers)
      expect([exchange.status, JSON.parse(exchange.text).error.code]).toEqual([401, 'invalid_api_key'])
    }
    expect((await count({ model: 'gpt-4o', input: 'x' }, adminKey)).status).toBe(200)
  })

  it.each([
    ['{"model": "gpt-4o", oops', 400, 'invalid_json', null],
    [[], 400, 'invalid_type', null],
    [{ input: 'x' }, 400, 'missing_required_parameter', 'model'],
    [{ model: 7, input: 'x' }, 400, 'invalid_type', 'model'],
    [{ model: 'gpt-4o' }, 400, 'missing_required_parameter', 'messages'],
    [{ model: 'gpt-4o', input: 'x', messages: [] }, 400, 'invalid_value', 'input'],
    [{ model: 'gpt-4o', messages: 'x' }, 400, 'invalid_type', 'messages'],
    [{ model: 'gpt-4o', messages: ['x'] }, 400, 'invalid_type', 'messages[0]'],
    [{ model: 'gpt-4o', messages: [{ content: 'x' }] }, 400, 'missing_required_parameter', 'messages[0].role'],
    [{ model: 'gpt-4o', messages: [{ role: 'user', content: 7 }] }, 400, 'invalid_type', 'messages[0].content'],
    [{ model: 'gpt-4o', input: 7 }, 400, 'invalid_type', 'input'],
    [{ model: 'gpt-4o', input: ['x', 7] }, 400, 'invalid_type', 'input[0]'],
    [{ model: 'gpt-4o', input: [[1, 2]] }, 400, 'missing_required_parameter', 'input[0].role'],
    [{ model: 'gpt-4o', input: 'x', tools: {} }, 400, 'invalid_type', 'tools'],
    [{ model: 'gpt-4o', input: Array(51).fill('x') }, 400, 'too_many_messages', 'input'],
    [{ model: 'unheard-of', input: 'x' }, 404, 'model_not_found', 'model'],
    [{ model: 'gpt-4o', input: 'x'.repeat(1_100_000) }, 413, 'request_too_large', null],
  ])('%j', async (body, status, code, param) => {
    const answer = await count(body)
    expect([answer.status, answer.body.error.code, answer.body.error.param]).toEqual([status, code, param])
  })

  it('takes POST alone', async () => {
    const exchange = await get(`${gateway.url}/v1/tokens/count`, bearer(appKey))
    expect([exchange.status, exchange.headers.allow]).toEqual([405, 'POST'])
  })
})

describe('time', () => {
  it('counts 400 KB of one unbroken run by ratio while others are answered', async () => {
    let longest = Number.POSITIVE_INFINITY
    // A busy machine lets others wait in some rounds, a count in the gateway's own thread would in all of them.
    for (let round = 0; round < 10 && longest >= 400; round++) {
      const slow = count({ model: 'gpt-4o', input: 'a'.repeat(400_000) })
      let done = false
      void slow.finally(() => {
        done = true
      })
      const waits: number[] = []
      while (!done) {
        const start = performance.now()
        await send('GET', `${gateway.url}/health`).done
        waits.push(performance.now() - start)
      }
      expect((await slow).body).toMatchObject({ method: 'ratio', because: 'deadline' })
      longest = Math.max(...waits)
    }
    // The worker is given 750 ms: one that counted in the gateway's own thread would show as one wait of that length.
    expect(longest).toBeLessThan(400)
    // The next worker may need more than the patience of a request until it has begun.
    await expect
      .poll(async () => (await count({ model: 'gpt-4o', input: text })).body)
      .toMatchObject({ tokens: exactly(text), method: 'exact' })
  })
})
