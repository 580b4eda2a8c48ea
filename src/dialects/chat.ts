// The hub vocabulary: one request and one reply in ordered blocks, which every dialect can decode to and encode from.
import type { UpstreamFault } from './errors.ts'

/** One piece of content. Order matters: `text, tool-call, text` is a different message from `text, text, tool-call`. */
export type Block =
  | TextBlock
  | MediaBlock
  | ReasoningBlock
  | ToolCallBlock
  | ToolResultBlock
  | { type: 'refusal'; text: string }
  | VendorBlock

export interface TextBlock {
  type: 'text'
  text: string
  cache?: CacheMark
  annotations?: Annotation[]
  /** Gemini signs text parts too; the signature goes back on the same part. */
  signature?: string
  origin?: string
}

export interface MediaBlock {
  type: 'media'
  kind: MediaKind
  source: MediaSource
  detail?: string
  name?: string
  cache?: CacheMark
}

export type MediaKind = 'image' | 'audio' | 'video' | 'file'

/** Thought text and the vendor's proof of it. `redacted` holds opaque bytes that must go back verbatim. */
export interface ReasoningBlock {
  type: 'reasoning'
  text: string
  signature?: string
  redacted?: string
  /** The vendor's id of the thought, where it has one. */
  id?: string
  /** True when `text` is a summary of the thought and not the thought itself. */
  summary?: boolean
  /** The dialect that made the signature: another vendor cannot verify it. */
  origin?: string
}

/** `input` is JSON as text, exactly as the model wrote it; it may be malformed when a model was cut off. */
export interface ToolCallBlock {
  type: 'tool-call'
  id: string
  name: string
  input: string
  /** OpenAI's custom tools: `input` is free text, not JSON. */
  custom?: boolean
  signature?: string
  origin?: string
  cache?: CacheMark
}

export interface ToolResultBlock {
  type: 'tool-result'
  id: string
  name?: string
  blocks: Block[]
  failed?: boolean
  cache?: CacheMark
}

/** A block that a vendor made and ran by itself (web search, code execution, …): opaque, goes back verbatim to its origin only. */
export interface VendorBlock {
  type: 'vendor'
  origin: string
  raw: unknown
}

export type MediaSource = { url: string; mime?: string } | { base64: string; mime: string } | { fileId: string }

export interface CacheMark {
  ttl?: '5m' | '1h'
  /** OpenAI's own spelling (`prompt_cache_breakpoint`), kept so that it goes back the way it came. */
  breakpoint?: true
}

/**
 * A citation of a source, as OpenAI's `url_citation`. `start` and `end` count code points of the whole text of the choice
 * (all its text blocks, joined); `raw` keeps the vendor's own object.
 */
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
  /** Fields of the source dialect that the hub has no word for. */
  extra?: Record<string, unknown>
}

export interface Tool {
  name: string
  description?: string
  /** JSON Schema as the client sent it. Never mutated: a later target must see the original. */
  schema?: unknown
  strict?: boolean
  cache?: CacheMark
  /** OpenAI's custom tools (free text in, optional grammar): the wire object as it came. */
  custom?: unknown
  /** Fields of the source dialect that the hub has no word for. */
  extra?: Record<string, unknown>
}

/** `only` limits the choice to some of the tools. */
export type ToolChoice =
  | { mode: 'auto' | 'required'; only?: string[] }
  | { mode: 'none' }
  | { mode: 'named'; name: string; custom?: boolean }

export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json' }
  | { type: 'schema'; name: string; schema: unknown; strict?: boolean; description?: string }

/** How much the model may think. `off` asks for none, `on` for some; `hide` keeps the thoughts out of the reply. */
export interface ReasoningWish {
  effort?: string
  budgetTokens?: number
  off?: boolean
  on?: boolean
  hide?: boolean
  /** The wire field that said so, kept where it may hold more than is understood here. */
  raw?: { name: string; value: unknown }
}

export interface WebSearch {
  contextSize?: string
  location?: { city?: string; country?: string; region?: string; timezone?: string }
}

/** A whole chat request in vendor-neutral form. A field the client did not set is absent, never null. */
export interface Chat {
  /** The dialect it was decoded from: `extra` and the names in losses are of its vocabulary. */
  source?: string
  messages: Message[]
  /** System text of the operator, before all messages: apart, so that places in errors are still the client's. */
  systemPrefix?: string
  stream?: boolean
  includeUsage?: boolean
  tools?: Tool[]
  toolChoice?: ToolChoice
  parallelToolCalls?: boolean
  /** The tools came as OpenAI's deprecated `functions`: the reply must use `function_call`. */
  legacyFunctions?: boolean
  format?: ResponseFormat
  maxTokens?: number
  /** The wire name that `maxTokens` came by, where the source has several. */
  maxTokensName?: string
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
  reasoning?: ReasoningWish
  verbosity?: string
  modalities?: string[]
  webSearch?: WebSearch
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
  /** Searches that the vendor made and charges by the piece, where it tells how many. */
  webSearches?: number
  /** True when we counted or guessed because the provider gave none. */
  estimated?: boolean
}

/** One run of a model that a vendor charges by itself. `model`: where it may be another than the reply's. */
export interface BilledPass {
  model?: string
  usage: Usage
}

/** All that a reply is charged for. */
export interface Billed {
  /** The sum of the passes. */
  usage: Usage
  passes: readonly BilledPass[]
}

/** One token's log probability, as OpenAI spells it. `bytes` is null where the vendor gives none. */
export interface TokenLogprob {
  token: string
  logprob: number
  bytes: number[] | null
  top: { token: string; logprob: number; bytes: number[] | null }[]
}

/**
 * One event of a reply. A JSON reply is the same events, arrived at once. `choice` is 0 unless the client asked for n > 1.
 * Order: `start` once; then blocks, each `block-start`, any `block-delta`s, `block-end`, indices contiguous from 0 in each
 * choice (only tool calls may be open at the same time; an end may tell the signature, and whose it is); one `finish` a choice; `usage` anywhere (the last one wins); and as
 * the very last either `end` (the vendor said that the reply is complete) or `fault` (it is not one, whatever came before).
 */
export type ChatEvent =
  | { type: 'start'; id?: string; model?: string; created?: number; serviceTier?: string; fingerprint?: string }
  | { type: 'block-start'; index: number; choice?: number; block: BlockStart }
  | { type: 'block-delta'; index: number; choice?: number; text: string }
  | { type: 'block-end'; index: number; choice?: number; signature?: string; origin?: string }
  | { type: 'annotations'; choice?: number; annotations: Annotation[] }
  | { type: 'logprobs'; choice?: number; part: 'content' | 'refusal'; tokens: TokenLogprob[] }
  /**
   * `billed`: what the vendor charges, where that is more than one run of one model: the counts for a client may leave some out.
   * `tariff`: the service tier and what else the price depends on, joined by `+`, where that is more than the tier.
   */
  | { type: 'usage'; usage: Usage; billed?: Billed; tariff?: string }
  | { type: 'finish'; choice?: number; reason: FinishReason; raw?: string; stopSequence?: string }
  | { type: 'end' }
  | { type: 'fault'; fault: UpstreamFault }

/** What opens: text, reasoning and refusal grow by text deltas, a tool call by deltas of its input's text. */
export type BlockStart =
  | { type: 'text'; origin?: string }
  | { type: 'refusal' }
  | { type: 'reasoning'; redacted?: string; origin?: string; id?: string; summary?: boolean }
  | { type: 'tool-call'; id: string; name: string; custom?: boolean; signature?: string; origin?: string }
  | {
      type: 'media'
      kind: MediaKind
      source: MediaSource
      name?: string
      transcript?: string
      id?: string
      expires?: number
    }
  | { type: 'vendor'; origin: string; raw: unknown }

/** A usage in which nothing was used. */
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

/**
 * The finish reason a client can act on: whenever a tool was called it is `tool_calls`, whatever the vendor said (Gemini and
 * Ollama say "stop"), but `length` and `content_filter` are kept, because such a call must not be run.
 */
export const finishAfter = (reason: FinishReason, called: boolean): FinishReason =>
  called && reason === 'stop' ? 'tool_calls' : reason
