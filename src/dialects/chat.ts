// The hub vocabulary: one request and one reply in ordered blocks, which every dialect can decode to and encode from.

/** One piece of content. Order matters: `text, tool-call, text` is a different message from `text, text, tool-call`. */
export type Block =
  | { type: 'text'; text: string; cache?: CacheMark; annotations?: Annotation[] }
  | {
      type: 'media'
      kind: 'image' | 'audio' | 'file'
      source: MediaSource
      detail?: string
      name?: string
      cache?: CacheMark
    }
  | ReasoningBlock
  | ToolCallBlock
  | { type: 'tool-result'; id: string; name?: string; blocks: Block[]; failed?: boolean; cache?: CacheMark }
  | { type: 'refusal'; text: string }

/** Thought text and the vendor's proof of it. `redacted` holds opaque bytes that must go back verbatim. */
export interface ReasoningBlock {
  type: 'reasoning'
  text: string
  signature?: string
  redacted?: string
  /** The dialect that made the signature: another vendor cannot verify it. */
  origin?: string
}

/** `input` is JSON as text, exactly as the model wrote it; it may be malformed when a model was cut off. */
export interface ToolCallBlock {
  type: 'tool-call'
  id: string
  name: string
  input: string
  signature?: string
  cache?: CacheMark
}

export type MediaSource = { url: string } | { base64: string; mime: string } | { fileId: string }

export interface CacheMark {
  ttl?: '5m' | '1h'
}

/** A citation of a source, as OpenAI's `url_citation`; `raw` keeps the vendor's own object. */
export interface Annotation {
  url?: string
  title?: string
  start?: number
  end?: number
  quote?: string
  raw?: unknown
}

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  name?: string
  blocks: Block[]
}

export interface Tool {
  name: string
  description?: string
  /** JSON Schema as the client sent it. Never mutated: a later target must see the original. */
  schema?: unknown
  strict?: boolean
  cache?: CacheMark
}

export type ToolChoice = { mode: 'auto' | 'none' | 'required' } | { mode: 'named'; name: string }

export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json' }
  | { type: 'schema'; name: string; schema: unknown; strict?: boolean; description?: string }

/** A whole chat request in vendor-neutral form. A field the client did not set is absent, never null. */
export interface Chat {
  messages: Message[]
  tools?: Tool[]
  toolChoice?: ToolChoice
  parallelToolCalls?: boolean
  format?: ResponseFormat
  maxTokens?: number
  temperature?: number
  topP?: number
  topK?: number
  frequencyPenalty?: number
  presencePenalty?: number
  stop?: string[]
  seed?: number
  n?: number
  logprobs?: boolean
  topLogprobs?: number
  reasoning?: { effort?: string; budgetTokens?: number; off?: boolean }
  verbosity?: string
  modalities?: string[]
  user?: string
  metadata?: Record<string, unknown>
  serviceTier?: string
  /** Top-level fields of the source dialect that the hub has no word for, by their wire name: reported as losses elsewhere. */
  extra?: Record<string, unknown>
}

/** Something the target could not express. Names come from the source dialect's parameter names. */
export interface Loss {
  param: string
  reason: 'unsupported' | 'approximated' | 'clamped' | 'dropped'
  detail?: string
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

/**
 * Token counts in disjoint classes: they partition the prompt (input + cacheRead + cacheWrite5m + cacheWrite1h + audioIn) and
 * the output (output + reasoning + audioOut). Vendors overlap them in different ways; each dialect converts at its edge, once.
 */
export interface Usage {
  /** Prompt tokens that were neither read from nor written to a cache, audio excluded. */
  input: number
  cacheRead: number
  cacheWrite5m: number
  cacheWrite1h: number
  /** Output tokens other than reasoning and audio. */
  output: number
  reasoning: number
  audioIn: number
  audioOut: number
  /** How many of `output` are image tokens: a part of that class, not one more class. Some models price them apart. */
  imageOut?: number
  /** How many of `cacheRead` are audio tokens: a part of that class, not one more class. Some models price them apart. */
  cacheReadAudio?: number
  /** True when we counted or guessed because the provider gave none. */
  estimated?: boolean
}

/** One event of a reply. A JSON reply is the same events, arrived at once. `choice` is 0 unless the client asked for n > 1. */
export type ChatEvent =
  | { type: 'start'; id?: string; model?: string; created?: number }
  | { type: 'block-start'; index: number; choice?: number; block: BlockStart }
  | { type: 'block-delta'; index: number; choice?: number; text: string }
  | { type: 'block-end'; index: number; choice?: number; signature?: string; annotations?: Annotation[] }
  | { type: 'usage'; usage: Usage }
  | { type: 'finish'; choice?: number; reason: FinishReason; raw?: string; stopSequence?: string }
  | { type: 'fault'; fault: import('./errors.ts').UpstreamFault }

/** What opens: text, reasoning and refusal grow by text deltas, a tool call by deltas of its input's JSON text. */
export type BlockStart =
  | { type: 'text' }
  | { type: 'refusal' }
  | { type: 'reasoning'; redacted?: string; origin?: string }
  | { type: 'tool-call'; id: string; name: string; signature?: string }
  | { type: 'media'; kind: 'image' | 'audio' | 'file'; source: MediaSource }

export const noUsage = (): Usage => ({
  input: 0,
  cacheRead: 0,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  output: 0,
  reasoning: 0,
  audioIn: 0,
  audioOut: 0,
})
