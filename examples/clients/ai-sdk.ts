// The AI SDK (`ai`) with `@ai-sdk/openai-compatible` through Turnout. Only the provider's `baseURL` and `apiKey` know of it.
//
//   npx tsx examples/clients/ai-sdk.ts http://127.0.0.1:4000/v1 tk-demo chat-default
import { fileURLToPath } from 'node:url'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, type LanguageModel, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

/** The one place that is Turnout's: everything below works with any provider of the AI SDK. */
function modelAt(baseURL: string, apiKey: string, model: string): LanguageModel {
  const turnout = createOpenAICompatible({
    name: 'turnout',
    baseURL,
    apiKey,
    // Token counts in streams, and JSON schemas as `response_format`: the SDK does neither unless it is told.
    includeUsage: true,
    supportsStructuredOutputs: true,
  })
  return turnout(model)
}

/** One question, one answer. The signal ends it early: the promise then rejects with an `AbortError`. */
export async function text(baseURL: string, apiKey: string, model: string, signal?: AbortSignal): Promise<string> {
  const result = await generateText({
    model: modelAt(baseURL, apiKey, model),
    prompt: 'Name three uses of a railway turnout.',
    abortSignal: signal,
  })
  return result.text
}

/** The same, piece by piece as the model writes it. */
export async function* stream(baseURL: string, apiKey: string, model: string): AsyncGenerator<string> {
  const result = streamText({
    model: modelAt(baseURL, apiKey, model),
    prompt: 'Explain a railway turnout in one sentence.',
    // Errors come as a part of the stream, see below; by default the SDK prints them, too.
    onError: () => {},
  })
  // `result.textStream` is shorter, but ends without a word when the model fails on the way.
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') yield part.text
    if (part.type === 'error') {
      // An `APICallError` when the request was refused; the error as it stands in the stream when the model failed on the way.
      if (part.error instanceof Error) throw part.error
      throw new Error('the model failed on the way', { cause: part.error })
    }
  }
}

const weather: Record<string, string> = { Paris: '18 °C, light rain', Tokyo: '24 °C, clear sky' }
const question = 'What is the weather like in Paris and in Tokyo?'

/** Notes in `cities` which calls were made. */
const weatherTool = (cities: string[]) =>
  tool({
    description: 'The weather in a city, now.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      cities.push(city)
      return weather[city] ?? 'unknown'
    },
  })

/** A tool loop: the model asks for two calls at once, gets both results, and answers. */
export async function tools(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ cities: string[]; text: string }> {
  const cities: string[] = []
  const result = await generateText({
    model: modelAt(baseURL, apiKey, model),
    prompt: question,
    tools: { get_weather: weatherTool(cities) },
    stopWhen: stepCountIs(5),
  })
  return { cities, text: result.text }
}

/** The same loop over streams. */
export async function toolsStreamed(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ cities: string[]; text: string; totalTokens: number }> {
  const cities: string[] = []
  const result = streamText({
    model: modelAt(baseURL, apiKey, model),
    prompt: question,
    tools: { get_weather: weatherTool(cities) },
    stopWhen: stepCountIs(5),
  })
  const answer = await result.text
  const usage = await result.totalUsage
  return { cities, text: answer, totalTokens: usage.totalTokens ?? 0 }
}

const recipe = z.object({ title: z.string(), minutes: z.number(), vegan: z.boolean(), steps: z.array(z.string()) })

/** An answer that follows a JSON schema, parsed and typed. */
export async function json(baseURL: string, apiKey: string, model: string): Promise<z.infer<typeof recipe>> {
  const result = await generateText({
    model: modelAt(baseURL, apiKey, model),
    prompt: 'Give me a recipe for an onion soup.',
    output: Output.object({ schema: recipe, name: 'recipe' }),
  })
  return result.output
}

/** One pixel. */
const picture =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** A picture and a question about it. */
export async function image(baseURL: string, apiKey: string, model: string): Promise<string> {
  const result = await generateText({
    model: modelAt(baseURL, apiKey, model),
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is in this picture?' },
          { type: 'image', image: picture },
        ],
      },
    ],
  })
  return result.text
}

/** An answer that was thought about first. */
export async function reasoning(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ thoughts: string | undefined; text: string }> {
  const result = await generateText({
    model: modelAt(baseURL, apiKey, model),
    prompt: 'Which of two trains should wait at a passing loop?',
    providerOptions: { turnout: { reasoningEffort: 'low' } },
  })
  return { thoughts: result.reasoningText, text: result.text }
}

/** Stops a stream after its first words. Turnout hangs up on the model at once, so that it generates no more either. */
export async function abort(baseURL: string, apiKey: string, model: string): Promise<{ text: string; error: unknown }> {
  const controller = new AbortController()
  const result = streamText({
    model: modelAt(baseURL, apiKey, model),
    prompt: 'Tell me a long story about a train.',
    abortSignal: controller.signal,
  })
  let seen = ''
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') {
      seen += part.text
      controller.abort()
    }
    // Not an exception: the stream ends with this part. A short answer may be complete before it can be stopped.
    if (part.type === 'abort') return { text: seen, error: controller.signal.reason }
  }
  return { text: seen, error: undefined }
}

const errorBody = z.object({
  error: z.object({ message: z.string(), type: z.string(), code: z.string().nullable(), param: z.string().nullable() }),
})

/** What an error holds. All statuses are one class, `APICallError`. */
export async function error(baseURL: string, apiKey: string, model: string) {
  try {
    // The SDK repeats 408, 409, 429 and 5xx twice by itself; here the first failure is to be seen.
    await generateText({ model: modelAt(baseURL, apiKey, model), prompt: 'Hello?', maxRetries: 0 })
    return undefined
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error
    const { code, type, param } = errorBody.parse(error.data).error
    const requestID = error.responseHeaders?.['x-request-id']
    return { name: error.name, status: error.statusCode, code, type, param, message: error.message, requestID }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [baseURL = 'http://127.0.0.1:4000/v1', apiKey = 'tk-demo', model = 'chat-default'] = process.argv.slice(2)
  console.log('text     ', await text(baseURL, apiKey, model))
  process.stdout.write('stream    ')
  for await (const piece of stream(baseURL, apiKey, model)) process.stdout.write(piece)
  console.log('\ntools    ', await tools(baseURL, apiKey, model))
  console.log('streamed ', await toolsStreamed(baseURL, apiKey, model))
  console.log('json     ', await json(baseURL, apiKey, model))
  console.log('image    ', await image(baseURL, apiKey, model))
  console.log('reasoning', await reasoning(baseURL, apiKey, model))
  console.log('abort    ', await abort(baseURL, apiKey, model))
  console.log('error    ', await error(baseURL, apiKey, 'no-such-model'))
}
