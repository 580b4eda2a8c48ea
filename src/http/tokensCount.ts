// POST /v1/tokens/count: how many tokens a prompt has, without sending it anywhere. Counted beside the event loop.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal } from '../dialects/errors.ts'
import { syntaxErrorOf } from '../dialects/json.ts'
import { scanFields } from '../dialects/splice.ts'
import { refuseCrowd } from '../dialects/valueCount.ts'
import { readBody } from '../gateway/body.ts'
import { wireModel } from '../gateway/headers.ts'
import type { CountAsk, TokenCounter } from '../telemetry/tokens/counter.ts'
import { type Looking, requireModel } from './models.ts'
import { sendJson } from './reply.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Answers `{ tokens, method, encoding?, uncounted? }`. A route is counted as the model of its first target that may serve the key; `counted_as` says which.
 * @throws Refusal for bodies that cannot be counted, and models that are not configured or not for the key
 */
export async function countTokens(
  looking: Looking,
  tokens: TokenCounter,
  req: IncomingMessage,
  res: ServerResponse,
  headers: readonly string[],
): Promise<void> {
  const { maxBodyBytes, maxJsonDepth, maxJsonValues, maxMessages } = looking.snapshot.server
  const raw = await readBody(req, maxBodyBytes)
  refuseCrowd(raw, maxJsonValues)
  const body = parseFields(raw, maxJsonDepth)
  const { model, tools } = body
  if (typeof model !== 'string' || model === '') throw invalid('model', 'the name of a model', model)
  if (tools !== undefined && !Array.isArray(tools)) throw invalid('tools', 'a list', tools)
  const { target } = requireModel(looking, model)
  const counted = wireModel(target, model)
  const ask = askOf(body, counted, maxMessages)
  const { uncounted = 0, ...count } = await tokens.count(ask)
  // What a vendor makes of tool definitions is not known: each is a part that is not in the number.
  const left = uncounted + (tools?.length ?? 0)
  const rest = left > 0 ? { uncounted: left } : {}
  sendJson(req, res, 200, { object: 'token_count', model, counted_as: counted, ...count, ...rest }, headers)
}

/** Deep nesting first: to parse 20 MB of it, which compressed are 20 KB, takes seconds and a gigabyte. */
function parseFields(raw: Buffer, maxDepth: number): Fields {
  scanFields(raw, 0, maxDepth)
  const text = raw.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Refusal('invalid_json', syntaxErrorOf(text))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Refusal('invalid_type', 'The body must be a JSON object.')
  return value as Fields
}

function askOf({ messages, input }: Fields, model: string, most: number): CountAsk {
  if (messages !== undefined && input !== undefined)
    throw new Refusal('invalid_value', "Give 'messages' or 'input', not both.", 'input')
  if (messages !== undefined) return { model, messages: messagesOf(messages, 'messages', most) }
  if (input === undefined)
    throw new Refusal('missing_required_parameter', "Missing required parameter: 'messages' or 'input'.", 'messages')
  if (typeof input === 'string') return { model, text: input }
  if (!Array.isArray(input)) throw invalid('input', 'a text, a list of texts or a list of messages', input)
  if (input.length > most) throw tooMany('input', most)
  if (input.every((part) => typeof part === 'string')) return { model, texts: input as string[] }
  return { model, messages: messagesOf(input, 'input', most) }
}

function messagesOf(value: unknown, name: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(name, 'a list of messages', value)
  if (value.length > most) throw tooMany(name, most)
  value.forEach((message, at) => {
    if (typeof message !== 'object' || message === null) throw invalid(`${name}[${at}]`, 'a message', message)
    const { role, content } = message as Fields
    if (typeof role !== 'string') throw invalid(`${name}[${at}].role`, 'a text', role)
    if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content))
      throw invalid(`${name}[${at}].content`, 'a text or a list of parts', content)
  })
  return value
}

function invalid(param: string, expected: string, value: unknown): Refusal {
  if (value === undefined)
    return new Refusal('missing_required_parameter', `Missing required parameter: '${param}'.`, param)
  return new Refusal('invalid_type', `Invalid type for '${param}': expected ${expected}.`, param)
}

const tooMany = (name: string, most: number): Refusal =>
  new Refusal('too_many_messages', `'${name}' holds more than ${most} parts.`, name)
