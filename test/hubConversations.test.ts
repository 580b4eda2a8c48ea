// Conversations that begin at one vendor, think and call tools there, and go on at another: they work, and what was left out is told.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { type Answer, type AssistantMessage, chat, plain } from './support/chatClient.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { bodiesOf, expectVendorBodies, vendorsAt } from './support/hubVendors.ts'

type Json = Record<string, unknown>

const script: Script = { toolCalls: 'auto', reasoningTokens: 8 }
/** The strictest of each: Claude models that think by budget want their thoughts back, Gemini 3 wants its signatures. */
const models = {
  openai: 'openai/some-model',
  anthropic: 'anthropic/claude-sonnet-4-5',
  gemini: 'gemini/gemini-3-pro-preview',
}
type Vendor = keyof typeof models
const vendors = Object.keys(models) as Vendor[]
const pairs = vendors.flatMap((from) => vendors.map((to) => ({ from, to })))

let simulator: Simulator
let gateway: TestGateway

beforeAll(async () => {
  const scripts = Object.fromEntries(Object.values(models).map((name) => [name.split('/')[1]!, script]))
  simulator = await startSimulator({ keepBodies: true, scripts })
  gateway = await startGateway({
    providers: { openai: upstreamAt(simulator.url), ...vendorsAt(simulator.url) },
    directModels: true,
  })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

const tool = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

/** A client that goes from vendor to vendor. `keeps`: sends messages back as they came, else with OpenAI's own fields only. */
class Traveller {
  readonly messages: Json[] = [{ role: 'system', content: 'Be brief.' }]
  readonly #stream: boolean
  readonly #keeps: boolean
  readonly #headers: Record<string, string>

  constructor(stream: boolean, keeps: boolean, headers: Record<string, string> = {}) {
    this.#stream = stream
    this.#keeps = keeps
    this.#headers = headers
  }

  async say(vendor: Vendor, question?: string): Promise<Answer> {
    if (question !== undefined) this.messages.push({ role: 'user', content: question })
    const body = { model: models[vendor], stream: this.#stream, tools: [tool], reasoning_effort: 'low' }
    const answer = await chat(gateway.url, { ...body, messages: this.messages }, this.#headers)
    if (answer.status !== 200) return answer
    this.messages.push(this.#keeps ? answer.message : plain(answer.message), ...resultsOf(answer.message))
    return answer
  }
}

const resultsOf = ({ tool_calls: calls = [] }: AssistantMessage): Json[] =>
  calls.map(({ id }, at) => ({ role: 'tool', tool_call_id: id, content: `result ${at}` }))

/** Question with calls at one vendor, its answer and the next question at the other, and back for the last answer. */
async function travel(from: Vendor, to: Vendor, stream: boolean, keeps: boolean): Promise<Answer[]> {
  const client = new Traveller(stream, keeps)
  return [
    await client.say(from, 'What is the weather in Paris and in Tokyo?'),
    await client.say(to),
    await client.say(to, 'And in Oslo?'),
    await client.say(from),
  ]
}

/** What cannot be told to `to` of a tool loop that `from` began. */
function lostInLoop(from: Vendor, to: Vendor, keeps: boolean): string[] {
  if (to === 'openai') return []
  // Without thoughts of its own this Claude may not think on, in that one turn.
  if (to === 'anthropic') {
    if (from === to) return keeps ? [] : ['reasoning_effort']
    return keeps ? ['messages.reasoning', 'reasoning_effort'] : ['reasoning_effort']
  }
  // The store has Gemini's signatures; calls of others get the documented stand-in.
  return from === to ? [] : ['messages.reasoning']
}

/** What cannot be told to `to` of a past tool loop of `from`. */
function lostBefore(from: Vendor, to: Vendor, keeps: boolean): string[] {
  if (to === 'openai' || from === to) return []
  return keeps || to === 'gemini' ? ['messages.reasoning'] : []
}

describe.each(pairs)('$from, then $to', ({ from, to }) => {
  describe.each([
    { stream: false, way: 'whole' },
    { stream: true, way: 'streamed' },
  ])('$way', ({ stream }) => {
    it.each([
      { keeps: true, client: 'a client that sends messages back as they came' },
      { keeps: false, client: 'a client that knows OpenAI’s fields only' },
    ])('$client', async ({ keeps }) => {
      const reference = await travel('openai', 'openai', stream, keeps)
      simulator.reset()
      const answers = await travel(from, to, stream, keeps)
      expectVendorBodies(simulator.calls)
      expect(answers.map(({ status, finish, done }) => [status, finish, done])).toEqual([
        [200, 'tool_calls', true],
        [200, 'stop', true],
        [200, 'tool_calls', true],
        [200, 'stop', true],
      ])
      const said = ({ message }: Answer) => [message.content ?? '', message.tool_calls?.map((call) => call.function)]
      expect(answers.map(said)).toEqual(reference.map(said))
      expect(answers[1]!.message.content).toMatch(/^The tools say — get_weather: result 0; get_weather: result 1\. /)
      expect(answers.map(({ dropped }) => dropped)).toEqual([
        [],
        lostInLoop(from, to, keeps),
        lostBefore(from, to, keeps),
        lostInLoop(to, from, keeps),
      ])
    })
  })
})

describe('at the same vendor', () => {
  it('thoughts and signatures of Anthropic go back as they came', async () => {
    const client = new Traveller(true, true)
    await client.say('anthropic', 'What is the weather in Paris?')
    await client.say('anthropic')
    const [, second] = bodiesOf(simulator.calls)
    expect(second.thinking).toEqual({ type: 'enabled', budget_tokens: 2048 })
    expect(second.messages[1].content.map(({ type }: Json) => type)).toEqual(['thinking', 'tool_use'])
    // The simulator has checked that the signature is the one of this text.
    expect(second.messages[1].content[0].thinking).toBe((client.messages[2] as AssistantMessage).reasoning_content)
  })

  it('redacted thoughts, too, in their place', async () => {
    simulator.script('claude-redacted', { ...script, redactedThinking: true })
    for (const stream of [false, true]) {
      simulator.reset()
      const ask = { model: 'anthropic/claude-redacted', stream, tools: [tool], reasoning_effort: 'low' }
      const question = { role: 'user', content: 'What is the weather in Paris?' }
      const { message } = await chat(gateway.url, { ...ask, messages: [question] })
      const done = await chat(gateway.url, { ...ask, messages: [question, message, ...resultsOf(message)] })
      expect([done.status, done.dropped]).toEqual([200, []])
      const [, second] = bodiesOf(simulator.calls)
      expect(second.messages[1].content.map(({ type }: Json) => type)).toEqual([
        'redacted_thinking',
        'thinking',
        'tool_use',
      ])
    }
  })
})

describe('in strict mode', () => {
  it('what would be left out is a 400 that names it, and nothing goes upstream', async () => {
    const client = new Traveller(false, true, { 'x-turnout-strict': 'true' })
    expect((await client.say('anthropic', 'What is the weather in Paris?')).status).toBe(200)
    simulator.reset()
    const refused = await client.say('gemini')
    expect(refused.status).toBe(400)
    expect(refused.error).toMatchObject({ code: 'unsupported_parameter', param: 'messages.reasoning' })
    expect(refused.error?.metadata).toMatchObject({
      losses: [
        { param: 'messages.reasoning', reason: 'dropped', detail: 'another vendor made it' },
        { param: 'messages.reasoning', reason: 'approximated', detail: 'a lost thought signature' },
      ],
    })
    expect(simulator.calls).toHaveLength(0)
    // Its own vendor takes all of it.
    expect((await client.say('anthropic')).status).toBe(200)
  })

  it('an agent that takes several steps thinks on in each, by the thought before the first', async () => {
    const question = { role: 'user', content: 'What is the weather in Paris?' }
    const body = { model: models.anthropic, tools: [tool], reasoning_effort: 'low' }
    const strict = { 'x-turnout-strict': 'true' }
    const { message } = await chat(gateway.url, { ...body, messages: [question] }, strict)
    const messages: Json[] = [question, message, ...resultsOf(message)]
    // A Claude that thinks by budget does not think between its calls.
    for (const id of ['call_2', 'call_3', 'call_4']) {
      const call = { id, type: 'function', function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } }
      messages.push(
        { role: 'assistant', content: null, tool_calls: [call] },
        ...resultsOf({ ...message, tool_calls: [call] } as AssistantMessage),
      )
      simulator.reset()
      const answer = await chat(gateway.url, { ...body, messages }, strict)
      expect([answer.status, answer.dropped, answer.error]).toEqual([200, [], undefined])
      expect(bodiesOf(simulator.calls)[0].thinking).toEqual({ type: 'enabled', budget_tokens: 2048 })
    }
    // Only the turn that is going on counts: thoughts of the one before do not open this.
    const next = [...messages, { role: 'assistant', content: 'Rain.' }, question, ...messages.slice(-2)]
    const refused = await chat(gateway.url, { ...body, messages: next }, strict)
    expect([refused.status, refused.error?.param]).toEqual([400, 'reasoning_effort'])
  })

  it('an answer that is begun is gone on with without a thought, which is told', async () => {
    const begun = { role: 'assistant', content: 'The weather is' }
    const question = { role: 'user', content: 'What is the weather in Paris?' }
    const body = { model: models.anthropic, tools: [tool], reasoning_effort: 'low' }
    const { message } = await chat(gateway.url, { ...body, messages: [question] })
    // The thought before a call of the same turn is not one before these words.
    for (const before of [[question], [question, message, ...resultsOf(message)]]) {
      simulator.reset()
      const answer = await chat(gateway.url, { ...body, messages: [...before, begun] })
      expect([answer.status, answer.dropped]).toEqual([200, ['reasoning_effort']])
      expect(bodiesOf(simulator.calls)[0].thinking).toBeUndefined()
      const strict = { 'x-turnout-strict': 'true' }
      expect((await chat(gateway.url, { ...body, messages: [...before, begun] }, strict)).status).toBe(400)
    }
  })

  it('an answer that was white space, or ended in the thought, is left out and the conversation goes on', async () => {
    const question = { role: 'user', content: 'What is the weather in Paris?' }
    const body = { model: models.anthropic, reasoning_effort: 'low' }
    const { message } = await chat(gateway.url, { ...body, messages: [question] })
    expect(message.reasoning_details).toHaveLength(1)
    const { reasoning_content: _, ...thought } = { ...message, content: '' }
    for (const [answered, lost] of [
      [{ role: 'assistant', content: '\n\n' }, 'messages.content'],
      [thought, 'messages.reasoning'],
    ] as const) {
      simulator.reset()
      const messages = [question, answered, { role: 'user', content: 'And now?' }]
      const answer = await chat(gateway.url, { ...body, messages })
      expect([answer.status, answer.dropped, answer.error]).toEqual([200, [lost], undefined])
      expect(bodiesOf(simulator.calls)[0].messages).toEqual([
        {
          role: 'user',
          content: [
            { type: 'text', text: question.content },
            { type: 'text', text: 'And now?' },
          ],
        },
      ])
    }
  })
})
