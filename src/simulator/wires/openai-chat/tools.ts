// Checks the tools of a chat request and how they may be chosen.
import type { Asked, AskedTool } from '../../asked.ts'
import { fail, isObject, optional, type Wire } from './values.ts'

const NAME = /^[a-zA-Z0-9_-]{1,64}$/

/** Throws `WireRefusal`. Custom (grammar) tools and the old `functions` are accepted and never called. */
export function readTools(body: Wire): Pick<Asked, 'tools' | 'toolChoice' | 'parallel'> {
  const tools = readList(body.tools)
  const parallel = optional.boolean(body, 'parallel_tool_calls') ?? true
  const choice = body.tool_choice
  if (choice === undefined || choice === null) return { tools: tools ?? [], toolChoice: 'auto', parallel }
  if (tools === undefined) fail('invalid_value', 'tool_choice', 'is only allowed when tools are specified')
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { tools, toolChoice: choice, parallel }
  if (typeof choice === 'string') fail('invalid_value', 'tool_choice', 'expected none, auto or required')
  if (!isObject(choice)) fail('invalid_type', 'tool_choice', 'expected a string or an object')
  return { ...narrow(tools, choice), parallel }
}

function readList(list: unknown): AskedTool[] | undefined {
  if (list === undefined || list === null) return undefined
  if (!Array.isArray(list)) fail('invalid_type', 'tools', 'expected an array of objects')
  if (list.length === 0) fail('invalid_value', 'tools', 'expected at least one tool')
  const tools: AskedTool[] = []
  list.forEach((tool, i) => {
    const at = `tools[${i}]`
    if (!isObject(tool)) fail('invalid_type', at, 'expected an object')
    if (tool.type === undefined) fail('missing_required_parameter', `${at}.type`, 'is required')
    if (tool.type !== 'function' && tool.type !== 'custom')
      fail('invalid_value', `${at}.type`, 'expected function or custom')
    const body = tool[tool.type]
    if (!isObject(body)) fail('missing_required_parameter', `${at}.${tool.type}`, 'expected an object')
    const name = checkName(body.name, `${at}.${tool.type}.name`)
    if (tool.type === 'custom') return
    if (body.parameters !== undefined && body.parameters !== null && !isObject(body.parameters)) {
      fail('invalid_type', `${at}.function.parameters`, 'expected an object')
    }
    // Without parameters OpenAI takes an empty list of them.
    tools.push({ name, schema: body.parameters ?? { type: 'object', properties: {} } })
  })
  return tools
}

function checkName(name: unknown, at: string): string {
  if (name === undefined) fail('missing_required_parameter', at, 'is required')
  if (typeof name !== 'string') fail('invalid_type', at, 'expected a string')
  if (!NAME.test(name)) fail('invalid_value', at, 'expected 1 to 64 letters, digits, underscores or hyphens')
  return name
}

function narrow(tools: AskedTool[], choice: Wire): Pick<Asked, 'tools' | 'toolChoice'> {
  if (choice.type === 'allowed_tools') {
    const allowed = choice.allowed_tools
    if (!isObject(allowed) || !Array.isArray(allowed.tools)) {
      fail('invalid_type', 'tool_choice.allowed_tools', 'expected an object with tools')
    }
    const names = allowed.tools.map((tool) =>
      isObject(tool) && isObject(tool.function) ? tool.function.name : undefined,
    )
    const kept = tools.filter((tool) => names.includes(tool.name))
    return { tools: kept, toolChoice: allowed.mode === 'required' ? 'required' : 'auto' }
  }
  if (choice.type === 'custom') return { tools: [], toolChoice: 'auto' }
  if (choice.type !== 'function')
    fail('invalid_value', 'tool_choice.type', 'expected function, custom or allowed_tools')
  if (!isObject(choice.function)) fail('missing_required_parameter', 'tool_choice.function', 'expected an object')
  const name = checkName(choice.function.name, 'tool_choice.function.name')
  const tool = tools.find((candidate) => candidate.name === name)
  if (tool === undefined) fail('invalid_value', 'tool_choice.function.name', 'is not among the tools')
  return { tools: [tool], toolChoice: 'required' }
}
