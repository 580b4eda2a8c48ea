// The vendors' published request schemas as validators, made as strict as their APIs are: unknown fields are refused.
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { loadDefinition, validatorOf } from './openaiSchema.ts'

type Json = Record<string, unknown>

let cached: { 'anthropic-messages': ValidateFunction; gemini: ValidateFunction } | undefined

/** Validators of request bodies. */
export function vendorValidators(): { 'anthropic-messages': ValidateFunction; gemini: ValidateFunction } {
  cached ??= {
    'anthropic-messages': validatorOf(loadDefinition('anthropic.openapi.json'), 'CreateMessageParams'),
    gemini: validatorOf(closed(loadDefinition('gemini.openapi.json')) as Json, 'GenerateContentRequest'),
  }
  return cached
}

/** Google answers 400 to fields that it does not know, which its definition leaves open. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed)
  if (typeof value !== 'object' || value === null) return value
  const result: Json = {}
  for (const [key, inner] of Object.entries(value)) result[key] = closed(inner)
  const isObjectSchema =
    typeof result.properties === 'object' && (result.type === 'object' || result.type === undefined)
  if (
    isObjectSchema &&
    result.additionalProperties === undefined &&
    !('parameters' in result && 'responses' in result)
  ) {
    result.additionalProperties = false
  }
  return result
}
