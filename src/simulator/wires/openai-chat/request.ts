// Reads a chat completion request as strictly as OpenAI does, and says in neutral words what it asks for.
import type { Asked } from '../../asked.ts'
import type { Conversation } from '../../conversation.ts'
import { countTokens } from '../../prose.ts'
import { type Match, WireRefusal } from '../wire.ts'
import { readMessages } from './messages.ts'
import { readTools } from './tools.ts'
import { type Wire as Body, fail, isObject, optional } from './values.ts'

/** Tokens that the format itself costs, as OpenAI's cookbook counts them: some a message, some to prime the reply. */
const TOKENS_A_MESSAGE = 4
const TOKENS_A_REPLY = 3

/** Throws `WireRefusal` with OpenAI's `param` and `code`. Unknown parameters pass, as compatible vendors let them. */
export function readRequest(raw: Buffer, match: Match): Asked {
  const body = parse(raw)
  const model = match.model ?? body.model
  if (model === undefined) fail('missing_required_parameter', 'model', 'you must provide a model parameter')
  if (typeof model !== 'string' || model === '') fail('invalid_type', 'model', 'expected a non-empty string')
  const conversation = readMessages(body.messages)
  const tools = readTools(body)
  const stream = optional.boolean(body, 'stream') ?? false
  const includeUsage = readStreamOptions(body, stream)
  checkNumbers(body)
  return {
    model,
    stream,
    includeUsage,
    ...conversation.summary(),
    ...tools,
    format: readFormat(body),
    maxTokens:
      optional.integer(body, 'max_completion_tokens', 1) ?? optional.integer(body, 'max_tokens', 1) ?? undefined,
    stop: readStop(body),
    n: optional.integer(body, 'n', 1, 128) ?? 1,
    logprobs: optional.boolean(body, 'logprobs') ?? false,
    promptTokens: countPrompt(conversation, (body.messages as unknown[]).length, body.tools),
    audioTokens: conversation.audioTokens,
  }
}

function parse(raw: Buffer): Body {
  let body: unknown
  try {
    body = JSON.parse(raw.toString('utf8'))
  } catch {
    throw new WireRefusal(400, 'The body of the request is not valid JSON.')
  }
  if (!isObject(body)) throw new WireRefusal(400, 'The body of the request must be a JSON object.')
  return body
}

function readStreamOptions(body: Body, stream: boolean): boolean {
  const options = body.stream_options
  if (options === undefined || options === null) return false
  if (!isObject(options)) fail('invalid_type', 'stream_options', 'expected an object')
  if (!stream) fail('invalid_value', 'stream_options', 'is only allowed when stream is enabled')
  return optional.boolean(options, 'include_usage', 'stream_options.include_usage') ?? false
}

function checkNumbers(body: Body): void {
  optional.number(body, 'temperature', 0, 2)
  optional.number(body, 'top_p', 0, 1)
  optional.number(body, 'presence_penalty', -2, 2)
  optional.number(body, 'frequency_penalty', -2, 2)
  optional.integer(body, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_VALUE)
  const top = optional.integer(body, 'top_logprobs', 0, 20)
  if (top !== undefined && body.logprobs !== true)
    fail('invalid_value', 'top_logprobs', 'is only allowed with logprobs')
  optional.string(body, 'user')
  optional.string(body, 'reasoning_effort')
  if (body.metadata !== undefined && body.metadata !== null && !isObject(body.metadata)) {
    fail('invalid_type', 'metadata', 'expected an object')
  }
  if (body.logit_bias !== undefined && body.logit_bias !== null && !isObject(body.logit_bias)) {
    fail('invalid_type', 'logit_bias', 'expected an object')
  }
}

function readStop(body: Body): string[] {
  const { stop } = body
  if (stop === undefined || stop === null) return []
  if (typeof stop === 'string') return [stop]
  if (!Array.isArray(stop)) fail('invalid_type', 'stop', 'expected a string or an array of strings')
  if (stop.length > 4) fail('invalid_value', 'stop', 'expected at most 4 sequences')
  stop.forEach((sequence, i) => {
    if (typeof sequence !== 'string') fail('invalid_type', `stop[${i}]`, 'expected a string')
  })
  return stop as string[]
}

function readFormat(body: Body): Asked['format'] {
  const format = body.response_format
  if (format === undefined || format === null) return 'text'
  if (!isObject(format)) fail('invalid_type', 'response_format', 'expected an object')
  switch (format.type) {
    case 'text':
      return 'text'
    case 'json_object':
      return 'json'
    case 'json_schema': {
      const wrapper = format.json_schema
      const at = 'response_format.json_schema'
      if (wrapper === undefined) fail('missing_required_parameter', at, 'is required')
      if (!isObject(wrapper)) fail('invalid_type', at, 'expected an object')
      if (typeof wrapper.name !== 'string') fail('missing_required_parameter', `${at}.name`, 'expected a string')
      if (!/^[a-zA-Z0-9_-]{1,64}$/.test(wrapper.name)) fail('invalid_value', `${at}.name`, 'has characters not allowed')
      if (wrapper.schema !== undefined && !isObject(wrapper.schema)) {
        fail('invalid_type', `${at}.schema`, 'expected an object')
      }
      return wrapper.schema === undefined ? 'json' : { schema: wrapper.schema }
    }
    default:
      return fail('invalid_value', 'response_format.type', 'expected text, json_object or json_schema')
  }
}

function countPrompt(conversation: Conversation, messages: number, tools: unknown): number {
  const declared = tools === undefined || tools === null ? 0 : countTokens(textOf(tools))
  return messages * TOKENS_A_MESSAGE + TOKENS_A_REPLY + conversation.tokens + declared
}

/** `JSON.parse` takes any depth, `JSON.stringify` runs out of stack. */
function textOf(tools: unknown): string {
  try {
    return JSON.stringify(tools)
  } catch {
    return fail('invalid_value', 'tools', 'is nested too deep')
  }
}
