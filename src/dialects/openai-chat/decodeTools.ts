// The tools of an OpenAI chat request and how they may be used, to the hub's words.
import type { Chat, Tool, ToolChoice } from '../chat.ts'
import {
  type Json,
  need,
  needObject,
  othersOf,
  readBoolean,
  readList,
  readObject,
  readString,
  wrongValue,
} from '../field.ts'
import { cacheMark } from './decodeMessages.ts'

/** Wire to hub: `tools`, `tool_choice`, `parallel_tool_calls`, and the deprecated `functions` and `function_call`. */
export function decodeTools(wire: Json): Partial<Chat> {
  const result: Partial<Chat> = {}
  const tools = readList(wire, 'tools')
  const functions = readList(wire, 'functions')
  // Calls of the ones and of the others come in different fields: a reply has room for one kind.
  if (tools?.length && functions?.length) throw wrongValue('functions', "none beside 'tools'")
  if (tools) result.tools = tools.map((tool, at) => decodeTool(needObject(tool, `tools[${at}]`), `tools[${at}].`))
  if (functions) {
    result.tools = functions.map((fn, at) => decodeFunction(needObject(fn, `functions[${at}]`), `functions[${at}].`))
    result.legacyFunctions = true
  }
  const choice = decodeToolChoice(wire) ?? decodeFunctionCall(wire)
  if (choice) result.toolChoice = choice
  const parallel = readBoolean(wire, 'parallel_tool_calls')
  if (parallel !== undefined) result.parallelToolCalls = parallel
  return result
}

const knownInTool = new Set(['type', 'function', 'cache_control', 'prompt_cache_breakpoint'])
const knownInFunction = new Set(['name', 'description', 'parameters', 'strict', 'cache_control'])

function decodeTool(tool: Json, path: string): Tool {
  const type = readString(tool, 'type', path) ?? 'function'
  if (type === 'function') {
    const fn = need(readObject(tool, 'function', path), `${path}function`)
    const decoded = decodeFunction(fn, `${path}function.`)
    const cache = cacheMark(tool, path)
    if (cache) decoded.cache = cache
    const extra = othersOf(tool, knownInTool)
    if (extra) decoded.extra = { ...decoded.extra, ...extra }
    return decoded
  }
  // Anything else is run by a vendor, or is OpenAI's custom tool: only a target that knows its type can take it.
  const custom = readObject(tool, 'custom', path)
  const name = (custom && readString(custom, 'name', `${path}custom.`)) ?? readString(tool, 'name', path) ?? type
  return { name, custom: tool }
}

function decodeFunction(fn: Json, path: string): Tool {
  const tool: Tool = { name: need(readString(fn, 'name', path), `${path}name`) }
  const description = readString(fn, 'description', path)
  if (description !== undefined) tool.description = description
  const schema = readObject(fn, 'parameters', path)
  if (schema) tool.schema = schema
  const strict = readBoolean(fn, 'strict', path)
  if (strict !== undefined) tool.strict = strict
  const cache = cacheMark(fn, path)
  if (cache) tool.cache = cache
  const extra = othersOf(fn, knownInFunction)
  if (extra) tool.extra = extra
  return tool
}

function decodeToolChoice(wire: Json): ToolChoice | undefined {
  const choice = wire.tool_choice
  if (choice === undefined || choice === null) return undefined
  if (choice === 'none') return { mode: 'none' }
  if (choice === 'auto' || choice === 'required') return { mode: choice }
  // Mistral's word for "required".
  if (choice === 'any') return { mode: 'required' }
  if (typeof choice === 'string') throw wrongValue('tool_choice', "'none', 'auto', 'required' or an object")
  const object = needObject(choice, 'tool_choice')
  if (object.type === 'allowed_tools') return decodeAllowed(object)
  const kind = object.type === 'custom' ? 'custom' : 'function'
  if (object.type !== kind) throw wrongValue('tool_choice.type', "'function', 'custom' or 'allowed_tools'")
  const named = need(readObject(object, kind, 'tool_choice.'), `tool_choice.${kind}`)
  const name = need(readString(named, 'name', `tool_choice.${kind}.`), `tool_choice.${kind}.name`)
  return kind === 'custom' ? { mode: 'named', name, custom: true } : { mode: 'named', name }
}

/** `{type: "allowed_tools", allowed_tools: {mode, tools: [{type: "function", function: {name}}]}}`. */
function decodeAllowed(object: Json): ToolChoice {
  const path = 'tool_choice.allowed_tools'
  const allowed = need(readObject(object, 'allowed_tools', 'tool_choice.'), path)
  const mode = need(readString(allowed, 'mode', `${path}.`), `${path}.mode`)
  if (mode !== 'auto' && mode !== 'required') throw wrongValue(`${path}.mode`, "'auto' or 'required'")
  const only = need(readList(allowed, 'tools', `${path}.`), `${path}.tools`).map((item, at) => {
    const place = `${path}.tools[${at}]`
    const tool = needObject(item, place)
    const named = readObject(tool, 'function', `${place}.`) ?? readObject(tool, 'custom', `${place}.`) ?? tool
    return need(readString(named, 'name', `${place}.`), `${place}.name`)
  })
  return { mode, only }
}

function decodeFunctionCall(wire: Json): ToolChoice | undefined {
  const choice = wire.function_call
  if (choice === undefined || choice === null) return undefined
  if (choice === 'none' || choice === 'auto') return { mode: choice }
  if (typeof choice === 'string') throw wrongValue('function_call', "'none', 'auto' or an object")
  const name = need(readString(needObject(choice, 'function_call'), 'name', 'function_call.'), 'function_call.name')
  return { mode: 'named', name }
}
