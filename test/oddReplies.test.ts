// Replies that are right but for their wrapping: compressed although nobody asked, called by another name, with a mark in front.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { brotliCompressSync, constants, createGzip, deflateSync, gzipSync } from 'node:zlib'
import OpenAI, { type APIError } from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type FakeUpstream, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { vendorsAt } from './support/hubVendors.ts'

const key = 'tk-test-odd-replies-012345'
const words = 'A turnout – eine Weiche 🛤️. '.repeat(200)

const facts = { id: 'chatcmpl-1', created: 1, model: 'm' }
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const whole = JSON.stringify({
  ...facts,
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: words }, finish_reason: 'stop' }],
  usage,
})
const chunk = (delta: object, finish_reason: string | null = null) => ({
  ...facts,
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, finish_reason }],
})
const message = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-x',
  content: [{ type: 'text', text: words }],
  stop_reason: 'end_turn',
  usage: { input_tokens: 1, output_tokens: 2 },
})
const failed = JSON.stringify({
  error: { message: 'Too odd.', type: 'invalid_request_error', param: null, code: 'odd' },
})

const compress = {
  gzip: (text: string) => gzipSync(text),
  'x-gzip': (text: string) => gzipSync(text),
  deflate: (text: string) => deflateSync(text),
  br: (text: string) => brotliCompressSync(text),
}
type Encoding = keyof typeof compress
const encodings = Object.keys(compress) as Encoding[]

interface Odd {
  status?: number
  headers: Record<string, string>
  body?: Buffer | string
  /** Compressed and flushed one by one, the next one when the client has the last. */
  pieces?: readonly string[]
  /** The connection breaks when all of it was sent. */
  breaks?: boolean
}

let odd: Odd
let heard: (() => void) | undefined
let upstream: FakeUpstream
let gateway: TestGateway
let client: OpenAI

beforeAll(async () => {
  upstream = await startFakeUpstream(async (_req, res) => {
    res.writeHead(odd.status ?? 200, odd.headers)
    if (odd.breaks) return void res.write(odd.body, () => res.destroy())
    if (!odd.pieces) return void res.end(odd.body)
    const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    gzip.pipe(res)
    for (const piece of odd.pieces.slice(0, -1)) {
      const got = new Promise<void>((resolve) => {
        heard = resolve
      })
      gzip.write(piece)
      await got
    }
    gzip.end(odd.pieces.at(-1))
  })
  gateway = await startGateway(
    {
      providers: { vendor: upstreamAt(upstream.url, { kind: 'vllm' }), ...vendorsAt(upstream.url) },
      directModels: true,
    },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 0 })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

/** A model of its own for each call, so that no failure shuts the next one out. */
let models = 0
const body = (provider = 'vendor') => ({
  model: `${provider}/m${models++}`,
  messages: [{ role: 'user' as const, content: 'x' }],
})
const ask = async (provider?: string) => {
  const { data, response } = await client.chat.completions.create(body(provider)).withResponse()
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('content-encoding')).toBeNull()
  return data.choices[0]?.message.content
}
async function* listen() {
  for await (const { choices } of await client.chat.completions.create({ ...body(), stream: true }))
    yield choices[0]?.delta.content ?? ''
}

const json = 'application/json'

it('a reply that is none, and a status that HTTP does not have, are told as what they are', async () => {
  odd = { status: 204, headers: {} }
  await expect(ask()).rejects.toMatchObject({
    status: 502,
    code: 'garbage',
    message: expect.stringContaining('answered 204 without a body'),
  })
  for (const status of [600, 999]) {
    odd = { status, headers: { 'content-type': json }, body: failed }
    await expect(ask()).rejects.toMatchObject({ status: 502, code: 'odd' })
  }
})

it.each(encodings)('a whole reply in %s, on either lane', async (encoding) => {
  const headers = { 'content-type': json, 'content-encoding': encoding }
  odd = { headers, body: compress[encoding](whole) }
  expect(await ask()).toBe(words)
  odd = { headers, body: compress[encoding](message) }
  expect(await ask('anthropic')).toBe(words)
})

it.each(encodings)('a stream in %s', async (encoding) => {
  const text = sseText([chunk({ role: 'assistant', content: words }), chunk({ content: ' End.' }), chunk({}, 'stop')])
  odd = {
    headers: { 'content-type': 'text/event-stream', 'content-encoding': encoding },
    body: compress[encoding](text),
  }
  const pieces: string[] = []
  for await (const piece of listen()) pieces.push(piece)
  expect(pieces.join('')).toBe(`${words} End.`)
})

it('a compressed stream comes as it is written, not at its end', async () => {
  const frames = ['One', ' two', ' three'].map((content) => sseText([chunk({ content })], { done: false }))
  const headers = { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }
  odd = { headers, pieces: [...frames, sseText([chunk({}, 'stop')])] }
  const pieces: string[] = []
  for await (const piece of listen()) {
    pieces.push(piece)
    heard?.()
  }
  expect(pieces).toEqual(['One', ' two', ' three', ''])
})

it.each(encodings)('an error in %s', async (encoding) => {
  odd = {
    status: 400,
    headers: { 'content-type': json, 'content-encoding': encoding },
    body: compress[encoding](failed),
  }
  await expect(ask()).rejects.toMatchObject({ status: 400, code: 'odd', message: '400 Too odd.' })
})

it('what is compressed in another way, or not as it says, is a failure that says so', async () => {
  odd = { headers: { 'content-type': json, 'content-encoding': 'zstd' }, body: 'x' }
  await expect(ask()).rejects.toMatchObject({
    status: 502,
    code: 'garbage',
    message: expect.stringContaining("'zstd'"),
  })
  odd = { headers: { 'content-type': json, 'content-encoding': 'gzip' }, body: gzipSync(whole).subarray(0, 60) }
  await expect(ask()).rejects.toMatchObject({
    status: 502,
    code: 'garbage',
    message: expect.stringMatching(/valid gzip/),
  })
})

it.each(['gzip', 'utf-8', 'none', 'identity'])(
  'what is not compressed is taken as it is although it is called %s',
  async (encoding) => {
    odd = { headers: { 'content-type': json, 'content-encoding': encoding }, body: whole }
    expect(await ask()).toBe(words)
  },
)

it.each([
  ['zstd', 'x'],
  ['gzip', ''],
  ['gzip', gzipSync(failed).subarray(0, 30)],
  ['br', failed],
] as const)('a refusal stays one, whatever wrapping nobody can read it has: %s', async (encoding, said) => {
  const headers = { 'content-type': json, 'content-encoding': encoding, 'retry-after': '7' }
  odd = { status: 429, headers, body: said as string }
  await expect(ask()).rejects.toMatchObject({ status: 429 })
  expect(gateway.lines.at(-1)).toMatchObject({ status: 429, fault: 'rate_limited', attempts: 1 })
})

it('a refusal stays one where its connection breaks in the middle of its words', async () => {
  const headers = { 'content-type': json, 'content-length': '1000', 'retry-after': '7' }
  odd = { status: 429, headers, body: failed.slice(0, 20), breaks: true }
  await expect(ask()).rejects.toMatchObject({ status: 429 })
  expect(gateway.lines.at(-1)).toMatchObject({ status: 429, fault: 'rate_limited', attempts: 1 })
  odd = { status: 400, headers, body: failed.slice(0, 20), breaks: true }
  await expect(ask()).rejects.toMatchObject({ status: 400 })
  expect(gateway.lines.at(-1)).toMatchObject({ status: 400, fault: 'bad_request', attempts: 1 })
})

it.each([
  [
    'answers with what is not HTTP',
    'http',
    (socket: Socket) => socket.end('220 mail.example.com ESMTP\r\n'),
    'garbage',
  ],
  [
    'says to go on with what has been sent',
    'http',
    (socket: Socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'),
    'garbage',
  ],
  ['hangs up in the middle of the TLS handshake', 'https', (socket: Socket) => socket.destroy(), 'dial_failed'],
] as const)('a server that %s is told as one', async (_what, scheme, answer, fault) => {
  const server = createServer((socket) => socket.once('data', () => answer(socket)))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const wrong = await startGateway(
    {
      providers: { vendor: upstreamAt(`${scheme}://127.0.0.1:${port}`) },
      directModels: true,
      prices: { '*': { input: 1, output: 1 } },
    },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  try {
    const asked = new OpenAI({ baseURL: `${wrong.url}/v1`, apiKey: key, maxRetries: 0 }).chat.completions.create(body())
    const error = await asked.catch((refused: APIError) => refused)
    expect(error).toMatchObject({ status: 502, code: fault })
    // No word of the request went to whoever was never spoken to.
    expect((error as APIError).headers?.get('x-turnout-cost-usd') === '0').toBe(fault === 'dial_failed')
  } finally {
    await wrong.close()
    server.close()
  }
})

it('a compressed stream whose connection breaks after its end is whole', async () => {
  const text = sseText([chunk({ role: 'assistant', content: words }), chunk({}, 'stop')])
  const headers = { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }
  odd = { headers, body: gzipSync(text), breaks: true }
  const pieces: string[] = []
  for await (const piece of listen()) pieces.push(piece)
  expect(pieces.join('')).toBe(words)
})

it('a compressed reply is held to its size when it is inflated', async () => {
  const small = await startGateway(
    { server: { maxReply: '1MB' }, providers: { vendor: upstreamAt(upstream.url) }, directModels: true },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  try {
    odd = {
      headers: { 'content-type': json, 'content-encoding': 'gzip' },
      body: gzipSync(' '.repeat(3_000_000) + whole),
    }
    const asked = new OpenAI({ baseURL: `${small.url}/v1`, apiKey: key, maxRetries: 0 }).chat.completions.create(body())
    await expect(asked).rejects.toMatchObject({ status: 502, code: 'too_large' })
  } finally {
    await small.close()
  }
})

it.each(['text/plain; charset=utf-8', 'application/octet-stream', 'text/html', 'text/json', 'Application/JSON'])(
  'a whole reply that is called %s is JSON to the client',
  async (type) => {
    odd = { headers: { 'content-type': type }, body: whole }
    expect(await ask()).toBe(words)
  },
)

it.each(['application/json; charset=utf-8', 'application/vnd.vendor+json'])('%s passes as it is', async (type) => {
  odd = { headers: { 'content-type': type }, body: whole }
  const { response } = await client.chat.completions.create(body()).withResponse()
  expect(response.headers.get('content-type')).toBe(type)
})

it('a stream that is called JSON is a stream to the client', async () => {
  const headers = { 'content-type': json }
  const frames = [chunk({ role: 'assistant', content: words }), chunk({ content: ' End.' }), chunk({}, 'stop')]
  odd = { headers, body: `: hello\n\n${sseText(frames)}` }
  const { data, response } = await client.chat.completions.create({ ...body(), stream: true }).withResponse()
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
  const pieces: string[] = []
  for await (const { choices } of data) pieces.push(choices[0]?.delta.content ?? '')
  expect(pieces.join('')).toBe(`${words} End.`)
  // One that breaks off is no answer, and can still be asked for elsewhere.
  odd = { headers, body: sseText(frames.slice(0, 2), { done: false }) }
  await expect(client.chat.completions.create({ ...body(), stream: true })).rejects.toMatchObject({
    status: 502,
    code: 'cut',
  })
  odd = { headers, body: `data: ${failed}\n\n` }
  await expect(client.chat.completions.create({ ...body(), stream: true })).rejects.toMatchObject({ code: 'odd' })
})

it.each([undefined, 'text/plain', 'application/octet-stream', 'text/html'])(
  'a whole reply to who asked for a stream is one where it is called %s',
  async (type) => {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type }
    for (const mark of ['', '\ufeff', '\n ']) {
      odd = { headers, body: mark + whole }
      expect(await hear('vendor')).toBe(words)
      odd = { headers, body: mark + message }
      expect(await hear('anthropic')).toBe(words)
    }
    odd = { headers: { ...headers, 'content-encoding': 'gzip' }, body: gzipSync(whole) }
    expect(await hear('vendor')).toBe(words)
    odd = { headers, body: failed }
    await expect(hear('vendor')).rejects.toMatchObject({ code: 'odd' })
    odd = { headers, body: '<!DOCTYPE html><title>Sign in</title>' }
    await expect(hear('vendor')).rejects.toMatchObject({ code: 'garbage' })
  },
)

it('a byte order mark is none of the reply', async () => {
  odd = { headers: { 'content-type': json }, body: `\ufeff${whole}` }
  expect(await ask()).toBe(words)
  odd = { headers: { 'content-type': json }, body: `\ufeff${message}` }
  expect(await ask('anthropic')).toBe(words)
  odd = { status: 400, headers: { 'content-type': json }, body: `\ufeff${failed}` }
  await expect(ask()).rejects.toMatchObject({ status: 400, code: 'odd' })
})

const picture = `data:image/png;base64,${'iVBORw0K'.repeat(400_000)}`
const events = { 'content-type': 'text/event-stream' }

it.each([
  [
    'vendor',
    sseText([
      chunk({ role: 'assistant', content: '', images: [{ type: 'image_url', image_url: { url: picture } }] }),
      chunk({}, 'stop'),
    ]),
  ],
  [
    'gemini',
    sseText(
      [
        {
          candidates: [
            {
              content: { role: 'model', parts: [{ inlineData: { mimeType: 'image/png', data: picture.slice(22) } }] },
              finishReason: 'STOP',
            },
          ],
          usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1290, totalTokenCount: 1291 },
        },
      ],
      { done: false },
    ),
  ],
])('an answer that begins with a picture of megabytes in one event is no silence: %s', async (provider, text) => {
  odd = { headers: events, body: text }
  const read: string[] = []
  for await (const { choices } of await client.chat.completions.create({ ...body(provider), stream: true })) {
    const { images } = (choices[0]?.delta ?? {}) as { images?: { image_url: { url: string } }[] }
    read.push(...(images ?? []).map(({ image_url }) => image_url.url))
  }
  expect(read.map((url) => url === picture)).toEqual([true])
})

const told = (parts: object[]): string => sseText(parts, { done: false })
const spoken = [chunk({ role: 'assistant', content: words }), chunk({ content: ' End.' })]
const claude = {
  begun: [
    { type: 'message_start', message: { ...JSON.parse(message), content: [], stop_reason: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: words } },
  ],
  over: [
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
  ],
}
const hear = async (provider: string): Promise<string> => {
  let heard = ''
  for await (const { choices } of await client.chat.completions.create({ ...body(provider), stream: true }))
    heard += choices[0]?.delta.content ?? ''
  return heard
}

it.each([
  ['the name of a field', 'd'],
  ['a field without a value', 'data:'],
  ['the name of an event', 'event: mes'],
  ['its JSON', 'data: {"choices":[{"ind'],
  ['its blank line', `data: ${JSON.stringify(chunk({ content: '' }))}\n`],
  ['its last line', `data: ${JSON.stringify(chunk({ content: '' }))}`],
])(
  'a stream that ends in the middle of an event, in %s, says to the client that it is broken',
  async (_where, tail) => {
    odd = { headers: events, body: told(spoken) + tail }
    await expect(hear('vendor')).rejects.toMatchObject({ code: 'cut' })
    odd = { headers: events, body: told(claude.begun) + tail }
    await expect(hear('anthropic')).rejects.toMatchObject({ code: 'cut' })
  },
)

it('an answer that is over stays whole where the connection ends in the middle of what follows', async () => {
  for (const breaks of [false, true])
    for (const tail of ['da', 'data: {"usa', 'data: [DO']) {
      odd = { headers: events, body: told([...spoken, chunk({}, 'stop')]) + tail, breaks }
      expect(await hear('vendor')).toBe(`${words} End.`)
      odd = { headers: events, body: told([...claude.begun, ...claude.over]) + tail, breaks }
      expect(await hear('anthropic')).toBe(words)
    }
})

it.each(['CRLF', 'a comment', 'a number of the event'])(
  'a whole answer passes to its last byte, also where that is %s that came apart from it',
  async (tail) => {
    const text = sseText([...spoken, chunk({}, 'stop')], { done: tail === 'CRLF' })
    const pieces =
      tail === 'CRLF'
        ? [text.replaceAll('\n', '\r\n').slice(0, -1), '\n']
        : [text, tail === 'a comment' ? ': bye\n' : 'id: 7\n']
    odd = { headers: { ...events, 'content-encoding': 'gzip' }, pieces }
    const { body: told } = await client.chat.completions.create({ ...body(), stream: true }).asResponse()
    let got = ''
    for await (const bytes of told!) {
      got += Buffer.from(bytes)
      if (got.includes(' End.')) heard!()
    }
    expect(got).toBe(pieces.join(''))
  },
)

it('a stream of megabytes that says nothing is given up', async () => {
  odd = { headers: events, body: sseText(Array.from({ length: 10_000 }, () => chunk({ role: 'assistant' }))) }
  await expect(client.chat.completions.create({ ...body(), stream: true })).rejects.toMatchObject({ code: 'garbage' })
})

it('blank lines by the million take no time', async () => {
  const lines = '\n'.repeat(3_000_000)
  odd = {
    headers: events,
    body: sseText([chunk({ content: 'a' })], { done: false }) + lines + sseText([chunk({}, 'stop')]),
  }
  const before = process.cpuUsage()
  const { body: told } = await client.chat.completions.create({ ...body(), stream: true }).asResponse()
  let size = 0
  for await (const bytes of told!) size += bytes.length
  const { user, system } = process.cpuUsage(before)
  expect(size).toBeGreaterThan(lines.length)
  // A tenth of that. As an event each of them took a microsecond or two.
  expect((user + system) / 1000).toBeLessThan(2_000)
})

it('the cost is written into usage that is spread over several lines', async () => {
  const lines = [chunk({ role: 'assistant', content: words }), { ...chunk({}, 'stop'), usage }]
    .map((event) => `${JSON.stringify(event, null, 1).replace(/^/gm, 'data: ')}\n\n`)
    .join('')
  odd = { headers: events, body: `${lines}data: [DONE]\n\n` }
  const asked = { ...body(), stream: true as const, stream_options: { include_usage: true } }
  const told: unknown[] = []
  for await (const chunk of await client.chat.completions.create(asked, { headers: { 'x-turnout-usage': 'cost' } }))
    told.push(chunk.usage)
  expect(told).toEqual([undefined, { ...usage, cost: null, cost_details: expect.anything() }])
})
