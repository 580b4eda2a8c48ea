// What finish reasons mean, for OpenAI's own words and those that compatible servers use in their place.
import type { FinishReason } from '../chat.ts'
import { ownEntry } from '../field.ts'

const meanings: Record<string, FinishReason> = {
  stop: 'stop',
  eos: 'stop',
  end_turn: 'stop',
  stop_sequence: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool_calls',
  tool_use: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
  safety: 'content_filter',
  recitation: 'content_filter',
  refusal: 'content_filter',
  blocklist: 'content_filter',
  prohibited_content: 'content_filter',
  spii: 'content_filter',
  sensitive: 'content_filter',
}

/** The meaning of a wire `finish_reason`, letter case ignored; a word that nobody documented counts as `stop`. */
export function finishOf(raw: string): FinishReason {
  return ownEntry(meanings, raw.toLowerCase()) ?? 'stop'
}
