// Reads a message request as strictly as Anthropic does, and says in neutral words what it asks for.
import type { Asked } from '../../asked.ts'
import type { Conversation } from '../../conversation.ts'
import { countTokens } from '../../prose.ts'
import { type Asking, type Match, WireRefusal } from '../wire.ts'
import { countCacheMarks } from './cacheMarks.ts'
import { readMessages } from './messages.ts'
import { readFormat } from './output.ts'
import { readThinking } from './thinking.ts'
import { readTools } from './tools.ts'
import {
  type Wire as Body,
  checkBoolean,
  checkChoice,
  checkList,
  checkNumber,
  checkObject,
  checkString,
  fail,
  isObject,
} from './values.ts'

const TOKENS_A_MESSAGE = 4
const FIELDS = [
  'model',
  'messages',
  'cache_control',
  'container',
  'inference_geo',
  'max_tokens',
  'metadata',
  'output_config',
  'service_tier',
  'stop_sequences',
  'stream',
  'system',
  'temperature',
  'thinking',
  'tool_choice',
  'tools',
  'top_k',
  'top_p',
]
/** From this version on the API has no sampling parameters any more. */
const UNSAMPLED = '2026-10-21'

/** Throws `WireRefusal` with the path and words of Anthropic's API. */
export function readRequest(raw: Buffer, _match: Match, asking: Asking): Asked {
  const version = asking.headers['anthropic-version']
  if (version === undefined) fail('anthropic-version', 'header is required')
  if (!/^\d{4}-\d\d-\d\d$/.test(version)) fail('anthropic-version', 'is not a version of this API')
  const body = checkObject(parse(raw), '', FIELDS, ['model', 'max_tokens', 'messages'])
  const model = checkString(body.model, 'model')
  if (model === '') fail('model', 'String should have at least 1 character')
  const maxTokens = checkNumber(body.max_tokens, 'max_tokens', 1, Infinity, true)
  const messages = checkList(body.messages, 'messages')
  const tools = readTools(body)
  const thinking = readThinking(body, maxTokens)
  const conversation = readMessages(messages, body.system, {
    declaresTools: tools.declared > 0,
    needsThoughts: thinking.needsThoughts,
  })
  checkSampling(body, version, thinking.thinks)
  checkRest(body)
  countCacheMarks(body)
  const { declared: _, ...asked } = tools
  return {
    model,
    stream: body.stream === undefined ? false : checkBoolean(body.stream, 'stream'),
    includeUsage: true,
    ...conversation.summary(),
    ...asked,
    format: readFormat(body, conversation.instructions),
    maxTokens,
    stop: readStop(body),
    n: 1,
    logprobs: false,
    thoughts: thinking.thinks ? (thinking.hides ? 'hidden' : undefined) : 'none',
    promptTokens: countPrompt(conversation, messages.length, body.tools),
    audioTokens: 0,
  }
}

function parse(raw: Buffer): unknown {
  let body: unknown
  try {
    body = JSON.parse(raw.toString('utf8'))
  } catch {
    throw new WireRefusal(400, 'The request body is not valid JSON.')
  }
  if (!isObject(body)) throw new WireRefusal(400, 'The request body must be a JSON object.')
  return body
}

function checkSampling(body: Body, version: string, thinks: boolean): void {
  for (const name of ['temperature', 'top_p', 'top_k']) {
    if (body[name] === undefined) continue
    if (version >= UNSAMPLED) fail(name, 'Extra inputs are not permitted')
    checkNumber(body[name], name, 0, name === 'top_k' ? Infinity : 1, name === 'top_k')
  }
  if (!thinks) return
  if (body.temperature !== undefined && body.temperature !== 1)
    fail('', '`temperature` may only be set to 1 when thinking is enabled.')
  if (body.top_k !== undefined) fail('', '`top_k` must be unset when thinking is enabled.')
  if (body.top_p !== undefined && (body.top_p as number) < 0.95)
    fail('', '`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.')
}

function checkRest(body: Body): void {
  if (body.service_tier !== undefined) checkChoice(body.service_tier, 'service_tier', ['auto', 'standard_only'])
  if (body.metadata === undefined) return
  const { user_id: user } = checkObject(body.metadata, 'metadata', ['user_id'])
  if (user !== undefined && user !== null && checkString(user, 'metadata.user_id').length > 512)
    fail('metadata.user_id', 'String should have at most 512 characters')
}

function readStop(body: Body): string[] {
  if (body.stop_sequences === undefined) return []
  return checkList(body.stop_sequences, 'stop_sequences').map((item, i) => {
    const sequence = checkString(item, `stop_sequences.${i}`)
    if (sequence.trim() === '') fail(`stop_sequences`, 'each stop sequence must contain non-whitespace')
    return sequence
  })
}

function countPrompt(conversation: Conversation, messages: number, tools: unknown): number {
  const declared = tools === undefined ? 0 : countTokens(textOf(tools))
  return messages * TOKENS_A_MESSAGE + conversation.tokens + declared
}

/** `JSON.parse` takes any depth, `JSON.stringify` runs out of stack. */
function textOf(tools: unknown): string {
  try {
    return JSON.stringify(tools)
  } catch {
    return fail('tools', 'is nested too deep')
  }
}
