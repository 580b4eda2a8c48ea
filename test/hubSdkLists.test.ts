// Lists that OpenAI's SDK does not know, as its stream helper has them at the end: all citations, all thoughts, in order, fit to be sent back.
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { CHAT } from './support/chatBodies.ts'
import { eventsOf, post } from './support/exchange.ts'
import { type FakeUpstream, namedEvent, sendJson, sendSse, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { vendorsAt } from './support/hubVendors.ts'

type Json = Record<string, unknown>

const cites = (page: string) => [
  { type: 'web_search_result_location', url: `https://${page}.example`, title: page, cited_text: page },
]
const search = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'trains' } }
const found = { type: 'web_search_result', url: 'https://a.example', title: 'a', encrypted_content: 'ZQ==' }
/** An answer of a Claude that searched: thoughts and blocks of its own between the texts, and a call at the end. */
const content: Json[] = [
  { type: 'thinking', thinking: 'I look it up.', signature: 'sig-1' },
  search,
  { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [found] },
  { type: 'text', text: 'First. ', citations: cites('a') },
  { type: 'thinking', thinking: 'And more.', signature: 'sig-2' },
  { type: 'text', text: 'Second.', citations: cites('b') },
  { type: 'tool_use', id: 'toolu_1', name: 'book', input: { seat: 7 } },
]
const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5',
  usage: { input_tokens: 5, output_tokens: 7 },
}

/** How the block comes in a stream: what opens it, and its deltas. */
function streamed(block: Json): [Json, ...Json[]] {
  const { thinking, signature, text, citations, input } = block
  if (block.type === 'thinking') {
    const said = String(thinking)
    const pieces = [said.slice(0, 4), said.slice(4)].map((piece) => ({ type: 'thinking_delta', thinking: piece }))
    return [{ ...block, thinking: '', signature: '' }, ...pieces, { type: 'signature_delta', signature }]
  }
  if (block.type === 'text') {
    const cited = (citations as Json[]).map((citation) => ({ type: 'citations_delta', citation }))
    return [{ ...block, text: '', citations: [] }, ...cited, { type: 'text_delta', text }]
  }
  if (input === undefined) return [block]
  return [
    { ...block, input: {} },
    { type: 'input_json_delta', partial_json: JSON.stringify(input) },
  ]
}

function streamOf(blocks: Json[]): string {
  const event = (type: string, more: Json) => namedEvent(type, { type, ...more })
  const written = blocks.map((block, index) => {
    const [content_block, ...deltas] = streamed(block)
    const grown = deltas.map((delta) => event('content_block_delta', { index, delta }))
    return (
      event('content_block_start', { index, content_block }) + grown.join('') + event('content_block_stop', { index })
    )
  })
  const { usage } = message
  const begun = event('message_start', { message: { ...message, content: [] } })
  const ended = event('message_delta', { delta: { stop_reason: 'tool_use' }, usage }) + event('message_stop', {})
  return begun + written.join('') + ended
}

let upstream: FakeUpstream
let gateway: TestGateway
let client: OpenAI

beforeAll(async () => {
  upstream = await startFakeUpstream(async (_req, res, body) => {
    const { stream } = JSON.parse(body.toString()) as { stream?: boolean }
    if (stream) await sendSse(res, streamOf(content))
    else sendJson(res, 200, { ...message, content, stop_reason: 'tool_use' })
  })
  gateway = await startGateway({ providers: vendorsAt(upstream.url), directModels: true }, { insecure: true })
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'any', maxRetries: 0 })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})
beforeEach(() => upstream.requests.splice(0))

const question = { role: 'user' as const, content: 'Book me a train.' }
const body = {
  model: 'anthropic/claude-sonnet-4-5',
  messages: [question],
  reasoning_effort: 'low' as const,
  tools: [{ type: 'function' as const, function: { name: 'book', parameters: { type: 'object' } } }],
}
const whole = async () => (await client.chat.completions.create(body)).choices[0]!.message as unknown as Json
const helper = async () =>
  (await client.chat.completions.stream(body).finalChatCompletion()).choices[0]!.message as unknown as Json

/** Goes on after the message. What Claude is sent of it, and what is reported. */
async function goOn(said: Json) {
  const messages = [question, said, { role: 'tool', tool_call_id: 'toolu_1', content: 'Booked.' }]
  const { status, headers } = await post(gateway.url + CHAT, { ...body, messages })
  expect(status).toBe(200)
  const sent = JSON.parse(upstream.requests.at(-1)!.body.toString())
  return { turn: sent.messages[1].content, thinking: sent.thinking, dropped: headers['x-turnout-dropped-params'] }
}

/** What goes back of the answer: citations have no place in a request. */
const made = content.map(({ citations: _, ...block }) => block)

it('the stream helper ends with the citations of the whole reply', async () => {
  const [expected, result] = [await whole(), await helper()]
  expect(expected.annotations).toHaveLength(2)
  expect(result.annotations).toEqual(expected.annotations)
})

it('the message of a whole reply goes back as the blocks that Claude made', async () => {
  const { turn, thinking } = await goOn(await whole())
  expect(turn).toEqual(made)
  expect(thinking).toMatchObject({ type: 'enabled' })
})

it('and so does that of a client that adds every list to the last, or joins items by their index', async () => {
  const { text } = await post(gateway.url + CHAT, { ...body, stream: true })
  const deltas = eventsOf(text).flatMap(({ choices }) => choices[0]?.delta ?? [])
  const reasoning_details: { index: number }[] = deltas.flatMap((delta) => delta.reasoning_details ?? [])
  // OpenAI's SDK for Python puts the words of what has one index behind each other.
  expect(reasoning_details.map(({ index }) => index)).toEqual([0, 1, 2, 3])
  const { turn } = await goOn({ ...(await whole()), reasoning_details })
  expect(turn).toEqual(made)
})

it('of that of the stream helper, which keeps the last alone, nothing is sent that the rest is missing of', async () => {
  const { turn, thinking, dropped } = await goOn(await helper())
  expect(turn.map(({ type }: Json) => type)).toEqual(['text', 'text', 'tool_use'])
  expect(thinking).toBeUndefined()
  expect(dropped).toContain('messages.reasoning')
})

it('what a client has kept only the end of is left out, and that is reported', async () => {
  const said = await whole()
  for (const from of [2, 3]) {
    const reasoning_details = (said.reasoning_details as Json[]).slice(from)
    const { turn, thinking, dropped } = await goOn({ ...said, reasoning_details })
    expect(turn.map(({ type }: Json) => type)).toEqual(['text', 'text', 'tool_use'])
    expect(thinking).toBeUndefined()
    expect(dropped).toContain('reasoning_effort')
    expect(dropped).toContain('messages.reasoning')
  }
})

it('so is the signature of a thought that OpenRouter sent behind its words, when the words are gone', async () => {
  const item = { type: 'reasoning.text', format: 'anthropic-claude-v1', index: 0 }
  const signed = { ...item, signature: 'sig-1' }
  const said = { role: 'assistant', content: null, tool_calls: (await whole()).tool_calls }
  const kept = async (...reasoning_details: Json[]) => (await goOn({ ...said, reasoning_details })).turn
  const thought = (thinking: string) => [{ type: 'thinking', thinking, signature: 'sig-1' }, made.at(-1)]
  expect(await kept({ ...item, text: 'I look ' }, { ...item, text: 'it up.' }, signed)).toEqual(
    thought('I look it up.'),
  )
  expect(await kept({ ...signed, text: '' })).toEqual(thought(''))
  const { turn, thinking, dropped } = await goOn({ ...said, reasoning_details: [signed] })
  expect(turn).toEqual([made.at(-1)])
  expect(thinking).toBeUndefined()
  expect(dropped).toContain('messages.reasoning')
})

it('one thought alone is sent once', async () => {
  const single = content.filter(({ type }) => type === 'thinking' || type === 'text').slice(0, 2)
  const vendor = await startFakeUpstream((_req, res) => sendSse(res, streamOf(single)))
  const other = await startGateway({ providers: vendorsAt(vendor.url), directModels: true }, { insecure: true })
  try {
    const { text } = await post(other.url + CHAT, { ...body, stream: true })
    expect(text.split('"reasoning_details"')).toHaveLength(2)
  } finally {
    await other.close()
    await vendor.close()
  }
})
