// What vendors answer an error to in a conversation that another vendor has answered so far, and clients send back as it came.

/**
 * Fields that replies of one vendor carry, and ours that are translated, and that another vendor refuses. `cache_control` is the mark of a
 * cache that clients set for Claude; `thinking` means parts of the content that hold it (Mistral's); `executed_tools` and `channel` are
 * Groq's, `extra_content` and `thought_signature` Google's; `parsed` and, in tool calls, `parsed_arguments` are what OpenAI's SDK has read
 * out of the text; `index` stands in tool calls, and OpenAI's Agents SDK repeats it in the answers to them; `name` is a speaker's, not a
 * tool's; `tool_calls` and `function_call` are meant where they hold nothing.
 */
export const foreignFields = [
  'reasoning_content',
  'reasoning',
  'reasoning_details',
  'refusal',
  'annotations',
  'citations',
  'images',
  'audio',
  'parsed',
  'parsed_arguments',
  'name',
  'cache_control',
  'extra_content',
  'thought_signature',
  'thinking',
  'executed_tools',
  'channel',
  'index',
  'tool_calls',
  'function_call',
] as const
export type ForeignField = (typeof foreignFields)[number]

/** Ids of tool calls that a model takes. Others are as long as `length` says once they are written anew, in letters and digits. */
export interface CallIdRule {
  readonly takes: RegExp
  readonly length: number
}

/** What a model answers an error to. */
export interface Refused {
  readonly fields: readonly ForeignField[]
  /** Takes `index` in calls, and writes it there itself; in answers to them it does not. */
  readonly numbersCalls?: true
  /** Gives its thoughts as parts of the content and takes them back there, which clients know as `reasoning_content`. */
  readonly listsThoughts?: boolean
  /** Without it any id will do. */
  readonly callIds?: CallIdRule | undefined
  /** It does not know OpenAI's newer word for the role `system`. */
  readonly developer?: true
  /** An assistant's message needs content or calls: an empty text is an error, too. */
  readonly mute?: true
}

export const nothingRefused: Refused = { fields: [] }

/** "Unknown parameter: 'messages[1].…'", "[] is too short - 'messages.1.tool_calls'", "Expected a string with maximum length 40" (vLLM's ids have 46). */
export const refusedByOpenAI: Refused = {
  fields: [
    'reasoning_content',
    'reasoning',
    'reasoning_details',
    'citations',
    'images',
    'cache_control',
    'extra_content',
    'thought_signature',
    'thinking',
    'executed_tools',
    'channel',
    'index',
    'tool_calls',
    'function_call',
  ],
  callIds: { takes: /^.{0,40}$/s, length: 40 },
}

/** All but these. */
export const allFieldsBut = (...taken: ForeignField[]): ForeignField[] =>
  foreignFields.filter((name) => !taken.includes(name))
