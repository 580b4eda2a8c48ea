// Token usage of the openai-responses wire: inclusive vendor counts to disjoint classes.
import type { Usage } from '../chat.ts'
import { asObject, countOf, partition, readCount } from '../usage.ts'

/**
 * Wire to hub: the `usage` of a response object (also inside `response.completed`); undefined when it holds no count at all.
 * `input_tokens` includes cached, cache-written and audio tokens, `output_tokens` includes reasoning.
 */
export function readUsage(raw: unknown): Usage | undefined {
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
