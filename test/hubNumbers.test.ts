// Numbers beyond JavaScript's precision in tool arguments: an id of 64 bits names the same thing on both sides of the gateway.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CHAT } from './support/chatBodies.ts'
import { eventsOf, post } from './support/exchange.ts'
import { type FakeUpstream, namedEvent, sendJson, sendSse, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { vendorsAt } from './support/hubVendors.ts'

const ORDER = '1234567890123456789'
/** As JSON text, because no value of JavaScript's says it. */
const args = `{"order":${ORDER},"amount":0.5,"note":"${ORDER}"}`

/** With seventeen digits, as C++ prints doubles that need sixteen. */
const logprobs = '{"chosenCandidates":[{"token":"a","logProbability":-0.10000000000000001}],"topCandidates":[]}'

let upstream: FakeUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startFakeUpstream(async (req, res) => {
    if (req.url?.includes(':')) {
      const reply = `{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"cancel","args":${args}}}]},"finishReason":"STOP","logprobsResult":${logprobs}}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`
      return req.url.includes('alt=sse') ? await sendSse(res, `data: ${reply}\n\n`) : sendJson(res, 200, reply)
    }
    const usage = { input_tokens: 1, output_tokens: 1 }
    const call = { type: 'tool_use', id: 'toolu_1', name: 'cancel' }
    const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-5', usage }
    const body = JSON.parse(upstream.requests.at(-1)!.body.toString()) as { stream?: boolean }
    if (!body.stream) {
      const whole = JSON.stringify({ ...message, content: [{ ...call, input: 'ARGS' }], stop_reason: 'tool_use' })
      return sendJson(res, 200, whole.replace('"ARGS"', args))
    }
    const events: [string, Record<string, unknown>][] = [
      ['message_start', { message: { ...message, content: [] } }],
      ['content_block_start', { index: 0, content_block: { ...call, input: {} } }],
      ['content_block_delta', { index: 0, delta: { type: 'input_json_delta', partial_json: args.slice(0, 15) } }],
      ['content_block_delta', { index: 0, delta: { type: 'input_json_delta', partial_json: args.slice(15) } }],
      ['content_block_stop', { index: 0 }],
      ['message_delta', { delta: { stop_reason: 'tool_use' }, usage }],
      ['message_stop', {}],
    ]
    await sendSse(res, events.map(([type, more]) => namedEvent(type, { type, ...more })).join(''))
  })
  gateway = await startGateway({ providers: vendorsAt(upstream.url), directModels: true }, { insecure: true })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const models = ['anthropic/claude-sonnet-4-5', 'gemini/gemini-3-pro-preview']
const question = { role: 'user', content: 'Cancel my order.' }

it.each(models)('%s: the client gets the arguments that the model wrote, whole and streamed', async (model) => {
  const whole = await post(gateway.url + CHAT, { model, messages: [question] })
  const { message } = JSON.parse(whole.text).choices[0]
  expect(message.tool_calls[0].function.arguments).toBe(args)
  const streamed = await post(gateway.url + CHAT, { model, messages: [question], stream: true })
  const pieces = eventsOf(streamed.text).flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? [])
  expect(pieces.map((piece) => piece.function.arguments).join('')).toBe(args)
})

it.each(models)('%s: the model sees in its history what it wrote', async (model) => {
  const call = { id: 'call_1', type: 'function', function: { name: 'cancel', arguments: args } }
  const messages = [
    question,
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: 'done' },
  ]
  const { status } = await post(gateway.url + CHAT, { model, messages })
  expect(status).toBe(200)
  expect(upstream.requests.at(-1)!.body.toString()).toContain(args)
})

it('a log probability with more digits than it has is the number that it is', async () => {
  for (const stream of [false, true]) {
    const { text } = await post(gateway.url + CHAT, {
      model: models[1],
      messages: [question],
      logprobs: true,
      stream,
    })
    const [told] = (stream ? eventsOf(text) : [JSON.parse(text)]).flatMap(
      ({ choices }) => choices[0]?.logprobs?.content ?? [],
    )
    expect(told).toMatchObject({ token: 'a', logprob: -0.1 })
  }
})

it('an operator who asks is shown the request as it would be sent', async () => {
  const call = { id: 'call_1', type: 'function', function: { name: 'cancel', arguments: args } }
  const messages = [question, { role: 'assistant', tool_calls: [call] }]
  const { text } = await post(gateway.url + CHAT, { model: models[0], messages }, { 'x-turnout-echo': 'request' })
  expect(text).toContain(`"input":${args}`)
})

it('a number alone is no object of arguments, however long it is', async () => {
  const call = { id: 'call_1', type: 'function', function: { name: 'cancel', arguments: ORDER } }
  const messages = [question, { role: 'assistant', tool_calls: [call] }]
  const { status, text } = await post(gateway.url + CHAT, { model: models[0], messages })
  expect([status, JSON.parse(text).error.code]).toEqual([400, 'invalid_tool_arguments'])
})
