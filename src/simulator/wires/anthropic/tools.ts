// Checks the tools of a message request and how they may be chosen.
import type { Asked, AskedTool } from '../../asked.ts'
import { checkBoolean, checkChoice, checkList, checkObject, checkString, fail, isObject, type Wire } from './values.ts'

const NAME = /^[a-zA-Z0-9_-]{1,128}$/
const FIELDS = [
  'type',
  'name',
  'description',
  'input_schema',
  'cache_control',
  'strict',
  'eager_input_streaming',
  'defer_loading',
  'input_examples',
  'allowed_callers',
]

export interface Tools extends Pick<Asked, 'tools' | 'toolChoice' | 'parallel'> {
  /** Tools of all kinds; those that Anthropic runs itself are accepted and never called. */
  declared: number
}

/** Throws `WireRefusal`. */
export function readTools(body: Wire): Tools {
  const list = body.tools === undefined ? [] : checkList(body.tools, 'tools')
  const names = new Set<string>()
  const tools = list.flatMap((tool, i) => {
    const asked = readTool(tool, i)
    if (names.has(asked.name)) fail('tools', 'Tool names must be unique.')
    names.add(asked.name)
    return asked.schema === undefined ? [] : [asked]
  })
  const choice = body.tool_choice
  if (choice === undefined) return { declared: list.length, tools, toolChoice: 'auto', parallel: true }
  if (list.length === 0) fail('', 'tool_choice may only be specified while providing tools.')
  return { declared: list.length, ...readChoice(choice, tools, names) }
}

function readTool(tool: unknown, i: number): AskedTool {
  if (!isObject(tool)) fail(`tools.${i}`, 'Input should be a valid dictionary')
  const { type } = tool
  if (type !== undefined && type !== null && type !== 'custom') {
    if (typeof type !== 'string' || !/^[a-z][a-z0-9_]*_\d{8}$/.test(type)) {
      fail(`tools.${i}`, 'Input tag does not match any of the expected tags')
    }
    return { name: checkString(tool.name, `tools.${i}.${type}.name`), schema: undefined }
  }
  const path = `tools.${i}.custom`
  const { name, description, input_schema: schema, strict } = checkObject(tool, path, FIELDS, ['name', 'input_schema'])
  if (!NAME.test(checkString(name, `${path}.name`))) {
    fail(`${path}.name`, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
  }
  if (description !== undefined) checkString(description, `${path}.description`)
  if (strict !== undefined) checkBoolean(strict, `${path}.strict`)
  if (!isObject(schema)) fail(`${path}.input_schema`, 'Input should be a valid dictionary')
  if (schema.type === undefined) fail(`${path}.input_schema.type`, 'Field required')
  if (schema.type !== 'object') fail(`${path}.input_schema.type`, "Input should be 'object'")
  return { name: name as string, schema }
}

function readChoice(
  choice: unknown,
  tools: AskedTool[],
  names: ReadonlySet<string>,
): Pick<Asked, 'tools' | 'toolChoice' | 'parallel'> {
  const type = isObject(choice) ? choice.type : undefined
  checkChoice(type, 'tool_choice.type', ['auto', 'any', 'tool', 'none'])
  const path = `tool_choice.${type}`
  const known = type === 'none' ? ['type'] : ['type', 'disable_parallel_tool_use']
  const fields = checkObject(choice, path, type === 'tool' ? [...known, 'name'] : known)
  const single = fields.disable_parallel_tool_use
  const parallel = single === undefined ? true : !checkBoolean(single, `${path}.disable_parallel_tool_use`)
  if (type === 'none') return { tools, toolChoice: 'none', parallel }
  if (type !== 'tool') return { tools, toolChoice: type === 'any' ? 'required' : 'auto', parallel }
  const name = checkString(fields.name, `${path}.name`)
  if (!names.has(name)) fail('', `Tool '${name.slice(0, 128)}' not found in provided tools`)
  return { tools: tools.filter((tool) => tool.name === name), toolChoice: 'required', parallel }
}
