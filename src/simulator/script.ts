// What a script is: how the simulated vendor answers, how fast, in which form, and how it fails.
import * as z from 'zod'

/** Every way in which a reply can be made to fail. */
export const faultKinds = [
  'status',
  'firstEventError',
  'midStreamError',
  'cut',
  'truncate',
  'stall',
  'reset',
  'garbageJson',
  'garbageSse',
  'slowHeaders',
  'emptySuccess',
  'redirect',
  'wrongLength',
] as const

export type FaultKind = (typeof faultKinds)[number]

const count = z.number().int().min(0).max(1_000_000)
const milliseconds = z.number().min(0).max(86_400_000)
/** What may stand in a header value: anything else makes Node throw when the reply is written. */
const headerValue = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'is not a legal header value')
const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'is not a legal header name')

const faultSchema = z.strictObject({
  kind: z.enum(faultKinds),
  /** HTTP status of `status` and `redirect`; of in-band errors the status that the error stands for. */
  status: z.number().int().min(200).max(599).optional(),
  /** Seconds, or any string (an HTTP-date), sent as `Retry-After`. */
  retryAfter: z.union([z.number().min(0), headerValue]).optional(),
  /** Replaces the error body or the garbage. An object is sent as JSON, a string as it is. */
  body: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  message: z.string().optional(),
  /** The vendor's machine-readable word, as `insufficient_quota`. */
  code: z.string().optional(),
  /** Where a redirect points; default: a path of the simulator that counts who follows. */
  location: headerValue.optional(),
  /**
   * Tokens generated before the fault. Default: half of the reply for `midStreamError`, `cut` and `truncate`, 0 for `stall`
   * and `garbageJson`; `reset` without it comes before the headers, `garbageSse` without it is garbage alone.
   */
  afterTokens: count.optional(),
  /** What `wrongLength` adds to the true length in bytes, default 16; negative = too short. */
  lengthOff: z.number().int().optional(),
  /** Only the first so many calls of the model fail, the later ones succeed. */
  times: count.optional(),
  /** Share of calls that fail, 0 to 1, drawn from the seed. */
  rate: z.number().min(0).max(1).optional(),
})

const usageSchema = z.strictObject({
  promptTokens: count.optional(),
  completionTokens: count.optional(),
  cachedTokens: count.optional(),
  cacheWriteTokens: count.optional(),
  /** How many of those are kept for an hour. */
  cacheWrite1hTokens: count.optional(),
  reasoningTokens: count.optional(),
  audioInTokens: count.optional(),
  audioOutTokens: count.optional(),
})

const callSchema = z.strictObject({
  name: z.string().min(1),
  /** A string is sent verbatim, also when it is not JSON; anything else as JSON. */
  arguments: z.unknown().optional(),
  id: z.string().optional(),
})

export const scriptSchema = z.strictObject({
  /** Milliseconds of silence before status and headers. */
  headersDelayMs: milliseconds.optional(),
  /** Milliseconds from the headers to the first generated token (streams), or before the headers (JSON). */
  firstTokenMs: milliseconds.optional(),
  /** Pace of generation; absent = all at once. A JSON reply waits until all of it is generated. */
  tokensPerSecond: z.number().positive().optional(),
  /** Length of the generated text in tokens. */
  tokens: count.optional(),
  /** Fixed text instead of a generated one. */
  text: z.string().optional(),
  /** Answer with a JSON object also when the request does not ask for one. */
  json: z.boolean().optional(),
  /** Calls to make, or `auto`: the first tools of the request. Once tool results are there the answer is text. */
  toolCalls: z.union([z.literal('auto'), z.array(callSchema).min(1)]).optional(),
  /** `auto` makes more than one call when the request gives cause; default true. */
  parallel: z.boolean().optional(),
  /** Tool arguments come in pieces (default) or whole in the chunk that opens the call. */
  fragmented: z.boolean().optional(),
  reasoningTokens: count.optional(),
  /** False: reasoning is only counted, as OpenAI does; default: its text is shown as `reasoning_content`. */
  reasoningText: z.boolean().optional(),
  /** A block of thoughts that nobody may read stands before the others (Anthropic). */
  redactedThinking: z.boolean().optional(),
  /** Thoughts and calls are signed (Anthropic, Gemini); default true. Signatures that come back are checked in any case. */
  signatures: z.boolean().optional(),
  /** Calls have ids (Gemini); default: those that Gemini 3 and later give. */
  callIds: z.boolean().optional(),
  /** The prompt is refused: nothing is generated. Gemini gives this reason, others end with what they have for it. */
  blockReason: z.string().optional(),
  /** Prompt tokens that came from a cache; raises the prompt when that is shorter. */
  cachedTokens: count.optional(),
  /** Numbers to report instead of the counted ones; they are what is billed, too. */
  usage: usageSchema.optional(),
  /** `ask` (default): in streams only on request. `always`: unasked too. `never`: neither in streams nor in JSON. */
  usageMode: z.enum(['ask', 'always', 'never']).optional(),
  /** Usage sits on the finish chunk instead of a chunk of its own with `choices: []`. */
  usageOnChoices: z.boolean().optional(),
  /** Any word, also one that the vendor does not document. */
  finishReason: z.string().optional(),
  /** True (default): a chunk with the role alone. False: the role rides on the first delta. `absent`: no role at all. */
  roleChunk: z.union([z.boolean(), z.literal('absent')]).optional(),
  /** A first chunk with `choices: []`, as Azure's prompt filter sends. */
  emptyChoicesFirst: z.boolean().optional(),
  /** False leaves out the `[DONE]` at the end of a stream. */
  done: z.boolean().optional(),
  /** A comment every so many milliseconds while a stream is open. */
  keepAliveMs: z.number().min(1).max(86_400_000).optional(),
  lineEnding: z.enum(['\n', '\r\n', '\r']).optional(),
  /** Write the body in pieces of so many bytes, each its own TCP segment. */
  split: z.number().int().min(1).max(1_000_000).optional(),
  /** Extra reply headers; they replace ours of the same name. */
  headers: z.record(headerName, headerValue).optional(),
  /** `null` in a request's header removes the model's fault. */
  fault: faultSchema.nullable().optional(),
})

export type Script = z.infer<typeof scriptSchema>
export type Fault = z.infer<typeof faultSchema>
export type UsageOverride = z.infer<typeof usageSchema>

/** A script that cannot be used. The message names every error with its path. */
export class ScriptError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ScriptError'
  }
}

/** Checks a script from outside. `where` opens each error's path. Throws `ScriptError`. */
export function parseScript(value: unknown, where = 'script'): Script {
  const result = scriptSchema.safeParse(value)
  if (result.success) return result.data
  const lines = result.error.issues.map((issue) => `${[where, ...issue.path.map(String)].join('.')}: ${issue.message}`)
  throw new ScriptError(lines.join('; '))
}

/** Checks a mapping of model names to scripts, as a `--scripts` file holds it. Throws one `ScriptError` for all errors. */
export function parseScripts(value: unknown): Record<string, Script> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ScriptError('scripts: expected a mapping of model names to scripts')
  }
  const scripts: Record<string, Script> = Object.create(null)
  const errors: string[] = []
  for (const [model, script] of Object.entries(value)) {
    try {
      scripts[model] = parseScript(script, model)
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error
      errors.push(error.message)
    }
  }
  if (errors.length > 0) throw new ScriptError(errors.join('; '))
  return scripts
}

/** Checks a script that came as JSON text, as in the `x-sim-script` header. Throws `ScriptError`; never quotes the text. */
export function parseScriptText(text: string, where: string): Script {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ScriptError(`${where}: not JSON`)
  }
  return parseScript(value, where)
}
