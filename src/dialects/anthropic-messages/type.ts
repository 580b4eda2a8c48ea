// The parts of the Anthropic Messages wire format that are written here.

export interface CacheControl {
  type: 'ephemeral'
  ttl?: '5m' | '1h'
}

/** A content block as sent. Vendor-run blocks go back as they came and have any shape. */
export type WireBlock = { type: string; cache_control?: CacheControl } & Record<string, unknown>

export const isThought = ({ type }: WireBlock): boolean => type === 'thinking' || type === 'redacted_thinking'

export interface WireMessage {
  role: 'user' | 'assistant'
  content: WireBlock[]
}

export interface WireTool extends Record<string, unknown> {
  name: string
  cache_control?: CacheControl
}

export interface WireRequest {
  model: string
  max_tokens: number
  messages: WireMessage[]
  system?: WireBlock[]
  tools?: WireTool[]
  tool_choice?: { type: 'auto' | 'any' | 'tool' | 'none'; name?: string; disable_parallel_tool_use?: boolean }
  stream?: boolean
  stop_sequences?: string[]
  temperature?: number
  top_p?: number
  top_k?: number
  thinking?:
    | { type: 'enabled'; budget_tokens: number; display?: 'summarized' | 'omitted' }
    | { type: 'adaptive'; display?: 'summarized' | 'omitted' }
    | { type: 'disabled' }
  output_config?: { effort?: string; format?: { type: 'json_schema'; schema: unknown } }
  metadata?: { user_id: string }
  service_tier?: 'auto' | 'standard_only'
  cache_control?: unknown
}

/** The dialect's name, which marks thoughts and blocks that only this vendor can take back. */
export const origin = 'anthropic-messages'

/**
 * The tool by which models without structured outputs are made to answer in JSON. A call of it is the answer: the reply decoder turns
 * its input into text. The name is long so that no client's own tool has it.
 */
export const jsonToolName = 'turnout_structured_answer'
