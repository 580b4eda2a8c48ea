// Reads a usage object of any vendor's shape, for comparisons with the price oracle. The product reads three of them; the other readers are here.
import { readUsage as readAnthropic } from '../../src/dialects/anthropic-messages/usage.ts'
import type { Usage } from '../../src/dialects/chat.ts'
import { readUsage as readGemini } from '../../src/dialects/gemini/usage.ts'
import { readUsage as readOpenAiChat } from '../../src/dialects/openai-chat/usage.ts'
import { asObject, countOf, partition, readCount } from '../../src/dialects/usage.ts'

export type UsageShape =
  | 'openai-chat'
  | 'openai-responses'
  | 'anthropic-messages'
  | 'gemini'
  | 'bedrock-converse'
  | 'cohere'

const readers: Readonly<Record<UsageShape, (raw: unknown) => Usage | undefined>> = {
  'openai-chat': readOpenAiChat,
  'openai-responses': readResponsesUsage,
  'anthropic-messages': readAnthropic,
  gemini: readGemini,
  'bedrock-converse': readBedrockUsage,
  cohere: readCohereUsage,
}

/** The wire that a raw usage object comes from, by the names in it; undefined when it is none that we know. */
export function shapeOfUsage(raw: unknown): UsageShape | undefined {
  const usage = asObject(raw)
  if (!usage) return undefined
  if ('promptTokenCount' in usage || 'candidatesTokenCount' in usage || 'totalTokenCount' in usage) return 'gemini'
  if ('inputTokens' in usage || 'outputTokens' in usage) return 'bedrock-converse'
  if ('billed_units' in usage || asObject(usage.tokens)) return 'cohere'
  if ('prompt_tokens' in usage || 'completion_tokens' in usage) return 'openai-chat'
  if ('input_tokens' in usage || 'output_tokens' in usage) {
    return 'total_tokens' in usage || 'input_tokens_details' in usage ? 'openai-responses' : 'anthropic-messages'
  }
  return undefined
}

/** A raw usage object as disjoint token classes, whatever vendor it comes from; undefined when it holds no count. */
export function readAnyUsage(raw: unknown, shape: UsageShape | undefined = shapeOfUsage(raw)): Usage | undefined {
  return shape ? readers[shape](raw) : undefined
}

/**
 * The `usage` of an OpenAI Responses object (also inside `response.completed`); undefined when it holds no count at all.
 * `input_tokens` includes cached, cache-written and audio tokens, `output_tokens` includes reasoning.
 */
export function readResponsesUsage(raw: unknown): Usage | undefined {
  const usage = asObject(raw)
  if (!usage) return undefined
  const asked = readCount(usage.input_tokens)
  const answered = readCount(usage.output_tokens)
  if (asked === undefined && answered === undefined) return undefined

  const from = asObject(usage.input_tokens_details)
  const to = asObject(usage.output_tokens_details)
  const [cacheRead, cacheWrite5m, audioIn, input] = partition(
    asked ?? 0,
    countOf(from, 'cached_tokens'),
    countOf(from, 'cache_write_tokens'),
    countOf(from, 'audio_tokens'),
  ) as [number, number, number, number]
  const [reasoning, audioOut, output] = partition(
    answered ?? 0,
    countOf(to, 'reasoning_tokens'),
    countOf(to, 'audio_tokens'),
  ) as [number, number, number]

  const result: Usage = { input, cacheRead, cacheWrite5m, cacheWrite1h: 0, output, reasoning, audioIn, audioOut }
  const imageOut = Math.min(output, countOf(to, 'image_tokens'))
  if (imageOut > 0) result.imageOut = imageOut
  return result
}

/**
 * Amazon Bedrock's Converse: `inputTokens` excludes what was read from and written to the cache, as Anthropic's does.
 * `cacheDetails` splits the writes by lifetime where a model has more than one.
 */
export function readBedrockUsage(raw: unknown): Usage | undefined {
  const usage = asObject(raw)
  if (!usage) return undefined
  const input = readCount(usage.inputTokens)
  const output = readCount(usage.outputTokens)
  if (input === undefined && output === undefined) return undefined
  const written = countOf(usage, 'cacheWriteInputTokens', 'cacheWriteInputTokenCount')
  let longLived = 0
  if (Array.isArray(usage.cacheDetails)) {
    for (const item of usage.cacheDetails) {
      const detail = asObject(item)
      if (detail?.ttl === '1h') longLived += countOf(detail, 'inputTokens')
    }
  }
  const [cacheWrite1h, cacheWrite5m] = partition(written, longLived) as [number, number]
  return {
    input: input ?? 0,
    cacheRead: countOf(usage, 'cacheReadInputTokens', 'cacheReadInputTokenCount'),
    cacheWrite5m,
    cacheWrite1h,
    output: output ?? 0,
    reasoning: 0,
    audioIn: 0,
    audioOut: 0,
  }
}

/** Cohere's v2 chat: `billed_units` is what the bill counts (without Cohere's own prompt template), `tokens` what the model saw. */
export function readCohereUsage(raw: unknown): Usage | undefined {
  const usage = asObject(raw)
  const counts = asObject(usage?.billed_units) ?? asObject(usage?.tokens)
  const input = readCount(counts?.input_tokens)
  const output = readCount(counts?.output_tokens)
  if (input === undefined && output === undefined) return undefined
  return {
    input: input ?? 0,
    cacheRead: 0,
    cacheWrite5m: 0,
    cacheWrite1h: 0,
    output: output ?? 0,
    reasoning: 0,
    audioIn: 0,
    audioOut: 0,
  }
}
