// Checks a request's generationConfig: sampling, lengths, the answer's form, thinking.
import type { Asked } from '../../asked.ts'
import type { Family } from './family.ts'
import { readSchema } from './schema.ts'
import { checkObject, fail, isObject, optional, type Wire } from './values.ts'

const PATH = 'generation_config'
const FIELDS = [
  'temperature',
  'topP',
  'topK',
  'maxOutputTokens',
  'stopSequences',
  'candidateCount',
  'seed',
  'presencePenalty',
  'frequencyPenalty',
  'responseLogprobs',
  'logprobs',
  'responseMimeType',
  'responseSchema',
  'responseJsonSchema',
  'responseModalities',
  'thinkingConfig',
  'speechConfig',
  'mediaResolution',
  'imageConfig',
]
const LEVELS = ['THINKING_LEVEL_UNSPECIFIED', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH']

type Config = Pick<Asked, 'format' | 'maxTokens' | 'stop' | 'n' | 'logprobs' | 'thoughts'>

/** `instructions`: beside functions older models are asked for JSON in words, and do as they are told. Throws `WireRefusal`. */
export function readConfig(body: Wire, instructions: string, hasFunctions: boolean, family: Family): Config {
  const config = body.generationConfig === undefined ? {} : checkObject(body.generationConfig, PATH, FIELDS)
  optional.number(config, 'temperature', PATH, 0, 2)
  optional.number(config, 'topP', PATH, 0, 1)
  optional.integer(config, 'topK', PATH, 1)
  optional.integer(config, 'seed', PATH, -(2 ** 31))
  optional.number(config, 'presencePenalty', PATH, -2, 2)
  optional.number(config, 'frequencyPenalty', PATH, -2, 2)
  for (const modality of optional.strings(config, 'responseModalities', PATH) ?? []) {
    if (!['TEXT', 'IMAGE', 'AUDIO'].includes(modality))
      fail(`Invalid value at '${PATH}.response_modalities' (TYPE_ENUM)`)
  }
  const stop = optional.strings(config, 'stopSequences', PATH) ?? []
  if (stop.length > 5) fail('Unable to submit request because it has more than 5 stop sequences.')
  if (stop.includes('')) fail('Unable to submit request because a stop sequence is empty.')
  const logprobs = optional.boolean(config, 'responseLogprobs', PATH) ?? false
  if (optional.integer(config, 'logprobs', PATH, 0, 20) !== undefined && !logprobs) {
    fail('logprobs may only be set when response_logprobs is true.')
  }
  return {
    format: readFormat(config, instructions, hasFunctions, family),
    maxTokens: optional.integer(config, 'maxOutputTokens', PATH, 1),
    stop,
    n: optional.integer(config, 'candidateCount', PATH, 1, 8) ?? 1,
    logprobs,
    thoughts: readThinking(config.thinkingConfig),
  }
}

function readFormat(config: Wire, instructions: string, hasFunctions: boolean, family: Family): Asked['format'] {
  const mime = optional.string(config, 'responseMimeType', PATH)
  const schemas = [config.responseSchema, config.responseJsonSchema].filter((schema) => schema !== undefined)
  if (schemas.length > 1) fail('Only one of response_schema and response_json_schema may be set.')
  if (mime === undefined || mime === 'text/plain') {
    if (schemas.length > 0) fail('response_schema only works with response_mime_type application/json.')
    return /\bJSON object\b/.test(instructions) ? 'json' : 'text'
  }
  if (mime !== 'application/json') fail('Unsupported response mime type.')
  if (hasFunctions && !family.mixes) {
    fail("Function calling with a response mime type: 'application/json' is unsupported")
  }
  if (config.responseSchema !== undefined)
    return { schema: readSchema(config.responseSchema, `${PATH}.response_schema`) }
  if (config.responseJsonSchema === undefined) return 'json'
  if (!isObject(config.responseJsonSchema)) fail(`Invalid value at '${PATH}.response_json_schema' (TYPE_MESSAGE)`)
  return { schema: config.responseJsonSchema }
}

function readThinking(config: unknown): Asked['thoughts'] {
  if (config === undefined) return 'hidden'
  const path = `${PATH}.thinking_config`
  const wish = checkObject(config, path, ['includeThoughts', 'thinkingBudget', 'thinkingLevel'])
  const budget = optional.integer(wish, 'thinkingBudget', path, -1)
  const level = optional.choice(wish, 'thinkingLevel', path, LEVELS)
  if (budget !== undefined && level !== undefined) fail('You can only set one of thinking budget and thinking level.')
  if (budget === 0) return 'none'
  return optional.boolean(wish, 'includeThoughts', path) ? undefined : 'hidden'
}
