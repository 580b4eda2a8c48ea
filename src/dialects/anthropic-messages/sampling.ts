// Sampling parameters within what a Claude model family takes.
import type { Losses } from '../loss.ts'
import type { ThinkingAsk } from './thinking.ts'
import type { WireRequest } from './type.ts'

type Sampling = Pick<WireRequest, 'temperature' | 'top_p' | 'top_k'>

/**
 * Hub to wire. A value that says the default is left out without a report. Anthropic's temperatures end at 1, OpenAI's at 2. While a
 * model thinks, temperature must be 1, `top_p` at least 0.95 and `top_k` unset (Anthropic's page "Extended thinking").
 */
export function encodeSampling(
  { chat, family, forced }: Pick<ThinkingAsk, 'chat' | 'family' | 'forced'>,
  thinks: boolean,
  losses: Losses,
): Sampling {
  if (chat.frequencyPenalty) losses.add('frequency_penalty', 'unsupported')
  if (chat.presencePenalty) losses.add('presence_penalty', 'unsupported')
  const { temperature, topP, topK } = chat
  const result: Sampling = {}
  if (!family.sampling) {
    if (temperature !== undefined && temperature !== 1)
      losses.add('temperature', 'unsupported', 'this model refuses it')
    if (topP !== undefined && topP < 0.99) losses.add('top_p', 'unsupported', 'this model refuses it')
    if (topK !== undefined) losses.add('top_k', 'unsupported', 'this model refuses it')
    return result
  }
  if (temperature !== undefined) {
    if (thinks && temperature !== 1) losses.add('temperature', 'dropped', 'not while thinking')
    else if (temperature > 1) {
      losses.add('temperature', 'clamped', 'at most 1')
      result.temperature = 1
    } else result.temperature = temperature
  }
  if (topP !== undefined) {
    if (thinks && topP < 0.95) losses.add('top_p', 'dropped', 'not below 0.95 while thinking')
    else result.top_p = topP
  }
  if (topK !== undefined) {
    if (thinks) losses.add('top_k', 'dropped', 'not while thinking')
    else result.top_k = topK
  }
  if (!family.oneSampler) return result
  const both = 'this model takes temperature or top_p, not both'
  // The operator's goes over what is here.
  for (const [theirs, name] of [
    ['temperature', 'top_p'],
    ['top_p', 'temperature'],
  ] as const) {
    if (!(theirs in forced) || result[name] === undefined) continue
    if (result[name] !== 1) losses.add(name, 'dropped', both)
    delete result[name]
  }
  if (result.temperature !== undefined && result.top_p !== undefined) keepOne(result, both, losses)
  return result
}

/** The one that says something stays; temperature, if both do. */
function keepOne(result: Sampling, both: string, losses: Losses): void {
  if (result.top_p === 1) delete result.top_p
  else if (result.temperature === 1) delete result.temperature
  else {
    delete result.top_p
    losses.add('top_p', 'dropped', both)
  }
}
