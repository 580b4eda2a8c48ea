// An OpenAI chat request to the hub: each parameter that the hub has a word for, all others kept by name.
import type { Chat, ReasoningWish, ResponseFormat, WebSearch } from '../chat.ts'
import {
  type Json,
  need,
  needObject,
  othersOf,
  readBoolean,
  readInteger,
  readList,
  readNumber,
  readObject,
  readString,
  readStrings,
  wrongValue,
} from '../field.ts'
import { decodeMessages } from './decodeMessages.ts'
import { decodeTools } from './decodeTools.ts'

/**
 * Wire to hub. Null is the same as absent; nothing the client left out is set.
 * @throws Refusal for wrong types and for content that the hub cannot hold; it names the field and never quotes it.
 */
export function decodeRequest(body: unknown): Chat {
  const wire = needObject(body, 'body')
  const messages = need(readList(wire, 'messages'), 'messages')
  const chat: Chat = { source: 'openai-chat', messages: decodeMessages(messages), ...decodeTools(wire) }
  const extra = othersOf(wire, known) ?? {}
  const set = <K extends keyof Chat>(name: K, value: Chat[K] | undefined): void => {
    if (value !== undefined) chat[name] = value
  }
  set('stream', readBoolean(wire, 'stream'))
  const options = readObject(wire, 'stream_options')
  if (options) {
    set('includeUsage', readBoolean(options, 'include_usage', 'stream_options.'))
    for (const [name, value] of Object.entries(othersOf(options, new Set(['include_usage'])) ?? {})) {
      extra[`stream_options.${name}`] = value
    }
  }
  setMaxTokens(wire, chat, extra)
  set('temperature', readNumber(wire, 'temperature'))
  set('topP', readNumber(wire, 'top_p'))
  set('topK', readNumber(wire, 'top_k'))
  set('frequencyPenalty', readNumber(wire, 'frequency_penalty'))
  set('presencePenalty', readNumber(wire, 'presence_penalty'))
  set('stop', typeof wire.stop === 'string' ? [wire.stop] : readStrings(wire, 'stop'))
  set('seed', readInteger(wire, 'seed'))
  set('n', readInteger(wire, 'n'))
  set('logprobs', readBoolean(wire, 'logprobs'))
  set('topLogprobs', readInteger(wire, 'top_logprobs'))
  set('reasoning', decodeReasoning(wire, extra))
  set('verbosity', readString(wire, 'verbosity'))
  set('modalities', readStrings(wire, 'modalities'))
  set('webSearch', decodeWebSearch(wire))
  set('user', readString(wire, 'user'))
  const metadata = readObject(wire, 'metadata')
  // A field that is null is one that nobody set, as everywhere.
  if (metadata) set('metadata', othersOf(metadata, none) ?? {})
  set('serviceTier', readString(wire, 'service_tier'))
  set('format', decodeFormat(wire))
  if (Object.keys(extra).length > 0) chat.extra = extra
  return chat
}

const known = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'functions',
  'function_call',
  'max_tokens',
  'max_completion_tokens',
  'temperature',
  'top_p',
  'top_k',
  'frequency_penalty',
  'presence_penalty',
  'stop',
  'seed',
  'n',
  'logprobs',
  'top_logprobs',
  'reasoning_effort',
  'reasoning',
  'thinking',
  'verbosity',
  'modalities',
  'web_search_options',
  'user',
  'metadata',
  'service_tier',
  'response_format',
])

/** The newer name wins; the other is kept aside where both are given, so that nothing is lost on the way back. */
function setMaxTokens(wire: Json, chat: Chat, extra: Record<string, unknown>): void {
  const old = readInteger(wire, 'max_tokens')
  const current = readInteger(wire, 'max_completion_tokens')
  const value = current ?? old
  if (value === undefined) return
  chat.maxTokens = value
  chat.maxTokensName = current === undefined ? 'max_tokens' : 'max_completion_tokens'
  if (current !== undefined && old !== undefined && old !== current) extra.max_tokens = old
}

const none: ReadonlySet<string> = new Set()

/**
 * Three spellings: OpenAI's `reasoning_effort`; OpenRouter's `reasoning: {effort, max_tokens, enabled, exclude}`; and
 * `thinking: {type, budget_tokens}`, which Anthropic's users and Z.ai's write into OpenAI bodies. One that says nothing that is known
 * here asks for nothing; `extra` gets it, if it says something.
 */
function decodeReasoning(wire: Json, extra: Record<string, unknown>): ReasoningWish | undefined {
  const effort = readString(wire, 'reasoning_effort')
  const reasoning = readObject(wire, 'reasoning')
  const thinking = readObject(wire, 'thinking')
  const wish: ReasoningWish = {}
  // OpenAI's own spelling goes before; what says otherwise is reported.
  const isAgainst = (off: boolean, on: boolean): boolean => effort !== undefined && (effort === 'none' ? on : off)
  if (thinking) {
    const type = readString(thinking, 'type', 'thinking.')
    const budget = readInteger(thinking, 'budget_tokens', 'thinking.')
    const on = type === 'enabled' || type === 'adaptive'
    if (isAgainst(type === 'disabled', on || budget !== undefined)) extra.thinking = thinking
    else {
      if (type === 'disabled') wish.off = true
      if (on) wish.on = true
      if (budget !== undefined) wish.budgetTokens = budget
    }
    if (Object.keys(wish).length > 0) wish.raw = { name: 'thinking', value: thinking }
    else if (othersOf(thinking, none)) extra.thinking = thinking
  }
  if (reasoning) {
    const told = readString(reasoning, 'effort', 'reasoning.')
    const exclude = readBoolean(reasoning, 'exclude', 'reasoning.')
    const budget = readInteger(reasoning, 'max_tokens', 'reasoning.')
    const enabled = readBoolean(reasoning, 'enabled', 'reasoning.')
    if (told !== undefined && effort === undefined) setEffort(wish, told)
    else if (told !== undefined && told !== effort) extra.reasoning = reasoning
    if (isAgainst(enabled === false, enabled === true || budget !== undefined)) extra.reasoning = reasoning
    else {
      if (budget !== undefined) wish.budgetTokens = budget
      if (enabled === true) wish.on = true
      if (enabled === false) wish.off = true
    }
    if (exclude) wish.hide = true
    if ([told, budget, enabled, exclude].some((value) => value !== undefined))
      wish.raw = { name: 'reasoning', value: reasoning }
    else if (othersOf(reasoning, none)) extra.reasoning = reasoning
  }
  if (effort !== undefined) setEffort(wish, effort)
  return Object.keys(wish).length === 0 ? undefined : wish
}

function setEffort(wish: ReasoningWish, effort: string): void {
  wish.effort = effort
  if (effort === 'none') wish.off = true
}

function decodeFormat(wire: Json): ResponseFormat | undefined {
  const format = readObject(wire, 'response_format')
  if (!format) return undefined
  const path = 'response_format.'
  switch (format.type) {
    case 'text':
      return { type: 'text' }
    case 'json_object': {
      // The schema beside it is how Together, Fireworks and llama.cpp take one, and how clients written for these send it (`instructor`).
      const schema = readObject(format, 'schema', path)
      return schema ? { type: 'schema', name: 'response', schema } : { type: 'json' }
    }
    case 'json_schema': {
      const spec = need(readObject(format, 'json_schema', path), `${path}json_schema`)
      const place = `${path}json_schema.`
      const schema = readObject(spec, 'schema', place)
      const result: ResponseFormat = {
        type: 'schema',
        name: need(readString(spec, 'name', place), `${place}name`),
        schema: schema ?? {},
      }
      const strict = readBoolean(spec, 'strict', place)
      if (strict !== undefined) result.strict = strict
      const description = readString(spec, 'description', place)
      if (description !== undefined) result.description = description
      return result
    }
    default:
      throw wrongValue(`${path}type`, "'text', 'json_object' or 'json_schema'")
  }
}

function decodeWebSearch(wire: Json): WebSearch | undefined {
  const options = readObject(wire, 'web_search_options')
  if (!options) return undefined
  const path = 'web_search_options.'
  const result: WebSearch = {}
  const size = readString(options, 'search_context_size', path)
  if (size !== undefined) result.contextSize = size
  const location = readObject(options, 'user_location', path)
  if (!location) return result
  const where = readObject(location, 'approximate', `${path}user_location.`) ?? location
  result.location = {}
  for (const name of ['city', 'country', 'region', 'timezone'] as const) {
    const value = readString(where, name, `${path}user_location.`)
    if (value !== undefined) result.location[name] = value
  }
  return result
}
