// Token usage of the openai-chat wire: inclusive vendor counts to disjoint classes, and back.
import type { Usage } from '../chat.ts'
import { asObject, countOf, partition, readCount } from '../usage.ts'

/** A `usage` object as OpenAI writes it: `prompt_tokens` includes cached and audio tokens, `completion_tokens` includes reasoning. */
export interface OpenAiUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: {
    cached_tokens: number
    audio_tokens: number
    /** Only where something was written to a cache. OpenAI's own name since GPT-5.6, OpenRouter's too. */
    cache_write_tokens?: number
    /** Only where something was written: how long it lives. LiteLLM's name. */
    cache_creation_token_details?: { ephemeral_5m_input_tokens: number; ephemeral_1h_input_tokens: number }
    /** Only where cached tokens are audio. The Realtime API's name. */
    cached_tokens_details?: { audio_tokens: number }
  }
  completion_tokens_details: { reasoning_tokens: number; audio_tokens: number; image_tokens?: number }
}

/**
 * Wire to hub: a `usage` object of a reply or chunk as disjoint token classes; undefined when it holds no count at all.
 *
 * Quirks: cached tokens stand in `prompt_tokens_details.cached_tokens`, at DeepSeek also in `prompt_cache_hit_tokens`, at Moonshot in
 * `cached_tokens` on top. Mistral's `num_cached_tokens` is what its engine re-used, not what it bills at the cache price, and is not read.
 * xAI leaves reasoning out of `completion_tokens` but not out of `total_tokens`, which gives it away.
 */
export function readUsage(raw: unknown): Usage | undefined {
  const usage = asObject(raw)
  if (!usage) return undefined
  const reportedPrompt = readCount(usage.prompt_tokens)
  const reportedCompletion = readCount(usage.completion_tokens)
  if (reportedPrompt === undefined && reportedCompletion === undefined) return undefined
  const prompt = reportedPrompt ?? 0
  const asked = asObject(usage.prompt_tokens_details)
  const answered = asObject(usage.completion_tokens_details)

  const cached = asked && readCount(asked.cached_tokens) !== undefined
  const read = cached ? countOf(asked, 'cached_tokens') : countOf(usage, 'prompt_cache_hit_tokens', 'cached_tokens')
  const written = countOf(asked, 'cache_write_tokens', 'cache_creation_tokens')
  const [cacheRead, write, audioIn, input] = partition(prompt, read, written, countOf(asked, 'audio_tokens')) as Four
  const lifetimes = asObject(asked?.cache_creation_token_details)
  const [cacheWrite1h, cacheWrite5m] = partition(write, countOf(lifetimes, 'ephemeral_1h_input_tokens')) as Two

  const thought = countOf(answered, 'reasoning_tokens')
  const total = readCount(usage.total_tokens)
  const told = reportedCompletion ?? 0
  const completion = thought > 0 && total === prompt + told + thought ? told + thought : told
  const [reasoning, audioOut, output] = partition(completion, thought, countOf(answered, 'audio_tokens')) as Three

  const result: Usage = { input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning, audioIn, audioOut }
  const imageOut = Math.min(output, countOf(answered, 'image_tokens'))
  if (imageOut > 0) result.imageOut = imageOut
  const cacheReadAudio = Math.min(cacheRead, countOf(asObject(asked?.cached_tokens_details), 'audio_tokens'))
  if (cacheReadAudio > 0) result.cacheReadAudio = cacheReadAudio
  return result
}

type Two = [number, number]
type Three = [number, number, number]
type Four = [number, number, number, number]

/**
 * Hub to wire: disjoint classes as OpenAI's inclusive `usage` object. `readUsage(writeUsage(u))` gives `u` back (but for `estimated`),
 * so that a gateway chained behind itself counts the same.
 */
export function writeUsage(usage: Usage): OpenAiUsage {
  const written = usage.cacheWrite5m + usage.cacheWrite1h
  const prompt = usage.input + usage.cacheRead + written + usage.audioIn
  const completion = usage.output + usage.reasoning + usage.audioOut
  const result: OpenAiUsage = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: usage.cacheRead, audio_tokens: usage.audioIn },
    completion_tokens_details: { reasoning_tokens: usage.reasoning, audio_tokens: usage.audioOut },
  }
  if (written > 0) {
    result.prompt_tokens_details.cache_write_tokens = written
    result.prompt_tokens_details.cache_creation_token_details = {
      ephemeral_5m_input_tokens: usage.cacheWrite5m,
      ephemeral_1h_input_tokens: usage.cacheWrite1h,
    }
  }
  if (usage.cacheReadAudio) result.prompt_tokens_details.cached_tokens_details = { audio_tokens: usage.cacheReadAudio }
  if (usage.imageOut) result.completion_tokens_details.image_tokens = usage.imageOut
  return result
}
