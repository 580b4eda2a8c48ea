// Checks the form that the answer is to have.
import type { Asked } from '../../asked.ts'
import { checkChoice, checkObject, fail, isObject, type Wire } from './values.ts'

/** Keywords that structured outputs refuse (Anthropic's page "Structured outputs"). */
const REFUSED = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf', 'minLength', 'maxLength']

/** `instructions`: there is no JSON mode without a schema, so the model is asked in words, and does as it is told. Throws `WireRefusal`. */
export function readFormat(body: Wire, instructions: string): Asked['format'] {
  const config =
    body.output_config === undefined ? {} : checkObject(body.output_config, 'output_config', ['effort', 'format'])
  if (config.effort !== undefined && config.effort !== null) {
    checkChoice(config.effort, 'output_config.effort', ['low', 'medium', 'high', 'xhigh', 'max'])
  }
  if (config.format === undefined || config.format === null) {
    return /\bJSON object\b/.test(instructions) ? 'json' : 'text'
  }
  const path = 'output_config.format'
  const { type, schema } = checkObject(config.format, path, ['type', 'schema'], ['type', 'schema'])
  checkChoice(type, `${path}.type`, ['json_schema'])
  if (!isObject(schema)) fail(`${path}.schema`, 'Input should be a valid dictionary')
  checkSchema(schema, `${path}.schema`, 0)
  return { schema }
}

function checkSchema(schema: unknown, path: string, depth: number): void {
  if (!isObject(schema)) return
  if (depth > 64) fail(path, 'Schema is nested too deep')
  for (const name of REFUSED) {
    if (schema[name] !== undefined && typeof schema[name] === 'number')
      fail(path, `property '${name}' is not supported`)
  }
  if (schema.type === 'object' && schema.additionalProperties !== false) {
    fail(path, "For 'object' type, 'additionalProperties' must be explicitly set to false")
  }
  for (const name of ['properties', '$defs', 'definitions']) {
    const map = schema[name]
    if (isObject(map))
      for (const [key, inner] of Object.entries(map)) checkSchema(inner, `${path}.${name}.${key}`, depth + 1)
  }
  checkSchema(schema.items, `${path}.items`, depth + 1)
  for (const name of ['anyOf', 'allOf', 'prefixItems']) {
    const list = schema[name]
    if (Array.isArray(list)) for (const inner of list) checkSchema(inner, `${path}.${name}`, depth + 1)
  }
}
