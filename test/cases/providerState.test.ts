// Cases C10 and C11: what vendors must get back verbatim although OpenAI's format has no place for it, through the official clients.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as aiSdk from '../../examples/clients/ai-sdk.ts'
import * as langchain from '../../examples/clients/langchain.ts'
import * as openai from '../../examples/clients/openai.ts'
import { type Script, type Simulator, startSimulator } from '../../src/simulator/index.ts'
import { isOurs } from '../../src/simulator/signature.ts'
import { createSignatures } from '../../src/state/signatures.ts'
import { type Answer, type AssistantMessage, chat, plain } from '../support/chatClient.ts'
import { startGateway, type TestGateway } from '../support/gateway.ts'
import { bodiesOf, vendorsAt } from '../support/hubVendors.ts'

type Json = Record<string, unknown>

const STAND_IN = 'skip_thought_signature_validator'
const keys = [
  { name: 'one', key: 'tk-test-one-0123456789' },
  { name: 'two', key: 'tk-test-two-0123456789' },
]
const bearer = (at: number): Record<string, string> => ({ authorization: `Bearer ${keys[at]!.key}` })
const [one, two] = [bearer(0), bearer(1)]
const script: Script = { toolCalls: 'auto', reasoningTokens: 6 }

let simulator: Simulator
let gateway: TestGateway
const configuration = () => ({ providers: vendorsAt(simulator.url), directModels: true, keys })

beforeAll(async () => {
  const names = ['gemini-3-pro-preview', 'gemini-2.5-flash', 'claude-sonnet-4-5', 'claude-opus-5']
  simulator = await startSimulator({
    keepBodies: true,
    scripts: Object.fromEntries(names.map((name) => [name, script])),
  })
  gateway = await startGateway(configuration())
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]
const question = { role: 'user', content: 'What is the weather like in Paris and in Tokyo?' }

const say = (messages: unknown[], more: Json = {}, headers = one, at = gateway): Promise<Answer> =>
  chat(at.url, { model: 'gemini/gemini-3-pro-preview', tools, messages, ...more }, headers)
const loopOf = (message: AssistantMessage): unknown[] => [
  question,
  message,
  ...(message.tool_calls ?? []).map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'rain' })),
]
/** The signatures of the calls in the last body that Gemini was sent. */
const signaturesSent = (): unknown[] =>
  bodiesOf(simulator.calls)
    .at(-1)
    .contents[1].parts.filter((part: Json) => part.functionCall)
    .map((part: Json) => part.thoughtSignature)

describe('C11 thought signatures of Gemini survive a plain OpenAI client', () => {
  const clients = [
    { sdk: 'openai', client: openai },
    { sdk: 'ai-sdk', client: aiSdk },
    { sdk: 'langchain', client: langchain },
  ]
  describe.each(clients)('$sdk', ({ client }) => {
    it.each([
      { way: 'whole', run: client.tools },
      { way: 'streamed', run: client.toolsStreamed },
    ])('$way: of two parallel calls only the first carries one, and it comes back on that one', async ({ run }) => {
      // 2.5 gives no call ids: the gateway makes them up, and takes them away again.
      for (const model of ['gemini-3-pro-preview', 'gemini-2.5-flash']) {
        simulator.reset()
        const { cities } = await run(`${gateway.url}/v1`, keys[0]!.key, `gemini/${model}`)
        expect(cities).toEqual(['Paris', 'Tokyo'])
        const [first, second] = signaturesSent()
        expect(isOurs(String(first), 'gemini'), String(first)).toBe(true)
        expect(second).toBeUndefined()
        const { parts } = bodiesOf(simulator.calls)[1].contents[1]
        expect('id' in parts.find((part: Json) => part.functionCall).functionCall).toBe(model.includes('3'))
      }
    })
  })

  it.each([false, true])('kept by call id for clients that drop it, stream: %s', async (stream) => {
    const { message } = await say([question], { stream })
    const done = await say(loopOf(plain(message)), { stream })
    expect([done.status, done.dropped]).toEqual([200, []])
    expect(isOurs(String(signaturesSent()[0]), 'gemini')).toBe(true)
  })

  it('kept although the client swaps the answers', async () => {
    const { message } = await say([question])
    const [asked, calls, paris, tokyo] = loopOf(plain(message))
    const done = await say([asked, calls, tokyo, paris])
    expect([done.status, done.dropped]).toEqual([200, []])
    expect(isOurs(String(signaturesSent()[0]), 'gemini')).toBe(true)
  })

  it('a client that rebuilds ids gets the documented stand-in, and is told', async () => {
    const { message } = await say([question])
    const rebuilt = plain(message)
    rebuilt.tool_calls = rebuilt.tool_calls!.map((call, at) => ({ ...call, id: `mine-${at}` }))
    const done = await say(loopOf(rebuilt))
    expect([done.status, done.dropped]).toEqual([200, ['messages.reasoning']])
    expect(signaturesSent()).toEqual([STAND_IN, undefined])
  })

  it('after a restart the stand-in takes its place, unless the client kept it itself', async () => {
    const { message } = await say([question])
    const restarted = await startGateway(configuration())
    try {
      const kept = await say(loopOf(message), {}, one, restarted)
      expect([kept.status, kept.dropped]).toEqual([200, []])
      expect(isOurs(String(signaturesSent()[0]), 'gemini')).toBe(true)
      const lost = await say(loopOf(plain(message)), {}, one, restarted)
      expect([lost.status, lost.dropped]).toEqual([200, ['messages.reasoning']])
      expect(signaturesSent()).toEqual([STAND_IN, undefined])
    } finally {
      await restarted.close()
    }
  })

  it('another key never sees it', async () => {
    const { message } = await say([question])
    const theirs = await say(loopOf(plain(message)), {}, two)
    expect([theirs.status, theirs.dropped]).toEqual([200, ['messages.reasoning']])
    expect(signaturesSent()).toEqual([STAND_IN, undefined])
    await say(loopOf(plain(message)), {}, one)
    expect(isOurs(String(signaturesSent()[0]), 'gemini')).toBe(true)
  })

  it('the store is bounded: the least recently used goes first, and one giant cannot empty it', () => {
    const signatures = createSignatures(1000)
    const mine = signatures.of('me')
    for (const id of ['a', 'b', 'c']) mine.put(id, id.repeat(50))
    mine.put('a', 'new')
    expect(mine.get('a')).toBe('new')
    for (let n = 0; n < 17; n++) {
      mine.get('b')
      mine.put(`n${n}`, 'x'.repeat(50))
    }
    expect([mine.get('c'), mine.get('b')]).toEqual([undefined, 'b'.repeat(50)])
    mine.put('giant', 'x'.repeat(500))
    expect([mine.get('giant'), mine.get('b')]).toEqual([undefined, 'b'.repeat(50)])
    expect(signatures.of('you').get('b')).toBeUndefined()
  })
})

describe('C10 thinking goes back verbatim, or not at all', () => {
  const ask = { model: 'anthropic/claude-sonnet-4-5', reasoning_effort: 'medium' }

  it.each([false, true])('through a tool turn, stream: %s', async (stream) => {
    const { message } = await say([question], { ...ask, stream })
    expect(message.reasoning_content).toMatch(/\S/)
    expect(message.reasoning_details).toMatchObject([
      { type: 'reasoning.text', text: message.reasoning_content, signature: expect.any(String) },
    ])
    const done = await say(loopOf(message), { ...ask, stream })
    expect([done.status, done.dropped]).toEqual([200, []])
    const [first, second] = bodiesOf(simulator.calls)
    expect([first.thinking.type, second.thinking.type]).toEqual(['enabled', 'enabled'])
    expect(second.messages[1].content[0]).toMatchObject({ type: 'thinking', thinking: message.reasoning_content })
  })

  it('a client that dropped them: no thinking in that turn, and it is told', async () => {
    const { message } = await say([question], ask)
    const done = await say(loopOf(plain(message)), ask)
    expect([done.status, done.dropped, done.message.reasoning_content]).toEqual([200, ['reasoning_effort'], undefined])
    expect(bodiesOf(simulator.calls)[1]).not.toHaveProperty('thinking')
    // With the next question it thinks again.
    const next = await say([...loopOf(plain(message)), plain(done.message), { role: 'user', content: 'And now?' }], ask)
    expect([next.dropped, bodiesOf(simulator.calls)[2].thinking.type]).toEqual([[], 'enabled'])
  })

  it('a client that dropped them, where thoughts are not asked for: thinking goes on', async () => {
    const newest = { ...ask, model: 'anthropic/claude-opus-5' }
    const { message } = await say([question], newest)
    const done = await say(loopOf(plain(message)), newest)
    expect([done.status, done.dropped]).toEqual([200, []])
    expect(bodiesOf(simulator.calls)[1].thinking.type).toBe('adaptive')
  })

  it('thoughts that someone changed are refused by their maker, in its words', async () => {
    const { message } = await say([question], ask)
    const [detail] = message.reasoning_details!
    const changed = { ...message, reasoning_details: [{ ...detail, text: 'something else' }] }
    const refused = await say(loopOf(changed), ask)
    expect(refused.status).toBe(400)
    expect(refused.error).toMatchObject({
      type: 'invalid_request_error',
      message: expect.stringContaining('Invalid `signature` in `thinking` block'),
    })
  })

  it.each(['openai', 'langchain', 'ai-sdk'] as const)(
    'the %s client goes through a tool loop with a thinking Claude',
    async (sdk) => {
      const client = { openai, langchain, 'ai-sdk': aiSdk }[sdk]
      for (const model of ['anthropic/claude-opus-5', 'anthropic/claude-sonnet-4-5']) {
        const { text } = await client.tools(`${gateway.url}/v1`, keys[0]!.key, model)
        expect(text).toContain('get_weather: 18 °C, light rain; get_weather: 24 °C, clear sky')
      }
    },
  )
})
