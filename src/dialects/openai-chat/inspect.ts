// Looks once at an OpenAI chat request: is it one, and what does routing need to know of it.
import { isUtf8 } from 'node:buffer'
import type { Ask, Inspected, InspectLimits } from '../dialect.ts'
import { Refusal } from '../errors.ts'
import { isJson, syntaxErrorOf } from '../json.ts'
import { isPicture } from '../mediaType.ts'
import { type Fields, foldName, scanFields } from '../splice.ts'
import { countValues, mayHoldMore, tooMany } from '../valueCount.ts'

type Json = Record<string, unknown>

type MediaCount = Ask['media'] & { bytes: number }

/** The keys, at the top or in `stream_options`, that decide what is admitted, routed and paid for. */
const inspected: ReadonlySet<string> = new Set([
  'model',
  'models',
  'messages',
  'stream',
  'stream_options',
  'include_usage',
  'max_tokens',
  'max_completion_tokens',
  'n',
  'tools',
  'user',
  'safety_identifier',
  'service_tier',
  'web_search_options',
  'plugins',
  'prediction',
])

/**
 * Parses the body and checks the shape that everything later relies on; all other fields are the upstream's business.
 * @throws Refusal for bodies that are no chat request; the message never quotes the body.
 */
export function inspect(raw: Buffer, limits: InspectLimits): Inspected {
  if (!isUtf8(raw)) throw new Refusal('invalid_encoding', 'The body is not valid UTF-8.')
  const fields = scanFields(raw, 0, limits.maxDepth)
  const wire = parse(raw)
  refuseAmbiguity(fields)
  const options = fields.byName.get('stream_options')
  if (options) refuseAmbiguity(scanFields(raw, options.valueStart))
  return { ask: askOf(wire, raw.length, limits), wire, raw, fields }
}

function parse(raw: Buffer): Json {
  const text = raw.toString('utf8')
  let wire: unknown
  try {
    wire = JSON.parse(text)
  } catch {
    throw new Refusal('invalid_json', syntaxErrorOf(text))
  }
  if (typeof wire !== 'object' || wire === null || Array.isArray(wire)) {
    throw new Refusal('invalid_json', 'The body must be a JSON object.')
  }
  return wire as Json
}

/**
 * Two readers may take different ones of two equal keys: the model that we admit would not be the model that is run. `"N": 100` alone
 * is no better: readers that ignore case (Go's `encoding/json`) run a hundred answers where we have seen one.
 */
function refuseAmbiguity(fields: Fields): void {
  const name = fields.duplicates[0] ?? [...fields.byName.keys()].find(isMisspelt)
  if (name === undefined) return
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name
  const why = isMisspelt(name) ? `, which some servers read as '${foldName(name)}'` : ' more than once'
  throw new Refusal('duplicate_key', `The body has the key '${shown}'${why}.`, shown)
}

const isMisspelt = (name: string): boolean => /[^a-z0-9_]/.test(name) && inspected.has(foldName(name))

function askOf(wire: Json, bytes: number, limits: InspectLimits): Ask {
  const model = wire.model
  if (model === undefined || model === null || model === '') {
    throw new Refusal('missing_required_parameter', 'you must provide a model parameter', 'model')
  }
  if (typeof model !== 'string') throw wrongType('model', 'a string')
  // Half a surrogate pair has no UTF-8 form: it could stand in no URL, no header and no log line.
  if (/\p{Surrogate}/u.test(model)) {
    throw new Refusal('invalid_value', "Invalid 'model': the text is not valid Unicode.", 'model')
  }
  const stream = optional(wire, 'stream', 'boolean') ?? false
  const options = wire.stream_options ?? undefined
  if (options !== undefined && (typeof options !== 'object' || Array.isArray(options))) {
    throw wrongType('stream_options', 'an object')
  }
  const includeUsage = options ? optional(options as Json, 'include_usage', 'boolean', 'stream_options.') : undefined
  const media = { images: 0, audio: 0, files: 0, bytes: 0 }
  const messages = messagesOf(wire, limits.maxMessages, media)
  return {
    model,
    models: modelsOf(wire.models),
    stream,
    includeUsage: stream && includeUsage === true,
    maxTokens: capOf(wire, 'max_completion_tokens') ?? capOf(wire, 'max_tokens'),
    n: answersOf(wire),
    messages,
    bytes,
    tools: lengthOf(wire.tools) + lengthOf(wire.functions),
    media,
    user: optional(wire, 'user', 'string') ?? optional(wire, 'safety_identifier', 'string'),
  }
}

const lengthOf = (value: unknown): number => (Array.isArray(value) ? value.length : 0)

/** OpenRouter's `models`; anything else of that name is the upstream's business. */
function modelsOf(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined
  return value.every((name) => typeof name === 'string') ? value : undefined
}

/** Checks each message's frame and counts media. Content is not read, only its type. */
function messagesOf(wire: Json, max: number, media: MediaCount): number {
  const messages = wire.messages
  if (messages === undefined || messages === null) {
    throw new Refusal('missing_required_parameter', "Missing required parameter: 'messages'.", 'messages')
  }
  if (!Array.isArray(messages)) throw wrongType('messages', 'an array of objects')
  if (messages.length > max) {
    throw new Refusal('too_many_messages', `The request has more than ${max} messages.`, 'messages')
  }
  for (let index = 0; index < messages.length; index++) {
    const message: unknown = messages[index]
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      throw wrongType(`messages[${index}]`, 'an object')
    }
    const { content, audio } = message as Json
    if (Array.isArray(content)) countMedia(content, media)
    // An earlier spoken answer, by its id.
    if (audio) media.audio++
  }
  return messages.length
}

function countMedia(parts: unknown[], media: MediaCount): void {
  for (const part of parts) {
    // A bare text, or a list, is no part; and its letters are as many names as it is long.
    if (typeof part !== 'object' || part === null || Array.isArray(part)) continue
    const fields = part as Record<string, Json | undefined> & { type?: unknown }
    const { image_url, input_audio, file } = fields
    const type = fields.type ?? untyped(fields)
    if (type === 'image_url') {
      const url = typeof image_url === 'string' ? image_url : image_url?.url
      if (typeof url !== 'string' || isPicture(url)) media.images++
      else media.files++
      media.bytes += embedded(url)
    } else if (type === 'input_audio') {
      media.audio++
      media.bytes += typeof input_audio?.data === 'string' ? input_audio.data.length : 0
    } else if (type === 'file') {
      media.files++
      media.bytes += embedded(file?.file_data)
    } else if (type !== 'text' && type !== 'refusal' && type !== undefined) {
      // A video, a vendor's own kind: nobody knows what it holds.
      media.files++
    }
  }
}

/** What a part without a type is, which vLLM takes by its field: `{"image_url": "https://…"}`, `{"video_url": …}`. */
function untyped(part: Readonly<Record<string, unknown>>): string | undefined {
  for (const name in part) if (/^(?:file$|input_audio$|image|audio|video)/.test(name)) return name
  return undefined
}

/** Length of a data URL's content. An address is short, and text to some servers. */
function embedded(url: unknown): number {
  if (typeof url !== 'string' || !url.startsWith('data:')) return 0
  const mark = url.slice(0, 256).indexOf(';base64,')
  return mark === -1 ? 0 : url.length - mark - ';base64,'.length
}

/**
 * Finds tool calls in the history whose arguments are not JSON text, unless the route leaves that to the upstream. Many servers answer these
 * with a 500 or drop the connection. Empty arguments pass: models write them for tools without parameters. And refuses more values in all of
 * them than anybody means, for whichever vendor: some get objects in place of the text.
 * @param most values that all of them may hold, about
 * @throws Refusal `invalid_tool_arguments` that names the message and the call, `too_many_values`
 */
export function checkToolArguments(wire: unknown, most: number, isLeft: boolean): void {
  let length = 0
  let values = 0
  const count = (text: unknown): void => {
    if (typeof text !== 'string') return
    length += text.length
    if (mayHoldMore(length, most)) values += countValues(text, most)
    if (values > most) throw tooMany('A history of tool calls', most, 'messages')
  }
  const messages = (wire as { messages?: unknown }).messages
  if (!Array.isArray(messages)) return
  for (let index = 0; index < messages.length; index++) {
    const { tool_calls: calls, function_call: call } = messages[index] as Json
    if (call !== undefined) count((call as Called | null)?.arguments)
    if (!Array.isArray(calls)) continue
    for (let at = 0; at < calls.length; at++) {
      const fn = (calls[at] as { function?: Called | null } | null)?.function
      if (fn === undefined || fn === null || fn.arguments === undefined || fn.arguments === '') continue
      count(fn.arguments)
      if (isLeft || (typeof fn.arguments === 'string' && isJson(fn.arguments))) continue
      const param = `messages[${index}].tool_calls[${at}].function.arguments`
      throw new Refusal('invalid_tool_arguments', `Invalid '${param}': expected a string that holds valid JSON.`, param)
    }
  }
}

interface Called {
  readonly arguments?: unknown
}

function wrongType(param: string, expected: string): Refusal {
  return new Refusal('invalid_type', `Invalid type for '${param}': expected ${expected}.`, param)
}

interface Types {
  boolean: boolean
  string: string
}

/** A field that may be absent or null. */
function optional<T extends keyof Types>(from: Json, name: string, type: T, prefix = ''): Types[T] | undefined {
  const value = from[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== type) throw wrongType(prefix + name, `a ${type}`)
  return value as Types[T]
}

/** A count that may be absent or null. */
function whole(from: Json, name: string): number | undefined {
  const value = from[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(name, 'an integer')
  return value
}

/** A cap on output tokens. Local servers take -1 for "none" (llama.cpp, LM Studio), others refuse it: no cap to rely on, either way. */
function capOf(from: Json, name: string): number | undefined {
  const cap = whole(from, name)
  return cap !== undefined && cap < 1 ? undefined : cap
}

function answersOf(from: Json): number {
  const n = whole(from, 'n') ?? 1
  if (n < 1) throw new Refusal('invalid_value', "Invalid 'n': expected a value of at least 1.", 'n')
  return n
}
