// The hub's request to an OpenAI chat request body.
import type { Chat, ReasoningWish, ResponseFormat, Tool, ToolChoice } from '../chat.ts'
import type { Encoded } from '../dialect.ts'
import { compact } from '../field.ts'
import { Losses } from '../loss.ts'
import { encodeMessages, markOf } from './encodeMessages.ts'
import { prefixEncoded } from './systemPrefix.ts'

type Wire = Record<string, unknown>

/** Hub to wire. Fields the client did not set stay absent. What came from this dialect goes back under its own name. */
export function encodeRequest(chat: Chat, model: string): Encoded {
  const losses = new Losses()
  const own = chat.source === 'openai-chat'
  const legacy = own && chat.legacyFunctions === true
  const { extra } = chat
  if (!own) losses.addAll(extra)
  const wire: Wire = compact({
    model,
    messages: prefixEncoded(encodeMessages(chat.messages, { own, legacy }, losses), chat.systemPrefix),
    stream: chat.stream,
    stream_options: encodeStreamOptions(chat),
    ...encodeTools(chat, legacy, own, losses),
    parallel_tool_calls: chat.parallelToolCalls,
    [chat.maxTokensName ?? 'max_completion_tokens']: chat.maxTokens,
    temperature: chat.temperature,
    top_p: chat.topP,
    top_k: chat.topK,
    frequency_penalty: chat.frequencyPenalty,
    presence_penalty: chat.presencePenalty,
    stop: chat.stop,
    seed: chat.seed,
    n: chat.n,
    logprobs: chat.logprobs,
    top_logprobs: chat.topLogprobs,
    ...encodeReasoning(chat.reasoning),
    verbosity: chat.verbosity,
    modalities: chat.modalities,
    web_search_options: encodeWebSearch(chat),
    user: chat.user,
    metadata: chat.metadata,
    service_tier: chat.serviceTier,
    response_format: encodeFormat(chat.format),
  })
  for (const [name, value] of Object.entries((own && extra) || {})) {
    if (!name.startsWith('stream_options.')) wire[name] ??= value
  }
  return { wire, losses: losses.list }
}

function encodeStreamOptions({ includeUsage, extra, source }: Chat): Wire | undefined {
  const options: Wire = includeUsage === undefined ? {} : { include_usage: includeUsage }
  if (source === 'openai-chat')
    for (const [name, value] of Object.entries(extra ?? {})) {
      if (name.startsWith('stream_options.')) options[name.slice('stream_options.'.length)] = value
    }
  return Object.keys(options).length > 0 ? options : undefined
}

function encodeTools(chat: Chat, legacy: boolean, own: boolean, losses: Losses): Wire {
  const { toolChoice: choice } = chat
  if (legacy) {
    const named = choice?.mode === 'named' ? { name: choice.name } : choice?.mode
    return { functions: chat.tools?.map((tool) => encodeFunction(tool, own)), function_call: named }
  }
  for (const tool of chat.tools ?? []) if (!own) losses.addAll(tool.extra, 'tools.')
  return {
    tools: chat.tools?.map((tool) => encodeTool(tool, own)),
    tool_choice: choice && encodeToolChoice(choice),
  }
}

function encodeTool(tool: Tool, own: boolean): unknown {
  if (tool.custom !== undefined) return tool.custom
  return { type: 'function', function: encodeFunction(tool, own), ...markOf(tool.cache) }
}

const encodeFunction = (tool: Tool, own: boolean): Wire =>
  compact({
    name: tool.name,
    description: tool.description,
    parameters: tool.schema,
    strict: tool.strict,
    ...(own ? tool.extra : undefined),
  })

function encodeToolChoice(choice: ToolChoice): unknown {
  if (choice.mode === 'none') return 'none'
  if (choice.mode === 'named') {
    return choice.custom
      ? { type: 'custom', custom: { name: choice.name } }
      : { type: 'function', function: { name: choice.name } }
  }
  if (!choice.only) return choice.mode
  const tools = choice.only.map((name) => ({ type: 'function', function: { name } }))
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools } }
}

/** A wish that came by a field of another spelling goes back by it; the effort has a name of its own. */
function encodeReasoning(wish: ReasoningWish | undefined): Wire {
  if (!wish) return {}
  const raw = wish.raw ? { [wish.raw.name]: wish.raw.value } : {}
  const inRaw = wish.raw?.name === 'reasoning'
  return { ...raw, reasoning_effort: inRaw ? undefined : (wish.effort ?? (wish.raw ? undefined : effortOf(wish))) }
}

/** OpenAI has no token budgets; these are the budgets that the efforts stand for on the way to vendors that have. */
function effortOf({ off, budgetTokens: budget, on }: ReasoningWish): string | undefined {
  if (off) return 'none'
  if (budget === undefined) return on ? 'medium' : undefined
  if (budget <= 2048) return 'low'
  return budget <= 8192 ? 'medium' : 'high'
}

function encodeFormat(format: ResponseFormat | undefined): unknown {
  if (!format) return undefined
  if (format.type === 'text') return { type: 'text' }
  if (format.type === 'json') return { type: 'json_object' }
  const { name, schema, strict, description } = format
  return { type: 'json_schema', json_schema: compact({ name, description, schema, strict }) }
}

function encodeWebSearch({ webSearch }: Chat): unknown {
  if (!webSearch) return undefined
  return compact({
    search_context_size: webSearch.contextSize,
    user_location: webSearch.location && { type: 'approximate', approximate: webSearch.location },
  })
}
