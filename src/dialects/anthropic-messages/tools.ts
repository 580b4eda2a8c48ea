// Tools, tool choice and answer formats in Anthropic's words.
import type { Chat, Tool, ToolChoice } from '../chat.ts'
import { Refusal } from '../errors.ts'
import { writeJson } from '../exactJson.ts'
import { asObject, compact } from '../field.ts'
import type { Losses } from '../loss.ts'
import type { Family } from './families.ts'
import { markOf } from './messages.ts'
import { isStrictReady, outputSchemaOf } from './schema.ts'
import { isInput, misfitOf } from './schemaFit.ts'
import { jsonToolName, type WireMessage, type WireRequest, type WireTool } from './type.ts'

export interface Format {
  output: { format?: { type: 'json_schema'; schema: unknown } }
  /** A tool whose call is the answer, for models without structured outputs. */
  tool?: WireTool
  /** A sentence for the system prompt, where there is nothing better. */
  instruction?: string
}

/**
 * `response_format`. A bare "JSON object" has no schema to enforce: the model is told, which is reported. What the API's own format cannot
 * hold is asked for as for models without it: by a tool, whose schema may say anything of an object. For all else the model is told.
 */
export function encodeFormat({ format, toolChoice }: Chat, family: Family, losses: Losses): Format {
  if (!format || format.type === 'text') return { output: {} }
  if (format.type === 'json') {
    losses.add('response_format', 'approximated', 'asked for in the system prompt')
    return { output: {}, instruction: 'Answer with one valid JSON object and nothing else.' }
  }
  const misfit = family.structured ? misfitOf(format.schema) : undefined
  if (family.structured && misfit === undefined) {
    const { schema, removed } = outputSchemaOf(format.schema)
    if (removed.length > 0) losses.add('response_format', 'approximated', `without ${removed.join(', ')}`)
    return { output: { format: { type: 'json_schema', schema } } }
  }
  if (toolChoice?.mode === 'required' || toolChoice?.mode === 'named') {
    losses.add('response_format', 'dropped', 'a tool call is forced')
    return { output: {} }
  }
  if (!isInput(format.schema)) {
    losses.add('response_format', 'approximated', 'asked for in the system prompt: it is no object that a tool takes')
    const instruction = `Answer with one valid JSON value that fits this JSON Schema, and nothing else: ${writeJson(format.schema)}`
    return { output: {}, instruction }
  }
  if (misfit !== undefined) losses.add('response_format', 'approximated', `by a tool call: there are no ${misfit}`)
  const description = format.description ?? 'Gives the final answer. Call it once, with the whole answer as its input.'
  return { output: {}, tool: { name: jsonToolName, description, input_schema: inputSchemaOf(format.schema) } }
}

type ToolFields = Pick<WireRequest, 'tools' | 'tool_choice'>

/** `tools`, `tool_choice` and `parallel_tool_calls`. */
export function encodeTools(
  chat: Chat,
  family: Family,
  answer: WireTool | undefined,
  messages: readonly WireMessage[],
  losses: Losses,
): ToolFields {
  const { toolChoice: choice } = chat
  const only = choice && 'only' in choice ? choice.only : undefined
  const allowed = (chat.tools ?? []).filter(({ name }) => !only || only.includes(name))
  const tools = allowed.map((tool) => encodeTool(tool, chat.tools!.indexOf(tool), family, losses))
  if (chat.webSearch) {
    const search = encodeWebSearch(chat.webSearch)
    // The API has one name for it, and wants each name once: the client's own function is what its code can answer for.
    if (tools.some(({ name }) => name === search.name))
      losses.add('web_search_options', 'dropped', `a tool of the request is called ${search.name}`)
    else tools.push(search)
  }
  if (answer) {
    const plain = tools.length === 0 || choice?.mode === 'none'
    // Two answers, one behind the other, would be no JSON.
    const tool_choice = plain
      ? { type: 'tool' as const, name: answer.name, disable_parallel_tool_use: true }
      : { type: 'any' as const }
    return { tools: [...tools, answer], tool_choice: withParallel(tool_choice, chat) }
  }
  if (tools.length === 0) {
    if (choice?.mode === 'required' || choice?.mode === 'named')
      losses.add('tool_choice', 'dropped', 'there are no tools')
    return rememberedTools(messages)
  }
  const told = choice ? encodeChoice(choice) : undefined
  const tool_choice = told ?? (callsOne(chat) ? { type: 'auto' as const } : undefined)
  return compact({ tools, tool_choice: tool_choice && withParallel(tool_choice, chat) })
}

/** The API wants tools to be declared wherever the history calls them, also when no more calls are wanted. */
function rememberedTools(messages: readonly WireMessage[]): ToolFields {
  const names = new Set<string>()
  for (const { content } of messages)
    for (const block of content) if (block.type === 'tool_use') names.add(String(block.name))
  if (names.size === 0) return {}
  const tools = [...names].map((name) => ({ name, input_schema: { type: 'object' } }))
  return { tools, tool_choice: { type: 'none' } }
}

function encodeTool(tool: Tool, at: number, family: Family, losses: Losses): WireTool {
  if (tool.custom !== undefined) return encodeForeignTool(tool, at)
  losses.addAll(tool.extra, 'tools.', nativeFields)
  const native = Object.fromEntries(Object.entries(tool.extra ?? {}).filter(([name]) => nativeFields.has(name)))
  const input_schema = inputSchemaOf(tool.schema)
  const strict = tool.strict === true && family.structured && isStrictReady(tool.schema)
  if (tool.strict === true && !strict) losses.add('tools.strict', 'unsupported')
  return compact({
    name: tool.name,
    description: tool.description,
    input_schema,
    strict: strict || undefined,
    ...native,
    ...markOf(tool.cache),
  })
}

/** Fields of Anthropic's own tools that clients write into OpenAI's. */
const nativeFields: ReadonlySet<string> = new Set([
  'eager_input_streaming',
  'defer_loading',
  'input_examples',
  'allowed_callers',
])

/** A tool that Anthropic runs itself, written into an OpenAI body as it is, passes: its type ends in a date. */
function encodeForeignTool(tool: Tool, at: number): WireTool {
  const raw = asObject(tool.custom)
  const type = typeof raw?.type === 'string' ? raw.type : ''
  if (raw && /^[a-z][a-z0-9_]*_\d{8}$/.test(type)) return { ...raw, name: tool.name }
  const param = `tools[${at}].type`
  const kind = type.slice(0, 64)
  throw new Refusal(
    'unsupported_parameter',
    `Invalid '${param}': Anthropic's API has no tools of type '${kind}'.`,
    param,
  )
}

/** The client's schema, untouched but for the root type that the API demands. */
function inputSchemaOf(schema: unknown): unknown {
  const from = asObject(schema)
  if (!from) return { type: 'object', properties: {} }
  return from.type === 'object' ? from : { ...from, type: 'object' }
}

function encodeWebSearch({ location }: NonNullable<Chat['webSearch']>): WireTool {
  const user_location = location ? { user_location: { type: 'approximate', ...location } } : {}
  return { type: 'web_search_20250305', name: 'web_search', ...user_location }
}

type WireChoice = NonNullable<WireRequest['tool_choice']>

function encodeChoice(choice: ToolChoice): WireChoice {
  switch (choice.mode) {
    case 'none':
      return { type: 'none' }
    case 'auto':
      return { type: 'auto' }
    case 'required':
      return { type: 'any' }
    case 'named':
      return { type: 'tool', name: choice.name }
  }
}

/** The deprecated `functions` know one call a turn. */
const callsOne = ({ parallelToolCalls, legacyFunctions }: Chat): boolean =>
  parallelToolCalls === false || legacyFunctions === true

function withParallel(choice: WireChoice, chat: Chat): WireChoice {
  return callsOne(chat) && choice.type !== 'none' ? { ...choice, disable_parallel_tool_use: true } : choice
}
