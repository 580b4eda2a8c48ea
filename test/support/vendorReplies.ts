// The vendors' published reply schemas as validators: what the simulator sends is held to them.
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { loadDefinition, validatorOf } from './openaiSchema.ts'

export interface ReplyValidators {
  message: ValidateFunction
  event: ValidateFunction
  response: ValidateFunction
}

let cached: ReplyValidators | undefined

/** Anthropic's `Message` and its stream events (pings are not in the file), Google's `GenerateContentResponse`. */
export function replyValidators(): ReplyValidators {
  const anthropic = cached ? {} : loadDefinition('anthropic.openapi.json')
  cached ??= {
    message: validatorOf(anthropic, 'Message'),
    event: validatorOf(anthropic, 'MessageStreamEvent'),
    response: validatorOf(loadDefinition('gemini.openapi.json'), 'GenerateContentResponse'),
  }
  return cached
}
