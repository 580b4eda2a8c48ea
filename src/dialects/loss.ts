// Collects what a target cannot express, and names it from a closed list where client-chosen names must not go (metric labels).
import type { Loss } from './chat.ts'

/** The losses of one translation, each parameter and reason once. */
export class Losses {
  readonly list: Loss[] = []
  /** Clients may send thousands of parameters that nobody knows: the list is not searched. */
  readonly #told = new Set<string>()

  add(param: string, reason: Loss['reason'], detail?: string): void {
    const told = `${reason} ${param}`
    if (this.#told.has(told)) return
    this.#told.add(told)
    this.list.push(detail === undefined ? { param, reason } : { param, reason, detail })
  }

  /** Reports fields that nobody understood. A value that asks for nothing beyond the default is no loss. */
  addAll(fields: Readonly<Record<string, unknown>> | undefined, prefix = '', except?: ReadonlySet<string>): void {
    for (const [name, value] of Object.entries(fields ?? {})) {
      if (!except?.has(name) && !asksNothing(prefix + name, value)) this.add(prefix + name, 'unsupported')
    }
  }
}

/** Values by which a parameter says what happens anyway. */
const defaults: Readonly<Record<string, unknown>> = {
  store: false,
  'stream_options.include_obfuscation': false,
  min_p: 0,
  repetition_penalty: 1,
  'messages.prefix': false,
}

function asksNothing(name: string, value: unknown): boolean {
  // OpenAI's SDK puts the content there once more, as a value, and sends its message back as it is.
  if (name === 'messages.parsed') return true
  if (name in defaults && defaults[name] === value) return true
  if (name === 'logit_bias') return typeof value === 'object' && value !== null && Object.keys(value).length === 0
  return name === 'messages.annotations' && Array.isArray(value) && value.length === 0
}

/** Names of losses that may become metric labels. Everything else is a name that a client made up. */
const labels: ReadonlySet<string> = new Set([
  'audio',
  'cache_control',
  'file.file_data',
  'file.filename',
  'frequency_penalty',
  'image_url.detail',
  'image_url.url',
  'input_audio',
  'logit_bias',
  'logprobs',
  'max_completion_tokens',
  'max_tokens',
  'messages.annotations',
  'messages.audio',
  'messages.citations',
  'messages.content',
  'messages.images',
  'messages.name',
  'messages.reasoning',
  'messages.refusal',
  'messages.role',
  'messages.tool_result.content',
  'messages.tool_result.is_error',
  'messages.vendor_blocks',
  'metadata',
  'modalities',
  'moderation',
  'n',
  'parallel_tool_calls',
  'prediction',
  'presence_penalty',
  'prompt_cache_key',
  'prompt_cache_options',
  'prompt_cache_retention',
  'reasoning',
  'reasoning_effort',
  'response_format',
  'safety_identifier',
  'seed',
  'service_tier',
  'stop',
  'store',
  'stream_options.include_obfuscation',
  'temperature',
  'thinking',
  'tool_choice',
  'tools',
  'tools.strict',
  'top_k',
  'top_logprobs',
  'top_p',
  'user',
  'verbosity',
  'video_url.url',
  'web_search_options',
])

/** What all others are called. */
export const otherLoss = 'other'

/** Every label that `lossLabel` gives. */
export const lossLabels: readonly string[] = [...labels, otherLoss]

/** The loss's parameter as a metric label: one of a closed set, `other` for the rest. */
export function lossLabel(loss: Loss): string {
  return labels.has(loss.param) ? loss.param : otherLoss
}
