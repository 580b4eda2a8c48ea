// A whole reply as Anthropic's `message` object.
import type { Asked } from '../../asked.ts'
import { type Choice, hidesThoughts, idOf, type Reply, type ReplyUsage } from '../../reply.ts'
import type { Script } from '../../script.ts'
import { sign } from '../../signature.ts'

export type Block = { type: string } & Record<string, unknown>

/** The JSON body. There is one answer, however many were asked for. */
export function wholeReply(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): string {
  const choice = reply.choices[0] as Choice
  return JSON.stringify({
    ...headOf(reply),
    content: blocksOf(choice, asked, script).map(({ block }) => block),
    ...endOf(choice),
    ...(usage ? { usage: usageOf(usage) } : {}),
  })
}

export const headOf = (reply: Reply) => ({
  id: `msg_${reply.id}`,
  type: 'message',
  role: 'assistant',
  model: reply.model,
  container: null,
})

const ends: Readonly<Record<string, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
}

/** Why the answer ended, in Anthropic's words; a script's own word goes out as it is. */
export function endOf({ finish, stopSequence }: Choice): Record<string, unknown> {
  if (finish === 'stop' && stopSequence !== undefined) {
    return { stop_reason: 'stop_sequence', stop_sequence: stopSequence, stop_details: null }
  }
  const details = finish === 'content_filter' ? { type: 'refusal', category: null, explanation: null } : null
  return { stop_reason: ends[finish] ?? finish, stop_sequence: null, stop_details: details }
}

/** Anthropic's counts: the prompt without what was read from or written to the cache, the output with thoughts. */
export function usageOf(usage: ReplyUsage): Record<string, unknown> {
  const { promptTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens, reasoningTokens } = usage
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens - cacheWriteTokens),
    cache_creation_input_tokens: cacheWriteTokens,
    cache_read_input_tokens: cachedTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: cacheWriteTokens - cacheWrite1hTokens,
      ephemeral_1h_input_tokens: cacheWrite1hTokens,
    },
    output_tokens: usage.completionTokens,
    output_tokens_details: { thinking_tokens: reasoningTokens },
    server_tool_use: null,
    service_tier: 'standard',
    inference_geo: null,
  }
}

/** One content block, and how it grows in a stream: the texts of its deltas with the tokens that each stands for. */
export interface Written {
  block: Block
  /** The block as a stream opens it. */
  opened: Block
  deltas: { delta: Block; tokens: number }[]
}

/** The blocks in order: hidden thoughts, thoughts, text, calls. */
export function blocksOf(choice: Choice, asked: Asked, script: Script): Written[] {
  const written: Written[] = []
  const { reasoning, text, calls } = choice
  if (reasoning.length > 0) {
    if (script.redactedThinking) {
      const block = { type: 'redacted_thinking', data: sign('anthropic', 'redacted', reasoning.join('')) }
      written.push({ block, opened: block, deltas: [] })
    }
    written.push(thoughtOf(reasoning, hidesThoughts(asked, script), script.signatures !== false))
  }
  if (text.length > 0) {
    written.push({
      block: { type: 'text', text: text.join(''), citations: null },
      opened: { type: 'text', text: '', citations: null },
      deltas: text.map((token) => ({ delta: { type: 'text_delta', text: token }, tokens: 1 })),
    })
  }
  for (const call of calls) written.push(callOf(call, script.fragmented !== false))
  return written
}

function thoughtOf(reasoning: string[], isHidden: boolean, isSigned: boolean): Written {
  const thinking = isHidden ? '' : reasoning.join('')
  const signature = isSigned ? sign('anthropic', thinking) : ''
  const shown = reasoning.map((token) => ({ delta: { type: 'thinking_delta', thinking: token }, tokens: 1 }))
  const signing = { delta: { type: 'signature_delta', signature }, tokens: isHidden ? reasoning.length : 0 }
  return {
    block: { type: 'thinking', thinking, signature },
    opened: { type: 'thinking', thinking: '', signature: '' },
    deltas: [...(isHidden ? [] : shown), ...(isSigned || isHidden ? [signing] : [])],
  }
}

function callOf(call: Choice['calls'][number], isFragmented: boolean): Written {
  const head = { type: 'tool_use', id: idOf(call, 'toolu_'), name: call.name, caller: { type: 'direct' } }
  const pieces = isFragmented ? ['', ...call.pieces] : [call.pieces.join('')]
  return {
    block: { ...head, input: parsed(call.pieces.join('')) },
    opened: { ...head, input: {} },
    deltas: pieces.map((partial_json, at) => {
      // The opening of a call counts as a token: its name.
      const tokens = isFragmented ? 1 : call.pieces.length + 1
      return { delta: { type: 'input_json_delta', partial_json }, tokens: isFragmented && at === 0 ? 1 : tokens }
    }),
  }
}

/** Anthropic's input is an object: what a script gives beyond JSON cannot be said whole, and in a stream it can. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
