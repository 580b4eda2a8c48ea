// LangChain (`@langchain/openai`) through Turnout. Only the model's `configuration.baseURL`, `apiKey` and name know of it.
//
//   npx tsx examples/clients/langchain.ts http://127.0.0.1:4000/v1 tk-demo chat-default
import { fileURLToPath } from 'node:url'
import { AIMessageChunk, type BaseMessage, HumanMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { ChatOpenAI } from '@langchain/openai'
import { z } from 'zod'

/** The one place that is Turnout's: everything below works with any chat model of LangChain. */
function modelAt(baseURL: string, apiKey: string, model: string, maxRetries = 2): ChatOpenAI {
  return new ChatOpenAI({ model, apiKey, maxRetries, configuration: { baseURL } })
}

/** One question, one answer. The signal ends it early: the promise then rejects with an `AbortError`. */
export async function text(baseURL: string, apiKey: string, model: string, signal?: AbortSignal): Promise<string> {
  const reply = await modelAt(baseURL, apiKey, model).invoke('Name three uses of a railway turnout.', { signal })
  return reply.text
}

/** The same, piece by piece as the model writes it. */
export async function* stream(baseURL: string, apiKey: string, model: string): AsyncGenerator<string> {
  const chunks = await modelAt(baseURL, apiKey, model).stream('Explain a railway turnout in one sentence.')
  for await (const chunk of chunks) if (chunk.text) yield chunk.text
}

const weather: Record<string, string> = { Paris: '18 °C, light rain', Tokyo: '24 °C, clear sky' }
const question = 'What is the weather like in Paris and in Tokyo?'

const weatherTool = tool(({ city }) => weather[city] ?? 'unknown', {
  name: 'get_weather',
  description: 'The weather in a city, now.',
  schema: z.object({ city: z.string() }),
})

/** A tool loop: the model asks for two calls at once, gets both results, and answers. */
export async function tools(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ cities: string[]; text: string }> {
  const llm = modelAt(baseURL, apiKey, model).bindTools([weatherTool])
  const messages: BaseMessage[] = [new HumanMessage(question)]
  const cities: string[] = []
  for (let step = 0; step < 5; step++) {
    const reply = await llm.invoke(messages)
    messages.push(reply)
    if (!reply.tool_calls?.length) return { cities, text: reply.text }
    for (const call of reply.tool_calls) {
      cities.push(call.args.city)
      messages.push(await weatherTool.invoke({ ...call, type: 'tool_call' }))
    }
  }
  throw new Error('the model still calls tools after five steps')
}

/** The same loop over streams: chunks are added up to a message, fragments of calls included. */
export async function toolsStreamed(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ cities: string[]; text: string; totalTokens: number }> {
  const llm = modelAt(baseURL, apiKey, model).bindTools([weatherTool])
  const messages: BaseMessage[] = [new HumanMessage(question)]
  const cities: string[] = []
  let totalTokens = 0
  for (let step = 0; step < 5; step++) {
    let reply = new AIMessageChunk('')
    for await (const chunk of await llm.stream(messages)) reply = reply.concat(chunk)
    messages.push(reply)
    totalTokens += reply.usage_metadata?.total_tokens ?? 0
    if (!reply.tool_calls?.length) return { cities, text: reply.text, totalTokens }
    for (const call of reply.tool_calls) {
      cities.push(call.args.city)
      messages.push(await weatherTool.invoke({ ...call, type: 'tool_call' }))
    }
  }
  throw new Error('the model still calls tools after five steps')
}

const recipe = z.object({ title: z.string(), minutes: z.number(), vegan: z.boolean(), steps: z.array(z.string()) })

/** An answer that follows a JSON schema, parsed and typed. */
export async function json(baseURL: string, apiKey: string, model: string): Promise<z.infer<typeof recipe>> {
  const llm = modelAt(baseURL, apiKey, model).withStructuredOutput(recipe, { name: 'recipe', method: 'jsonSchema' })
  return await llm.invoke('Give me a recipe for an onion soup.')
}

/** One pixel. `url` may also be the address of a picture on the web. */
const picture =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** A picture and a question about it. */
export async function image(baseURL: string, apiKey: string, model: string): Promise<string> {
  const message = new HumanMessage({
    content: [
      { type: 'text', text: 'What is in this picture?' },
      { type: 'image_url', image_url: { url: picture, detail: 'low' } },
    ],
  })
  const reply = await modelAt(baseURL, apiKey, model).invoke([message])
  return reply.text
}

/** An answer that was thought about first. */
export async function reasoning(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ thoughts: string | undefined; text: string }> {
  const llm = new ChatOpenAI({ model, apiKey, modelKwargs: { reasoning_effort: 'low' }, configuration: { baseURL } })
  const reply = await llm.invoke('Which of two trains should wait at a passing loop?')
  return { thoughts: reply.additional_kwargs.reasoning_content as string | undefined, text: reply.text }
}

/** Stops a stream after its first words. Turnout hangs up on the model at once, so that it generates no more either. */
export async function abort(baseURL: string, apiKey: string, model: string): Promise<{ text: string; error: unknown }> {
  const controller = new AbortController()
  let seen = ''
  try {
    const chunks = await modelAt(baseURL, apiKey, model).stream('Tell me a long story about a train.', {
      signal: controller.signal,
    })
    for await (const chunk of chunks) {
      seen += chunk.text
      if (seen !== '') controller.abort()
    }
  } catch (error) {
    // A short answer may be complete before it can be stopped: then there is no error.
    return { text: seen, error }
  }
  return { text: seen, error: undefined }
}

/** What an error holds: LangChain throws the errors of the `openai` SDK below it, with a link added to the message. */
export async function error(baseURL: string, apiKey: string, model: string) {
  try {
    // LangChain repeats 408, 429 and 5xx by itself; here the first failure is to be seen.
    await modelAt(baseURL, apiKey, model, 0).invoke('Hello?')
    return undefined
  } catch (error) {
    if (!(error instanceof Error) || !('status' in error)) throw error
    const { status, code, type, param, requestID, message } = error as Error & Record<string, unknown>
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
