// Tools and tool choice in Gemini's words.
import type { Chat, Tool, ToolChoice } from '../chat.ts'
import { Refusal } from '../errors.ts'
import { asObject, compact } from '../field.ts'
import type { Losses } from '../loss.ts'
import type { Family } from './families.ts'
import { writeName } from './names.ts'
import { cleanSchemaOf, SchemaRoom } from './schema.ts'
import type { FunctionDeclaration, WireRequest } from './type.ts'

type ToolFields = Pick<WireRequest, 'tools' | 'toolConfig'>

/** `tools`, `tool_choice`, `parallel_tool_calls` and `web_search_options`. */
export function encodeTools(chat: Chat, family: Family, losses: Losses): ToolFields {
  const { toolChoice: choice } = chat
  const only = choice && 'only' in choice ? choice.only : undefined
  const all = chat.tools ?? []
  const declarations: FunctionDeclaration[] = []
  const native: Record<string, unknown>[] = []
  const room = new SchemaRoom()
  for (const [at, tool] of all.entries()) {
    if (only && !only.includes(tool.name)) continue
    if (tool.custom !== undefined) native.push(encodeForeignTool(tool, at))
    else declarations.push(encodeDeclaration(tool, room, losses))
  }
  if (chat.webSearch) {
    if (declarations.length > 0 && !family.mixes)
      losses.add('web_search_options', 'dropped', 'not together with functions')
    else native.push({ googleSearch: {} })
    if (Object.keys(chat.webSearch).length > 0) losses.add('web_search_options', 'approximated', 'without its options')
  }
  if (chat.parallelToolCalls === false) losses.add('parallel_tool_calls', 'unsupported')
  const tools = [...(declarations.length > 0 ? [{ functionDeclarations: declarations }] : []), ...native]
  if (tools.length === 0) {
    if (choice?.mode === 'required' || choice?.mode === 'named')
      losses.add('tool_choice', 'dropped', 'there are no tools')
    return {}
  }
  const config = declarations.length > 0 && choice ? { functionCallingConfig: encodeChoice(choice) } : {}
  const mixed =
    declarations.length > 0 && native.length > 0 && family.mixes ? { includeServerSideToolInvocations: true } : {}
  const toolConfig = { ...config, ...mixed }
  return compact({ tools, toolConfig: Object.keys(toolConfig).length > 0 ? toolConfig : undefined })
}

function encodeDeclaration(tool: Tool, room: SchemaRoom, losses: Losses): FunctionDeclaration {
  if (tool.strict === true) losses.add('tools.strict', 'unsupported')
  if (tool.cache) losses.add('cache_control', 'unsupported', 'Gemini caches by itself')
  losses.addAll(tool.extra, 'tools.')
  const { schema, removed } = cleanSchemaOf(tool.schema, room)
  if (removed.length > 0) losses.add('tools', 'approximated', `schema without ${removed.join(', ')}`)
  // An object without properties is refused: a function without parameters has no schema at all.
  const parameters = schema.properties || schema.anyOf ? { ...schema, type: 'OBJECT' } : undefined
  return compact({ name: writeName(tool.name), description: tool.description, parameters })
}

const nativeTools: ReadonlySet<string> = new Set([
  'googleSearch',
  'codeExecution',
  'urlContext',
  'googleMaps',
  'fileSearch',
])

/** A tool that Google runs itself passes, written as Google writes it (`{googleSearch: {}}`) or as a type (`google_search`). */
function encodeForeignTool(tool: Tool, at: number): Record<string, unknown> {
  const raw = asObject(tool.custom) ?? {}
  const type = typeof raw.type === 'string' ? raw.type : ''
  const name = type.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
  if (nativeTools.has(name)) return { [name]: asObject(raw[type]) ?? asObject(raw[name]) ?? {} }
  const param = `tools[${at}].type`
  const kind = type.slice(0, 64)
  throw new Refusal('unsupported_parameter', `Invalid '${param}': Google's API has no tools of type '${kind}'.`, param)
}

function encodeChoice(choice: ToolChoice): { mode: string; allowedFunctionNames?: string[] } {
  switch (choice.mode) {
    case 'none':
      return { mode: 'NONE' }
    case 'auto':
      return { mode: 'AUTO' }
    case 'required':
      return { mode: 'ANY' }
    case 'named':
      return { mode: 'ANY', allowedFunctionNames: [writeName(choice.name)] }
  }
}
