// The official `openai` SDK through Turnout. Only `baseURL`, `apiKey` and `model` differ from a program that calls OpenAI itself.
//
//   npx tsx examples/clients/openai.ts http://127.0.0.1:4000/v1 tk-demo chat-default
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import type {
  ChatCompletionMessage,
  ChatCompletionMessageParam,
  ChatCompletionTool,
} from 'openai/resources/chat/completions'
import { z } from 'zod'

/** One question, one answer. The signal ends it early: the promise then rejects with `OpenAI.APIUserAbortError`. */
export async function text(baseURL: string, apiKey: string, model: string, signal?: AbortSignal): Promise<string> {
  const client = new OpenAI({ baseURL, apiKey })
  const completion = await client.chat.completions.create(
    { model, messages: [{ role: 'user', content: 'Name three uses of a railway turnout.' }] },
    { signal },
  )
  return completion.choices[0]?.message.content ?? ''
}

/** The same, piece by piece as the model writes it. */
export async function* stream(baseURL: string, apiKey: string, model: string): AsyncGenerator<string> {
  const client = new OpenAI({ baseURL, apiKey })
  const chunks = await client.chat.completions.create({
    model,
    stream: true,
    messages: [{ role: 'user', content: 'Explain a railway turnout in one sentence.' }],
  })
  for await (const chunk of chunks) {
    const piece = chunk.choices[0]?.delta?.content
    if (piece) yield piece
  }
}

const weatherTool: ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city, now.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const weather: Record<string, string> = { Paris: '18 °C, light rain', Tokyo: '24 °C, clear sky' }
const question = 'What is the weather like in Paris and in Tokyo?'

/** A tool loop: the model asks for two calls at once, gets both results, and answers. */
export async function tools(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ cities: string[]; text: string }> {
  const client = new OpenAI({ baseURL, apiKey })
  const messages: ChatCompletionMessageParam[] = [{ role: 'user', content: question }]
  const cities: string[] = []
  for (let step = 0; step < 5; step++) {
    const completion = await client.chat.completions.create({ model, messages, tools: [weatherTool] })
    const message = completion.choices[0]!.message
    messages.push(message)
    if (!message.tool_calls?.length) return { cities, text: message.content ?? '' }
    for (const call of message.tool_calls) {
      if (call.type !== 'function') continue
      const { city } = JSON.parse(call.function.arguments) as { city: string }
      cities.push(city)
      messages.push({ role: 'tool', tool_call_id: call.id, content: weather[city] ?? 'unknown' })
    }
  }
  throw new Error('the model still calls tools after five steps')
}

/** The same loop over streams: the SDK puts calls together from their fragments. */
export async function toolsStreamed(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ cities: string[]; text: string; totalTokens: number }> {
  const client = new OpenAI({ baseURL, apiKey })
  const cities: string[] = []
  const runner = client.chat.completions.runTools({
    model,
    stream: true,
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: question }],
    tools: [
      {
        type: 'function',
        function: {
          name: 'get_weather',
          description: 'The weather in a city, now.',
          parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
          parse: (json: string) => JSON.parse(json) as { city: string },
          function: ({ city }: { city: string }) => {
            cities.push(city)
            return weather[city] ?? 'unknown'
          },
        },
      },
    ],
  })
  const answer = (await runner.finalContent()) ?? ''
  return { cities, text: answer, totalTokens: (await runner.totalUsage()).total_tokens }
}

const recipe = z.object({ title: z.string(), minutes: z.number(), vegan: z.boolean(), steps: z.array(z.string()) })

/** An answer that follows a JSON schema, parsed and typed. */
export async function json(baseURL: string, apiKey: string, model: string): Promise<z.infer<typeof recipe>> {
  const client = new OpenAI({ baseURL, apiKey })
  const completion = await client.chat.completions.parse({
    model,
    messages: [{ role: 'user', content: 'Give me a recipe for an onion soup.' }],
    response_format: zodResponseFormat(recipe, 'recipe'),
  })
  const parsed = completion.choices[0]?.message.parsed
  if (!parsed) throw new Error('the model gave no recipe')
  return parsed
}

/** One pixel. `url` may also be the address of a picture on the web. */
const picture =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** A picture and a question about it. */
export async function image(baseURL: string, apiKey: string, model: string): Promise<string> {
  const client = new OpenAI({ baseURL, apiKey })
  const completion = await client.chat.completions.create({
    model,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is in this picture?' },
          { type: 'image_url', image_url: { url: picture, detail: 'low' } },
        ],
      },
    ],
  })
  return completion.choices[0]?.message.content ?? ''
}

/** An answer that was thought about first. Models that show their thoughts do so in a field that the SDK's types do not have. */
export async function reasoning(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ thoughts: string | undefined; text: string }> {
  const client = new OpenAI({ baseURL, apiKey })
  const completion = await client.chat.completions.create({
    model,
    reasoning_effort: 'low',
    messages: [{ role: 'user', content: 'Which of two trains should wait at a passing loop?' }],
  })
  const message = completion.choices[0]!.message as ChatCompletionMessage & { reasoning_content?: string }
  return { thoughts: message.reasoning_content, text: message.content ?? '' }
}

/** Stops a stream after its first words. Turnout hangs up on the model at once, so that it generates no more either. */
export async function abort(baseURL: string, apiKey: string, model: string): Promise<{ text: string; error: unknown }> {
  const client = new OpenAI({ baseURL, apiKey })
  const runner = client.chat.completions.stream({
    model,
    messages: [{ role: 'user', content: 'Tell me a long story about a train.' }],
  })
  let seen = ''
  try {
    for await (const chunk of runner) {
      seen += chunk.choices[0]?.delta?.content ?? ''
      if (seen !== '') runner.abort()
    }
  } catch (error) {
    // An `OpenAI.APIUserAbortError`. A short answer may be complete before it can be stopped: then there is no error.
    return { text: seen, error }
  }
  return { text: seen, error: undefined }
}

/** What an error holds. Its class tells the status: NotFoundError, RateLimitError, BadRequestError, … */
export async function error(baseURL: string, apiKey: string, model: string) {
  // The SDK repeats 408, 409, 429 and 5xx twice by itself; here the first failure is to be seen.
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
  try {
    await client.chat.completions.create({ model, messages: [{ role: 'user', content: 'Hello?' }] })
    return undefined
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error
    const { status, code, type, param, message, requestID } = error
    return { name: error.constructor.name, status, code, type, param, message, requestID }
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
