// A whole reply as OpenAI's `chat.completion` object.
import type { Asked } from '../../asked.ts'
import { type Choice, idOf, type Reply, type ReplyUsage } from '../../reply.ts'
import type { Script } from '../../script.ts'

export const FINGERPRINT = 'fp_turnoutsim'

/** The JSON body. Reasoning is shown as `reasoning_content`, as DeepSeek, vLLM and others do, unless the script hides it. */
export function wholeReply(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): string {
  return JSON.stringify({
    id: `chatcmpl-${reply.id}`,
    object: 'chat.completion',
    created: reply.created,
    model: reply.model,
    choices: reply.choices.map((choice, index) => ({
      index,
      message: messageOf(choice, script),
      logprobs: asked.logprobs ? { content: choice.text.map(logprobOf), refusal: null } : null,
      finish_reason: choice.finish,
    })),
    ...(usage ? { usage: usageOf(usage) } : {}),
    service_tier: 'default',
    system_fingerprint: FINGERPRINT,
  })
}

/** OpenAI's usage object: totals include cached and reasoning tokens, the details tell them apart. */
export function usageOf(usage: ReplyUsage): Record<string, unknown> {
  const prompt: Record<string, number> = { cached_tokens: usage.cachedTokens, audio_tokens: usage.audioInTokens }
  if (usage.cacheWriteTokens > 0) prompt.cache_write_tokens = usage.cacheWriteTokens
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: prompt,
    completion_tokens_details: {
      reasoning_tokens: usage.reasoningTokens,
      audio_tokens: usage.audioOutTokens,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

/** A made-up but steady probability: longer tokens are less likely. */
export function logprobOf(token: string): Record<string, unknown> {
  return { token, logprob: -0.125 * token.length, bytes: [...Buffer.from(token)], top_logprobs: [] }
}

function messageOf(choice: Choice, script: Script): Record<string, unknown> {
  const silent = choice.text.length === 0 && choice.calls.length > 0
  const message: Record<string, unknown> = {
    role: 'assistant',
    content: silent ? null : choice.text.join(''),
    refusal: null,
    annotations: [],
  }
  if (choice.reasoning.length > 0 && script.reasoningText !== false) {
    message.reasoning_content = choice.reasoning.join('')
  }
  if (choice.calls.length > 0) {
    message.tool_calls = choice.calls.map((call) => ({
      id: idOf(call, 'call_'),
      type: 'function',
      function: { name: call.name, arguments: call.pieces.join('') },
    }))
  }
  return message
}
