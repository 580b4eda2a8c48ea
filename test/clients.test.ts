// The example programs with the official clients, through Turnout to the simulator: what the client sees, and what the vendor received.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text as readAll } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { ContextOverflowError } from '@langchain/core/errors'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import * as aiSdk from '../examples/clients/ai-sdk.ts'
import * as langchain from '../examples/clients/langchain.ts'
import * as openai from '../examples/clients/openai.ts'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

const key = 'tk-test-clients-0123456789'
/** What stands behind `chat-default`; a client that talks to the simulator without Turnout asks for it by this name. */
const served = 'sim-tools'

let simulator: Simulator
let gateway: TestGateway
let baseURL: string

beforeAll(async () => {
  simulator = await startSimulator({
    keepBodies: true,
    scripts: {
      // Far longer than any test lasts.
      endless: { tokensPerSecond: 25, tokens: 5000 },
      silent: { firstTokenMs: 600_000 },
      // Slow enough that the first words are with the client before the error comes.
      breaking: { tokensPerSecond: 100, tokens: 40, fault: { kind: 'midStreamError', message: 'The engine broke.' } },
      // In OpenAI's words, which LangChain looks for.
      full: { fault: { kind: 'status', status: 400, message: "This model's maximum context length is 8192 tokens." } },
    },
  })
  gateway = await startGateway(
    {
      providers: { alpha: upstreamAt(simulator.url), beta: upstreamAt(simulator.url, { kind: 'vllm' }) },
      routes: {
        'chat-default': `alpha/${served}`,
        'chat-fallback': ['alpha/sim-overloaded-first-event', 'beta/sim-fast'],
      },
      directModels: true,
    },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  baseURL = `${gateway.url}/v1`
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

describe.each([
  { sdk: 'openai', client: openai },
  { sdk: 'ai-sdk', client: aiSdk },
  { sdk: 'langchain', client: langchain },
])('$sdk', ({ sdk, client }) => {
  it('gets a text', async () => {
    const { result, received } = await compare(client.text)
    expect(result).toMatch(/^You said “Name three uses of a railway turnout\.”\. \S+/)
    expect(received).toHaveLength(1)
    expect(received[0]).toMatchObject({ model: served })
  })

  it('gets a stream', async () => {
    const { result, received } = await compare((...args) => collect(client.stream(...args)))
    expect(result.length).toBeGreaterThan(10)
    expect(result.join('')).toMatch(/^You said “Explain a railway turnout in one sentence\.”\. \S+/)
    expect(received[0]).toMatchObject({ stream: true, stream_options: { include_usage: true } })
  })

  it('goes through a tool loop with two parallel calls', async () => {
    const { result, received } = await compare(client.tools)
    expectToolLoop(result, received)
  })

  it('goes through the same loop over streams, and is told the tokens', async () => {
    const { result, received } = await compare(client.toolsStreamed)
    expectToolLoop(result, received)
    const { promptTokens, completionTokens } = simulator.totals()
    expect(result.totalTokens).toBe(promptTokens + completionTokens)
  })

  it('gets an object that follows a JSON schema', async () => {
    const { result, received } = await compare(client.json)
    expect(result).toEqual({
      title: expect.any(String),
      minutes: expect.any(Number),
      vegan: expect.any(Boolean),
      steps: expect.arrayContaining([expect.any(String)]),
    })
    const schema = { type: 'object', required: ['title', 'minutes', 'vegan', 'steps'], additionalProperties: false }
    expect(received[0].response_format).toMatchObject({
      type: 'json_schema',
      json_schema: { name: 'recipe', strict: true, schema },
    })
  })

  it('sends a picture', async () => {
    const { result, received } = await compare(client.image)
    expect(result).toMatch(/^I received 1 image\. You said “What is in this picture\?”/)
    expect(received[0].messages[0].content).toMatchObject([
      { type: 'text', text: 'What is in this picture?' },
      { type: 'image_url', image_url: { url: expect.stringMatching(/^data:image\/png;base64,iVBOR/) } },
    ])
  })

  it('stops a stream, and the model with it', async () => {
    const before = gateway.lines.length
    const { text, error } = await client.abort(baseURL, key, 'alpha/endless')
    expect(text).not.toBe('')
    expectAborted(error)
    const call = await simulator.waitFor(({ outcome }) => outcome !== 'running')
    expect(call).toMatchObject({ outcome: 'aborted', stream: true })
    expect(call.completionTokens).toBeGreaterThan(0)
    expect(call.completionTokens).toBeLessThan(1000)
    expect((await gateway.settled(before + 1)).at(-1)).toMatchObject({ outcome: 'client_disconnected' })
  })

  it('stops a call that has not begun to answer', async () => {
    const before = gateway.lines.length
    const controller = new AbortController()
    const failed = failureOf(client.text(baseURL, key, 'alpha/silent', controller.signal))
    await simulator.waitFor(({ model }) => model === 'silent')
    controller.abort()
    expectAborted(await failed)
    const call = await simulator.waitFor(({ outcome }) => outcome !== 'running')
    expect(call).toMatchObject({ outcome: 'aborted', status: 0, bytes: 0, completionTokens: 0 })
    expect((await gateway.settled(before + 1)).at(-1)).toMatchObject({ outcome: 'client_disconnected' })
  })

  it('does not notice that the first model failed', async () => {
    const pieces = await collect(client.stream(baseURL, key, 'chat-fallback'))
    expect(pieces.join('')).toMatch(/^You said “Explain a railway turnout in one sentence\.”/)
    expect(simulator.calls.map(({ model }) => model)).toEqual(['sim-overloaded-first-event', 'sim-fast'])
  })

  it('is told by an error when the model fails on the way', async () => {
    const pieces: string[] = []
    const error = await failureOf(collect(client.stream(baseURL, key, 'alpha/breaking'), pieces))
    expect(pieces.join('')).toMatch(/^You said “/)
    const told = sdk === 'ai-sdk' ? error.cause : error
    if (sdk !== 'ai-sdk') expect(error).toBeInstanceOf(OpenAI.APIError)
    // The vendor's own frame: the identity lane adds nothing to it.
    expect(told).toMatchObject({ type: 'server_error', code: null })
    expect((told as Error).message).toBe('The engine broke.')
    expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial' })
  })

  it.each(failures)(
    'gets status $status as an error: $code',
    async ({ model, apiKey = key, status, name, code, says }) => {
      const error = await client.error(baseURL, apiKey, model)
      expect(error).toMatchObject({ status, code, name: sdk === 'ai-sdk' ? 'AI_APICallError' : name })
      expect(error?.message).toMatch(says)
      expect(gateway.lines.at(-1)).toMatchObject({ id: error?.requestID, status })
      expect(simulator.calls).toHaveLength(model.startsWith('alpha/') ? 1 : 0)
    },
  )

  it('runs alone against the demo', { timeout: 300_000 }, async () => {
    const demo = await startGateway(parse(readFileSync(`${root}examples/demo.yaml`, 'utf8')), {
      env: { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: 'tk-demo' },
    })
    try {
      const lines = await runAlone(`examples/clients/${sdk}.ts`, [`${demo.url}/v1`, 'tk-demo', 'chat-default'])
      const { text, stream, tools, streamed, json, image, error } = lines
      expect(text).toContain('You said “Name three uses')
      expect(stream).toContain('You said “Explain a railway turnout')
      for (const loop of [tools, streamed])
        expect(loop).toMatch(/'Paris', 'Tokyo'.*18 °C, light rain.*24 °C, clear sky/s)
      expect(json).toMatch(/title: '.*steps: \[/s)
      expect(image).toContain('I received 1 image.')
      expect(error).toMatch(/status: 404.*code: 'model_not_found'/s)
    } finally {
      await demo.close()
    }
  })

  function expectAborted(error: unknown): void {
    if (sdk === 'openai') expect(error).toBeInstanceOf(OpenAI.APIUserAbortError)
    else expect(error).toMatchObject({ name: 'AbortError' })
  }
})

describe('openai', () => {
  it('reads the same chunks as without Turnout, no usage among them that it did not ask for', async () => {
    const read = async (base: string, apiKey: string, model: string) => {
      const client = new OpenAI({ baseURL: base, apiKey })
      const chunks = await client.chat.completions.create({
        model,
        stream: true,
        messages: [{ role: 'user', content: 'Hello' }],
      })
      // Ids are drawn from the bytes of the request, and Turnout asks the vendor for usage.
      return (await collect(chunks)).map(({ id: _, ...chunk }) => chunk)
    }
    const chunks = await read(baseURL, key, 'chat-default')
    expect(chunks).toEqual(await read(simulator.baseUrl, 'sk-test', served))
    expect(chunks.every((chunk) => chunk.choices.length === 1 && !('usage' in chunk))).toBe(true)
  })

  it('lists the models that it may ask for', async () => {
    const client = new OpenAI({ baseURL, apiKey: key })
    const models = await collect(client.models.list())
    expect(models.map(({ id }) => id)).toEqual(expect.arrayContaining(['chat-default', 'chat-fallback']))
    expect(await client.models.retrieve('chat-default')).toMatchObject({ id: 'chat-default', object: 'model' })
  })

  it('knows the class of an error', async () => {
    const said = (model: string, apiKey = key) => openai.text(baseURL, apiKey, model)
    await expect(said('no-such-model')).rejects.toBeInstanceOf(OpenAI.NotFoundError)
    await expect(said('chat-default', 'wrong')).rejects.toBeInstanceOf(OpenAI.AuthenticationError)
    await expect(said('alpha/sim-error-context')).rejects.toBeInstanceOf(OpenAI.BadRequestError)
  })

  it('repeats by itself what a vendor could not do at once', async () => {
    simulator.script('recovering', { fault: { kind: 'status', status: 503, times: 1 } })
    expect(await openai.text(baseURL, key, 'alpha/recovering')).toMatch(/^You said “/)
  })
})

describe('langchain', () => {
  it('recognises a prompt that is too long', async () => {
    const error = await failureOf(langchain.text(baseURL, key, 'alpha/full'))
    expect(error).toBeInstanceOf(ContextOverflowError)
  })
})

/** How errors arrive: `name` is the class in the `openai` SDK, on which LangChain builds. */
const failures: readonly {
  model: string
  apiKey?: string
  status: number
  name: string
  code: string | null
  says: RegExp
}[] = [
  { model: 'chat-defualt', status: 404, name: 'NotFoundError', code: 'model_not_found', says: /'chat-default'/ },
  {
    model: 'chat-default',
    apiKey: 'wrong',
    status: 401,
    name: 'AuthenticationError',
    code: 'invalid_api_key',
    says: /API key/,
  },
  {
    model: 'alpha/sim-error-policy',
    status: 400,
    name: 'BadRequestError',
    code: 'content_policy_violation',
    says: /content policy/,
  },
  {
    model: 'alpha/sim-error-429',
    status: 429,
    name: 'RateLimitError',
    code: 'rate_limit_exceeded',
    says: /Too many requests/,
  },
  { model: 'alpha/sim-error-503', status: 503, name: 'InternalServerError', code: null, says: /overloaded/ },
]

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs an example without Turnout and through it: it must see the same, and the vendor must receive the same bytes. */
async function compare<T>(run: (baseURL: string, apiKey: string, model: string) => Promise<T>) {
  const bodies = () => simulator.calls.map((call) => String(call.body))
  const without = await run(simulator.baseUrl, 'sk-test', served)
  const sent = bodies()
  simulator.reset()
  const result = await run(baseURL, key, 'chat-default')
  expect(result).toEqual(without)
  expect(bodies()).toEqual(sent.map(askingForUsage))
  return { result, received: bodies().map((body) => JSON.parse(body)) }
}

/** The one edit besides the model's name: streams are asked for their usage. */
function askingForUsage(body: string): string {
  const { stream, stream_options } = JSON.parse(body)
  return stream && !stream_options ? `${body.slice(0, -1)},"stream_options":{"include_usage":true}}` : body
}

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked at as they come
function expectToolLoop({ cities, text }: { cities: string[]; text: string }, received: any[]): void {
  expect(cities).toEqual(['Paris', 'Tokyo'])
  expect(text).toContain('get_weather: 18 °C, light rain; get_weather: 24 °C, clear sky')
  expect(received).toHaveLength(2)
  for (const body of received) {
    expect(body.tools).toMatchObject([
      { type: 'function', function: { name: 'get_weather', parameters: { properties: { city: { type: 'string' } } } } },
    ])
  }
  const [question, calls, ...results] = received[1].messages
  expect(question).toEqual(received[0].messages[0])
  const ids = calls.tool_calls.map((call: { id: string }) => call.id)
  expect(new Set(ids).size).toBe(2)
  expect(results).toMatchObject([
    { role: 'tool', tool_call_id: ids[0], content: '18 °C, light rain' },
    { role: 'tool', tool_call_id: ids[1], content: '24 °C, clear sky' },
  ])
}

async function collect<T>(pieces: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const piece of pieces) into.push(piece)
  return into
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.fail('it should have failed'),
    (error: Error) => error,
  )
}

/** What a program prints, by the word that opens each part. */
async function runAlone(file: string, args: string[]): Promise<Record<string, string>> {
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [output, [code]] = await Promise.all([readAll(child.stdout), once(child, 'exit')])
  expect(code).toBe(0)
  const parts = output.split(/^(text|stream|tools|streamed|json|image|abort|error) {2,}/m).slice(1)
  return Object.fromEntries(parts.flatMap((part, i) => (i % 2 === 0 ? [[part, parts[i + 1] as string]] : [])))
}
