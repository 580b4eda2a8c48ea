// OpenAI's published schemas as validators, patched where the real API is known to differ from its own file.
import { readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { sharedPath } from './shared.ts'

type Json = Record<string, unknown>

/** Loads one of the published API definitions with the known patches applied. */
export function loadDefinition(file: string): Json {
  const definition = JSON.parse(readFileSync(sharedPath('schemas', file), 'utf8')) as Json
  return allowNulls(definition) as Json
}

/** `nullable: true` without a `type` (OpenAPI 3.0's way) means nothing to a JSON Schema validator. */
function allowNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(allowNulls)
  if (typeof value !== 'object' || value === null) return value
  const result: Json = {}
  for (const [key, inner] of Object.entries(value)) result[key] = allowNulls(inner)
  if (result.nullable === true) {
    delete result.nullable
    return { anyOf: [result, { type: 'null' }] }
  }
  return result
}

/** A validator of `#/components/schemas/<name>`. */
export function validatorOf(definition: Json, name: string): ValidateFunction {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true, discriminator: false })
  ajv.addSchema(definition, 'api')
  return ajv.compile({ $ref: `api#/components/schemas/${name}` })
}

export interface OpenAiValidators {
  reply: ValidateFunction
  chunk: ValidateFunction
  error: ValidateFunction
  request: ValidateFunction
}

let cached: OpenAiValidators | undefined

/** Validators of chat replies, stream chunks, errors and requests. */
export function openAiValidators(): OpenAiValidators {
  if (cached) return cached
  const definition = loadDefinition('openai.openapi.json') as { components: { schemas: Record<string, Json> } }
  const { schemas } = definition.components
  for (const name of ['CreateChatCompletionResponse', 'CreateChatCompletionStreamResponse']) {
    const properties = schemas[name]?.properties as Json
    properties.system_fingerprint = { anyOf: [{ type: 'string' }, { type: 'null' }] }
  }
  cached = {
    reply: validatorOf(definition, 'CreateChatCompletionResponse'),
    chunk: validatorOf(definition, 'CreateChatCompletionStreamResponse'),
    error: validatorOf(definition, 'ErrorResponse'),
    request: validatorOf(definition, 'CreateChatCompletionRequest'),
  }
  return cached
}

/** The validator's complaints in one line each, for failure messages. */
export const complaints = (validate: ValidateFunction): string =>
  (validate.errors ?? [])
    .slice(0, 5)
    .map((error) => `${error.instancePath} ${error.message}`)
    .join('; ')
