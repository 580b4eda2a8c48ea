// A plain OpenAI client over HTTP that keeps an assistant's message as it came, whole or put together from a stream.
import { dataOf, type Exchange, post } from './exchange.ts'

type Json = Record<string, unknown>

export interface AssistantMessage extends Json {
  role: 'assistant'
  content: string | null
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string }; extra_content?: Json }[]
  reasoning_content?: string
  reasoning_details?: Json[]
}

export interface Answer {
  status: number
  message: AssistantMessage
  finish: string
  native: string | undefined
  usage: Json | undefined
  /** What the target was not told, by `x-turnout-dropped-params`. */
  dropped: string[]
  headers: Exchange['headers']
  /** The `error` object of a reply that is none, or of a stream's last frame. */
  error: Json | undefined
  /** The stream said that it is complete. */
  done: boolean
}

/** Sends a chat request and reads the reply as SDKs do. */
export async function chat(url: string, body: Json, headers: Record<string, string> = {}): Promise<Answer> {
  const reply = await post(`${url}/v1/chat/completions`, body, headers)
  const told = reply.headers['x-turnout-dropped-params']
  const answer: Answer = {
    status: reply.status,
    message: { role: 'assistant', content: null },
    finish: '',
    native: undefined,
    usage: undefined,
    dropped: typeof told === 'string' ? told.split(', ') : [],
    headers: reply.headers,
    error: undefined,
    done: false,
  }
  if (String(reply.headers['content-type']).startsWith('text/event-stream')) readStream(reply.text, answer)
  else readWhole(JSON.parse(reply.text), answer)
  return answer
}

/** The message as clients keep it that know nothing beyond OpenAI's own fields. */
export function plain({ content, tool_calls: calls }: AssistantMessage): AssistantMessage {
  const known = calls?.map(({ id, type, function: called }) => ({ id, type, function: called }))
  return { role: 'assistant', content, ...(known ? { tool_calls: known } : {}) }
}

// biome-ignore lint/suspicious/noExplicitAny: wire objects are read freely
function readWhole(body: any, answer: Answer): void {
  answer.error = body.error
  answer.usage = body.usage
  const [choice] = body.choices ?? []
  if (!choice) return
  answer.message = choice.message
  answer.finish = choice.finish_reason
  answer.native = choice.native_finish_reason
  answer.done = true
}

function readStream(text: string, answer: Answer): void {
  const { message } = answer
  for (const data of dataOf(text)) {
    if (data === '[DONE]') {
      answer.done = true
      continue
    }
    const { choices = [], usage, error } = JSON.parse(data)
    if (error) answer.error = error
    if (usage) answer.usage = usage
    for (const { delta, finish_reason: finish, native_finish_reason: native } of choices) {
      if (typeof delta.content === 'string') message.content = (message.content ?? '') + delta.content
      if (delta.reasoning_content) {
        message.reasoning_content = (message.reasoning_content ?? '') + delta.reasoning_content
      }
      if (delta.reasoning_details) {
        message.reasoning_details = [...(message.reasoning_details ?? []), ...delta.reasoning_details]
      }
      for (const { index, ...call } of delta.tool_calls ?? []) {
        message.tool_calls ??= []
        const known = message.tool_calls[index]
        if (known) known.function.arguments += call.function.arguments
        else message.tool_calls[index] = call
      }
      if (finish) answer.finish = finish
      if (native) answer.native = native
    }
  }
}
