// Checks the tools of a generateContent request and how they may be chosen.
import type { Asked, AskedTool } from '../../asked.ts'
import { readSchema } from './schema.ts'
import { checkObject, fail, failType, isObject, optional, type Wire } from './values.ts'

const NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/
const NATIVE = ['googleSearch', 'googleSearchRetrieval', 'codeExecution', 'urlContext', 'googleMaps', 'fileSearch']
const DECLARATION = [
  'name',
  'description',
  'parameters',
  'parametersJsonSchema',
  'response',
  'responseJsonSchema',
  'behavior',
]

export interface Tools extends Pick<Asked, 'tools' | 'toolChoice' | 'parallel'> {
  /** Function declarations; tools that Google runs itself are accepted and never called. */
  declared: number
}

/** Throws `WireRefusal`. */
export function readTools(body: Wire): Tools {
  const tools = readList(body.tools)
  const all = { declared: tools.length, parallel: true }
  if (body.toolConfig === undefined) return { ...all, tools, toolChoice: 'auto' }
  const path = 'tool_config'
  const config = checkObject(body.toolConfig, path, [
    'functionCallingConfig',
    'retrievalConfig',
    'includeServerSideToolInvocations',
  ])
  if (config.functionCallingConfig === undefined) return { ...all, tools, toolChoice: 'auto' }
  const inner = `${path}.function_calling_config`
  const calling = checkObject(config.functionCallingConfig, inner, ['mode', 'allowedFunctionNames'])
  const mode = optional.choice(calling, 'mode', inner, ['MODE_UNSPECIFIED', 'AUTO', 'ANY', 'NONE', 'VALIDATED'])
  const names = optional.strings(calling, 'allowedFunctionNames', inner)
  if (tools.length === 0) fail('Function calling config is set without function_declarations.')
  if (names !== undefined && mode !== 'ANY' && mode !== 'VALIDATED')
    fail('Allowed function names should be set only when function calling mode is ANY or VALIDATED.')
  for (const name of names ?? []) {
    if (!tools.some((tool) => tool.name === name))
      fail('Allowed function names should be a subset of the declared functions.')
  }
  const allowed = names === undefined || names.length === 0 ? tools : tools.filter(({ name }) => names.includes(name))
  return { ...all, tools: allowed, toolChoice: mode === 'ANY' ? 'required' : mode === 'NONE' ? 'none' : 'auto' }
}

function readList(list: unknown): AskedTool[] {
  if (list === undefined) return []
  if (!Array.isArray(list)) failType('tools', 'TYPE_MESSAGE')
  const names = new Set<string>()
  return list.flatMap((item: unknown, i) => {
    const path = `tools[${i}]`
    const tool = checkObject(item, path, ['functionDeclarations', ...NATIVE])
    for (const name of NATIVE) {
      if (tool[name] !== undefined && !isObject(tool[name])) failType(`${path}.${name}`, 'TYPE_MESSAGE')
    }
    if (tool.functionDeclarations === undefined) return []
    if (!Array.isArray(tool.functionDeclarations)) failType(`${path}.function_declarations`, 'TYPE_MESSAGE')
    return tool.functionDeclarations.map((declaration: unknown, k) => {
      const asked = readDeclaration(declaration, `${path}.function_declarations[${k}]`)
      if (names.has(asked.name)) fail('Duplicate function declaration found.')
      names.add(asked.name)
      return asked
    })
  })
}

function readDeclaration(value: unknown, path: string): AskedTool {
  const declaration = checkObject(value, path, DECLARATION)
  const name = optional.string(declaration, 'name', path) ?? ''
  if (!NAME.test(name)) {
    fail(
      `* GenerateContentRequest.${path}.name: Invalid function name. Must start with a letter or an underscore. ` +
        'Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.',
    )
  }
  optional.string(declaration, 'description', path)
  const { parameters, parametersJsonSchema: plain } = declaration
  if (parameters !== undefined && plain !== undefined)
    fail(`* GenerateContentRequest.${path}: only one of parameters and parameters_json_schema may be set`)
  if (plain !== undefined) return { name, schema: plain }
  if (parameters === undefined) return { name, schema: { type: 'object', properties: {} } }
  return { name, schema: readSchema(parameters, `${path}.parameters`) }
}
