// The example programs with the official clients, against OpenAI, Anthropic and Gemini upstreams: each sees the same.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as aiSdk from '../examples/clients/ai-sdk.ts'
import * as langchain from '../examples/clients/langchain.ts'
import * as openai from '../examples/clients/openai.ts'
import { type Script, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { expectVendorBodies, vendorsAt } from './support/hubVendors.ts'

const key = 'tk-test-clients-0123456789'
/** Models of every generation that differs in what it can be told; all of them keep to the same script. */
const models = [
  { upstream: 'anthropic/claude-opus-5', thinks: true },
  { upstream: 'anthropic/claude-sonnet-4-5', thinks: true },
  // Knows no JSON schemas and does not think.
  { upstream: 'anthropic/claude-3-5-haiku-20241022', thinks: false },
  { upstream: 'gemini/gemini-3-pro-preview', thinks: true },
  { upstream: 'gemini/gemini-2.5-flash', thinks: true },
  { upstream: 'gemini/gemini-2.0-flash', thinks: false },
]
const reference = 'openai/gpt-reference'
const script: Script = { toolCalls: 'auto', reasoningTokens: 12 }

let simulator: Simulator
let gateway: TestGateway
let baseURL: string

beforeAll(async () => {
  const names = [reference, ...models.map(({ upstream }) => upstream)].map((name) => name.split('/')[1]!)
  simulator = await startSimulator({
    keepBodies: true,
    scripts: {
      ...Object.fromEntries(names.map((name) => [name, script])),
      endless: { tokensPerSecond: 25, tokens: 5000 },
      breaking: { tokensPerSecond: 100, tokens: 40, fault: { kind: 'midStreamError', message: 'The engine broke.' } },
    },
  })
  gateway = await startGateway(
    { providers: { openai: upstreamAt(simulator.url), ...vendorsAt(simulator.url) }, directModels: true },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  baseURL = `${gateway.url}/v1`
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})
beforeEach(() => simulator.reset())

const clients = [
  { sdk: 'openai', client: openai },
  { sdk: 'ai-sdk', client: aiSdk },
  { sdk: 'langchain', client: langchain },
]

describe.each(clients)('$sdk', ({ sdk, client }) => {
  describe.each(models)('$upstream', ({ upstream, thinks }) => {
    /** What the program prints with the reference, and with the upstream in its place. Every body keeps the vendor's schema. */
    async function compare<T>(run: (baseURL: string, apiKey: string, model: string) => Promise<T>) {
      const expected = await run(baseURL, key, reference)
      simulator.reset()
      const result = await run(baseURL, key, upstream)
      expectVendorBodies(simulator.calls)
      expect(simulator.calls.every(({ status }) => status === 200)).toBe(true)
      return { expected, result }
    }

    it('text', async () => {
      const { expected, result } = await compare(client.text)
      expect(result).toMatch(/^You said “Name three uses of a railway turnout\.”\. \S/)
      expect(result).toBe(expected)
    })

    it('stream', async () => {
      const { expected, result } = await compare((...args) => collect(client.stream(...args)))
      expect(result.length).toBeGreaterThan(10)
      expect(result).toEqual(expected)
    })

    it('tools', async () => {
      const { expected, result } = await compare(client.tools)
      expect(result.cities).toEqual(['Paris', 'Tokyo'])
      expect(result.text).toContain('get_weather: 18 °C, light rain; get_weather: 24 °C, clear sky')
      expect(result).toEqual(expected)
    })

    it('tools over streams, and the tokens of both', async () => {
      const { expected, result } = await compare(client.toolsStreamed)
      expect({ ...result, totalTokens: 0 }).toEqual({ ...expected, totalTokens: 0 })
      const { promptTokens, completionTokens } = simulator.totals()
      expect(result.totalTokens).toBe(promptTokens + completionTokens)
    })

    it('a JSON schema', async () => {
      const { expected, result } = await compare(client.json)
      expect(result.steps.length).toBeGreaterThan(0)
      expect(result).toEqual(expected)
    })

    it('a picture', async () => {
      const { expected, result } = await compare(client.image)
      expect(result).toMatch(/^I received 1 image\. You said “What is in this picture\?”/)
      expect(result).toBe(expected)
    })

    it('reasoning', async () => {
      const { expected, result } = await compare(client.reasoning)
      expect(expected.thoughts).toMatch(/\S/)
      expect(result).toEqual(thinks ? expected : { text: expected.text })
      expect(simulator.totals().reasoningTokens > 0).toBe(thinks || upstream.startsWith('gemini/'))
    })
  })

  describe.each(['anthropic', 'gemini'])('%s', (provider) => {
    it('stops a stream, and the model with it', async () => {
      const { text } = await client.abort(baseURL, key, `${provider}/endless`)
      expect(text).not.toBe('')
      const call = await simulator.waitFor(({ outcome }) => outcome !== 'running')
      expect(call).toMatchObject({ outcome: 'aborted', stream: true })
      expect(call.completionTokens).toBeLessThan(1000)
    })

    it('is told by an error when the model fails on the way', async () => {
      const pieces: string[] = []
      const error = await collect(client.stream(baseURL, key, `${provider}/breaking`), pieces).then(
        () => expect.fail('it should have failed'),
        (failure: Error) => failure,
      )
      expect(pieces.join('')).toMatch(/^You said “/)
      const told = sdk === 'ai-sdk' ? (error.cause as Error) : error
      expect(told.message).toBe('The engine broke.')
    })

    it('gets the vendor’s errors', async () => {
      const error = await client.error(baseURL, key, `${provider}/sim-error-400`)
      expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' })
      expect(error?.message).toMatch(provider === 'gemini' ? /contains an invalid argument/ : /request is not valid/)
    })
  })
})

async function collect<T>(pieces: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const piece of pieces) into.push(piece)
  return into
}
