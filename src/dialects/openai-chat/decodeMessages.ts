// The messages of an OpenAI chat request to hub messages: every part of every role, or a refusal that names what is not known.
import type {
  Block,
  CacheMark,
  MediaBlock,
  MediaSource,
  Message,
  TextBlock,
  ToolCallBlock,
  ToolResultBlock,
} from '../chat.ts'
import { Refusal } from '../errors.ts'
import {
  asObject,
  type Json,
  need,
  needObject,
  othersOf,
  ownEntry,
  readList,
  readObject,
  readString,
  wrongType,
  wrongValue,
} from '../field.ts'
import { mediaTypeOf } from '../mediaType.ts'
import { CallIds } from './callIds.ts'
import { readEchoed, weave } from './reasoningDetails.ts'

const audioMime: Readonly<Record<string, string>> = {
  wav: 'audio/wav',
  mp3: 'audio/mpeg',
  flac: 'audio/flac',
  opus: 'audio/opus',
  ogg: 'audio/ogg',
  aac: 'audio/aac',
  m4a: 'audio/mp4',
  pcm16: 'audio/L16',
}

/** Wire to hub. Deprecated `function` messages get the id of the call that they answer. */
export function decodeMessages(list: readonly unknown[]): Message[] {
  const history: History = { ids: new CallIds(), names: new Map(), calling: false, made: 0, open: new Map() }
  return list.map((item, index) => {
    const path = `messages[${index}].`
    const message = needObject(item, `messages[${index}]`)
    const role = need(readString(message, 'role', path), `${path}role`)
    if (role !== 'assistant') history.calling = false
    const decoded = decodeByRole(role, message, path, history)
    const name = readString(message, 'name', path)
    if (name !== undefined && role !== 'function' && name !== answeredBy(decoded, history)) decoded.name = name
    const mark = cacheMark(message, path)
    const last = mark && decoded.blocks.findLast(isMarkable)
    if (last) last.cache ??= mark
    const extra = othersOf(message, known)
    if (extra) decoded.extra = { ...decoded.extra, ...extra }
    return decoded
  })
}

/** The calls of the messages before. */
interface History {
  ids: CallIds
  /** The functions that were called, by the call's id. */
  names: Map<string, string>
  /** The message before this one calls something. */
  calling: boolean
  /** How many were of the deprecated kind. */
  made: number
  /** Ids of those that have no answer yet, by the function's name. */
  open: Map<string, string[]>
}

/** Blocks up to which a vendor can be told to cache; empty text says nothing and is left out. */
const isMarkable = (block: Block): block is TextBlock | MediaBlock | ToolCallBlock | ToolResultBlock =>
  block.type === 'text'
    ? block.text !== ''
    : block.type === 'media' || block.type === 'tool-call' || block.type === 'tool-result'

/** The function whose answer this is: clients repeat its name there (OpenAI's own examples did), which says nothing new. */
function answeredBy({ blocks: [block] }: Message, { names }: History): string | undefined {
  return block?.type === 'tool-result' ? names.get(block.id) : undefined
}

const known = new Set([
  'role',
  'content',
  'name',
  'tool_calls',
  'tool_call_id',
  'function_call',
  'refusal',
  'reasoning_content',
  'reasoning',
  'reasoning_details',
  'cache_control',
])

function decodeByRole(role: string, message: Json, path: string, history: History): Message {
  switch (role) {
    case 'system':
    case 'developer':
    case 'user':
      return { role, ...decodeContent(message, path) }
    case 'assistant':
      return decodeAssistant(message, path, history)
    case 'tool': {
      const id = need(readString(message, 'tool_call_id', path), `${path}tool_call_id`)
      const { blocks, ...rest } = decodeContent(message, path)
      return { role: 'tool', blocks: [{ type: 'tool-result', id: history.ids.answer(id), blocks }], ...rest }
    }
    case 'function': {
      const name = need(readString(message, 'name', path), `${path}name`)
      const id = history.open.get(name)?.shift() ?? `call_function_${++history.made}`
      return { role: 'tool', blocks: [{ type: 'tool-result', id, name, blocks: decodeContent(message, path).blocks }] }
    }
    default:
      throw wrongValue(`${path}role`, "one of 'developer', 'system', 'user', 'assistant', 'tool' and 'function'")
  }
}

function decodeAssistant(message: Json, path: string, history: History): Message {
  const details = readEchoed(readList(message, 'reasoning_details', path) ?? [])
  const thought = readString(message, 'reasoning_content', path) ?? readString(message, 'reasoning', path)
  const blocks: Block[] = []
  if (thought !== undefined && thought !== '' && !details.hasText) blocks.push({ type: 'reasoning', text: thought })
  const content = decodeContent(message, path)
  const text = typeof message.content === 'string' ? message.content : ''
  const made = readList(message, 'tool_calls', path) ?? []
  // Several in a row are one turn, in which each may be answered.
  if (made.length > 0 && !history.calling) history.ids.turn()
  history.calling = made.length > 0
  const calls = made.map((item, at) => {
    const call = decodeToolCall(needObject(item, `${path}tool_calls[${at}]`), `${path}tool_calls[${at}].`)
    const signed = details.callSignatures.get(call.id)
    const id = history.ids.call(call.id)
    history.names.set(id, call.name)
    return { ...call, ...(call.signature === undefined ? signed : undefined), id }
  })
  const refusal = readString(message, 'refusal', path)
  const refused: Block[] = refusal === undefined || refusal === '' ? [] : [{ type: 'refusal', text: refusal }]
  // Content in parts has no places: it stands between the thoughts and the calls.
  const parts = [...(text === '' ? content.blocks : []), ...refused]
  for (const item of weave(text, calls.length, details)) {
    // Not as arguments, of which a call takes a hundred thousand.
    if ('call' in item) {
      for (const part of parts.splice(0)) blocks.push(part)
      blocks.push(calls[item.call]!)
    } else blocks.push(item)
  }
  for (const part of parts) blocks.push(part)
  const old = readObject(message, 'function_call', path)
  if (old) {
    const name = need(readString(old, 'name', `${path}function_call.`), `${path}function_call.name`)
    const id = `call_function_${++history.made}`
    const open = history.open.get(name)
    if (open) open.push(id)
    else history.open.set(name, [id])
    blocks.push({ type: 'tool-call', id, name, input: readString(old, 'arguments', `${path}function_call.`) ?? '' })
  }
  return { role: 'assistant', blocks, ...(content.extra ? { extra: content.extra } : {}) }
}

function decodeToolCall(call: Json, path: string): ToolCallBlock {
  const id = need(readString(call, 'id', path), `${path}id`)
  const cache = cacheMark(call, path)
  const marked = cache ? { cache } : {}
  if (call.type === 'custom') {
    const custom = need(readObject(call, 'custom', path), `${path}custom`)
    const name = need(readString(custom, 'name', `${path}custom.`), `${path}custom.name`)
    const input = readString(custom, 'input', `${path}custom.`) ?? ''
    return { type: 'tool-call', id, name, input, custom: true, ...marked }
  }
  if (call.type !== undefined && call.type !== null && call.type !== 'function')
    throw unknownContent(`${path}type`, call.type)
  const fn = need(readObject(call, 'function', path), `${path}function`)
  const name = need(readString(fn, 'name', `${path}function.`), `${path}function.name`)
  const block: ToolCallBlock = {
    type: 'tool-call',
    id,
    name,
    input: readString(fn, 'arguments', `${path}function.`) ?? '',
    ...marked,
  }
  // Google's own OpenAI endpoint carries thought signatures here, and the AI SDK sends them back.
  const google = asObject(asObject(call.extra_content)?.google)
  if (typeof google?.thought_signature === 'string') {
    block.signature = google.thought_signature
    block.origin = 'gemini'
  }
  return block
}

const knownInPart = new Set([
  'type',
  'text',
  'refusal',
  'image_url',
  'video_url',
  'input_audio',
  'file',
  'thinking',
  'closed',
  'cache_control',
  'prompt_cache_breakpoint',
])

/** A message's content: a string, a list of parts, or nothing. `extra` holds fields of parts that nobody here knows. */
function decodeContent(message: Json, path: string): { blocks: Block[]; extra?: Record<string, unknown> } {
  const content = message.content
  if (content === undefined || content === null) return { blocks: [] }
  if (typeof content === 'string') return { blocks: [{ type: 'text', text: content }] }
  if (!Array.isArray(content)) throw wrongType(`${path}content`, 'a string or an array of parts')
  const blocks: Block[] = []
  const extra: Record<string, unknown> = {}
  content.forEach((item: unknown, at) => {
    const place = `${path}content[${at}]`
    if (typeof item === 'string') {
      blocks.push({ type: 'text', text: item })
      return
    }
    const part = needObject(item, place)
    blocks.push(...decodePart(part, `${place}.`))
    for (const [name, value] of Object.entries(othersOf(part, knownInPart) ?? {})) extra[`content.${name}`] = value
  })
  return Object.keys(extra).length > 0 ? { blocks, extra } : { blocks }
}

function decodePart(part: Json, path: string): Block[] {
  const cache = cacheMark(part, path)
  const marked = cache ? { cache } : {}
  switch (part.type) {
    case 'text':
      return [{ type: 'text', text: need(readString(part, 'text', path), `${path}text`), ...marked }]
    case 'refusal':
      return [{ type: 'refusal', text: need(readString(part, 'refusal', path), `${path}refusal`) }]
    case 'image_url':
    case 'video_url': {
      const kind = part.type === 'image_url' ? 'image' : 'video'
      const image = typeof part[part.type] === 'string' ? { url: part[part.type] } : readObject(part, part.type, path)
      const url = need(image && readString(image, 'url', `${path}${part.type}.`), `${path}${part.type}.url`)
      const detail = image && readString(image, 'detail', `${path}${part.type}.`)
      const source = sourceOf(url, `${path}${part.type}.url`)
      return [{ type: 'media', kind, source, ...(detail === undefined ? {} : { detail }), ...marked }]
    }
    case 'input_audio': {
      const audio = need(readObject(part, 'input_audio', path), `${path}input_audio`)
      const base64 = need(readString(audio, 'data', `${path}input_audio.`), `${path}input_audio.data`)
      const format = need(readString(audio, 'format', `${path}input_audio.`), `${path}input_audio.format`)
      const mime = ownEntry(audioMime, format) ?? `audio/${format}`
      return [{ type: 'media', kind: 'audio', source: { base64, mime }, ...marked }]
    }
    case 'file':
      return [{ ...decodeFile(part, path), ...marked }]
    case 'thinking':
      return decodeThinking(part, path)
    default:
      throw unknownContent(`${path}type`, part.type)
  }
}

function decodeFile(part: Json, path: string): Block & { type: 'media' } {
  const file = need(readObject(part, 'file', path), `${path}file`)
  const place = `${path}file.`
  const name = readString(file, 'filename', place)
  const named = name === undefined ? {} : { name }
  const fileId = readString(file, 'file_id', place)
  if (fileId !== undefined) return { type: 'media', kind: 'file', source: { fileId }, ...named }
  const data = need(readString(file, 'file_data', place), `${place}file_data`)
  // OpenAI wants a data URL; OpenRouter also takes an address; bare base64 is a PDF, the only type that works everywhere.
  const bare = !/^[a-z][a-z0-9+.-]*:/i.test(data)
  const source = bare ? { base64: data, mime: 'application/pdf' } : sourceOf(data, `${place}file_data`)
  return { type: 'media', kind: 'file', source, ...named }
}

/** Mistral's thoughts: a list of text parts. */
function decodeThinking(part: Json, path: string): Block[] {
  const parts = readList(part, 'thinking', path) ?? []
  const text = parts.map((piece) => asObject(piece)?.text).filter((piece) => typeof piece === 'string')
  return text.length === 0 ? [] : [{ type: 'reasoning', text: text.join('') }]
}

/** A `data:` URL as bytes, anything else as an address. Letter case says nothing in its head (RFC 2397, RFC 3986). */
export function sourceOf(url: string, path: string): MediaSource {
  if (!/^data:/i.test(url)) return { url }
  const comma = url.indexOf(',')
  const head = comma === -1 ? '' : url.slice(5, comma)
  if (comma === -1 || !/;base64$/i.test(head)) throw wrongValue(path, 'a data URL in base64')
  const mime = head.slice(0, -7).split(';')[0]!.toLowerCase()
  const base64 = url.slice(comma + 1)
  return { base64, mime: mediaTypeOf(base64, mime) }
}

/** `cache_control` as Anthropic spells it (other gateways take it too), or OpenAI's own `prompt_cache_breakpoint`. */
export function cacheMark(from: Json, path: string): CacheMark | undefined {
  const control = readObject(from, 'cache_control', path)
  if (control) {
    const ttl = readString(control, 'ttl', `${path}cache_control.`)
    if (ttl === undefined) return {}
    if (ttl !== '5m' && ttl !== '1h') throw wrongValue(`${path}cache_control.ttl`, "'5m' or '1h'")
    return { ttl }
  }
  return readObject(from, 'prompt_cache_breakpoint', path) ? { breakpoint: true } : undefined
}

function unknownContent(param: string, type: unknown): Refusal {
  const name = typeof type === 'string' ? `'${type.slice(0, 64)}'` : 'without a type'
  return new Refusal('unsupported_content', `Invalid '${param}': content ${name} is not supported.`, param)
}
