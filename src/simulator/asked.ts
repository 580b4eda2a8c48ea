// What a request asks for in words that no vendor owns: each wire fills it in, the reply is made from it.

export interface AskedTool {
  name: string
  /** JSON Schema of the arguments, as the client sent it. */
  schema: unknown
}

export interface ToolResult {
  name: string
  text: string
}

export interface Asked {
  model: string
  stream: boolean
  /** The client wants usage in its stream. */
  includeUsage: boolean
  /** All that is said, role by role: it seeds the reply's text, so that every wire gets the same answer to the same words. */
  conversation: string
  /** Text of the last user message. */
  question: string
  media: { images: number; audio: number; files: number }
  tools: AskedTool[]
  /** `auto`: as the script says. `required`: one must be called. `none`: none may be. */
  toolChoice: 'auto' | 'required' | 'none'
  parallel: boolean
  /** What the tools answered since the last user message. */
  toolResults: ToolResult[]
  /** A JSON schema the reply must follow, or `json` for any object. */
  format: 'text' | 'json' | { schema: unknown }
  maxTokens: number | undefined
  stop: string[]
  n: number
  logprobs: boolean
  /** What the request says of thoughts: `none` = do not think, `hidden` = do not show them. Absent: as the script says. */
  thoughts?: 'none' | 'hidden' | undefined
  /** A whole reply comes as a list of its parts. */
  asList?: boolean
  /** Counted by the rule of thumb of `countTokens`, media included. */
  promptTokens: number
  audioTokens: number
}
