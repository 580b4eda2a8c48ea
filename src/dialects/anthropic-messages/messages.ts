// Hub messages to Anthropic's system blocks and alternating turns, with a report of what they cannot hold.
import type { Block, CacheMark, Chat, MediaBlock, Message, ToolCallBlock, ToolResultBlock } from '../chat.ts'
import { Refusal } from '../errors.ts'
import { asObject } from '../field.ts'
import type { Losses } from '../loss.ts'
import { inputOf } from '../toolInput.ts'
import { isThought, origin, type WireBlock, type WireMessage } from './type.ts'

export interface Turns {
  system: WireBlock[]
  messages: WireMessage[]
}

/**
 * Hub to wire. Adjacent messages of one side become one turn, because the API wants turns that alternate and the results of a turn's
 * tool calls at the head of the next.
 * @throws Refusal for content that the API has no form for, for tool arguments that are not a JSON object, and for answers to no call
 */
export function encodeTurns(chat: Chat, losses: Losses): Turns {
  const ids = new CallIds()
  const turns: Turns = { system: prefixOf(chat), messages: [] }
  chat.messages.forEach((message, at) => {
    if (message.name !== undefined) losses.add('messages.name', 'dropped')
    losses.addAll(message.extra, 'messages.')
    if (message.role === 'system' || message.role === 'developer') {
      if (turns.messages.length > 0)
        losses.add('messages.role', 'approximated', 'a later system message moved to the top')
      const content = encodeBlocks(message, at, ids, losses)
      if (!isBlank(content)) for (const block of content) turns.system.push(block)
      else if (content.length > 0) losses.add('messages.content', 'dropped', 'an empty message')
      return
    }
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const content = encodeBlocks(message, at, ids, losses)
    if (isBlank(content)) {
      if (role === 'user' || content.length > 0) losses.add('messages.content', 'dropped', 'an empty message')
      return
    }
    const last = turns.messages.at(-1)
    // Not as arguments, of which a call takes a hundred thousand.
    if (last?.role === role) for (const block of content) last.content.push(block)
    else turns.messages.push({ role, content })
  })
  turns.messages = joinSpoken(turns.messages, losses)
  for (const turn of turns.messages) if (turn.role === 'user') resultsFirst(turn)
  settleEnds(turns, losses)
  return turns
}

/** The API refuses an assistant's turn that ends in a thought, as that of an answer is which was cut off in the middle of thinking. */
function joinSpoken(turns: readonly WireMessage[], losses: Losses): WireMessage[] {
  const kept: WireMessage[] = []
  for (const { role, content } of turns) {
    const spoken = role === 'assistant' ? content.findLastIndex((block) => !isThought(block)) + 1 : content.length
    if (spoken < content.length) losses.add('messages.reasoning', 'dropped', 'nothing was said after it')
    const said = content.slice(0, spoken)
    const before = kept.at(-1)
    if (before?.role === role) for (const block of said) before.content.push(block)
    else if (said.length > 0) kept.push({ role, content: said })
  }
  return kept
}

const prefixOf = ({ systemPrefix }: Chat): WireBlock[] =>
  systemPrefix === undefined ? [] : [{ type: 'text', text: systemPrefix }]

/** The API refuses a conversation without messages, one that an assistant opens, and a last answer that ends in white space. */
function settleEnds(turns: Turns, losses: Losses): void {
  const { messages, system } = turns
  if (messages.length === 0) {
    const only = system.pop()
    if (!only)
      throw new Refusal('invalid_value', "Invalid 'messages': expected at least one that says something.", 'messages')
    losses.add('messages.role', 'approximated', 'the system message was sent as the user’s, as there is no other')
    messages.push({ role: 'user', content: [only] })
  }
  if (messages[0]?.role === 'assistant') {
    losses.add('messages.role', 'approximated', 'an empty user turn was put before the first')
    messages.unshift({ role: 'user', content: [{ type: 'text', text: '.' }] })
  }
  const last = messages.at(-1)
  const end = last?.content.at(-1)
  if (last?.role === 'assistant' && end?.type === 'text') end.text = String(end.text).trimEnd() || '.'
}

function resultsFirst(turn: WireMessage): void {
  const isResult = ({ type }: WireBlock) => type === 'tool_result'
  turn.content = [...turn.content.filter(isResult), ...turn.content.filter((block) => !isResult(block))]
}

function encodeBlocks(message: Message, at: number, ids: CallIds, losses: Losses): WireBlock[] {
  let calls = 0
  return message.blocks.flatMap((block, part) => {
    const path = `messages[${at}].content[${part}]`
    switch (block.type) {
      case 'text':
        if (block.signature !== undefined) losses.add('messages.reasoning', 'dropped', foreign)
        // Empty text is refused and says nothing.
        return block.text === '' ? [] : [{ type: 'text', text: block.text, ...markOf(block.cache) }]
      case 'refusal':
        losses.add('messages.refusal', 'approximated', 'sent as text')
        return block.text === '' ? [] : [{ type: 'text', text: block.text }]
      case 'media':
        return [encodeMedia(block, path, losses)]
      case 'reasoning':
        return encodeThought(block, losses)
      case 'vendor':
        return encodeVendorBlock(block, losses)
      case 'tool-call':
        return [encodeCall(block, `messages[${at}].tool_calls[${calls++}]`, ids, losses)]
      case 'tool-result':
        return [encodeResult(block, at, path, ids, losses)]
    }
    return []
  })
}

/** The API refuses a message that is white space and nothing else; beside a call or other text it takes that. */
function isBlank(content: readonly WireBlock[]): boolean {
  return content.every(({ type, text }) => type === 'text' && String(text).trim() === '')
}

const foreign = 'it has no signature of this vendor'

/** Only its own maker can verify a thought; without a signature nobody can. */
function encodeThought(block: Block & { type: 'reasoning' }, losses: Losses): WireBlock[] {
  if (block.origin === origin && block.redacted !== undefined)
    return [{ type: 'redacted_thinking', data: block.redacted }]
  if (block.origin === origin && block.signature !== undefined) {
    return [{ type: 'thinking', thinking: block.text, signature: block.signature }]
  }
  losses.add('messages.reasoning', 'dropped', foreign)
  return []
}

function encodeVendorBlock(block: Block & { type: 'vendor' }, losses: Losses): WireBlock[] {
  const raw = asObject(block.raw)
  if (block.origin === origin && typeof raw?.type === 'string') return [{ ...raw, type: raw.type }]
  losses.add('messages.vendor_blocks', 'dropped', `made by ${block.origin}`)
  return []
}

function encodeCall(block: ToolCallBlock, path: string, ids: CallIds, losses: Losses): WireBlock {
  if (block.signature !== undefined) losses.add('messages.reasoning', 'dropped', foreign)
  const input = block.custom ? { input: block.input } : inputOf(block.input, `${path}.function.arguments`)
  return { type: 'tool_use', id: ids.of(block.id), name: block.name, input, ...markOf(block.cache) }
}

function encodeResult(block: ToolResultBlock, at: number, path: string, ids: CallIds, losses: Losses): WireBlock {
  if (!ids.has(block.id)) {
    const param = `messages[${at}].tool_call_id`
    throw new Refusal('invalid_value', `Invalid '${param}': no earlier message calls a tool with this id.`, param)
  }
  const content = block.blocks.flatMap((inner, part) => {
    if (inner.type === 'text')
      return inner.text === '' ? [] : [{ type: 'text', text: inner.text, ...markOf(inner.cache) }]
    if (inner.type === 'media') return [encodeMedia(inner, `${path}.content[${part}]`, losses)]
    losses.add('messages.tool_result.content', 'dropped', `a block of type ${inner.type}`)
    return []
  })
  return {
    type: 'tool_result',
    tool_use_id: ids.of(block.id),
    ...(content.length > 0 ? { content } : {}),
    ...(block.failed ? { is_error: true } : {}),
    ...markOf(block.cache),
  }
}

const imageTypes: ReadonlySet<string> = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp'])

function encodeMedia(block: MediaBlock, path: string, losses: Losses): WireBlock {
  const mark = markOf(block.cache)
  if (block.detail !== undefined && block.detail !== 'auto') losses.add('image_url.detail', 'unsupported')
  const { source } = block
  if ('fileId' in source) throw unsupported(path, 'a file id of another vendor')
  const isUrl = 'url' in source
  if (block.kind === 'image') {
    if (isUrl) return { type: 'image', source: { type: 'url', url: source.url }, ...mark }
    const mime = source.mime === 'image/jpg' ? 'image/jpeg' : source.mime
    if (!imageTypes.has(mime)) throw unsupported(path, `an image of type '${mime.slice(0, 64)}'`)
    return { type: 'image', source: { type: 'base64', media_type: mime, data: source.base64 }, ...mark }
  }
  if (block.kind !== 'file')
    throw unsupported(path, block.kind === 'audio' ? 'audio (input_audio)' : 'video (video_url)')
  const title = block.name ? { title: block.name.slice(0, 500) } : {}
  if (isUrl) return { type: 'document', source: { type: 'url', url: source.url }, ...title, ...mark }
  const mime = source.mime.toLowerCase()
  if (imageTypes.has(mime))
    return { type: 'image', source: { type: 'base64', media_type: mime, data: source.base64 }, ...mark }
  if (mime === 'application/pdf') {
    return { type: 'document', source: { type: 'base64', media_type: mime, data: source.base64 }, ...title, ...mark }
  }
  if (mime.startsWith('text/') || mime === 'application/json') {
    const data = Buffer.from(source.base64, 'base64').toString('utf8')
    return { type: 'document', source: { type: 'text', media_type: 'text/plain', data }, ...title, ...mark }
  }
  throw unsupported(path, `a file of type '${mime.slice(0, 64)}'`)
}

const unsupported = (param: string, what: string): Refusal =>
  new Refusal('unsupported_content', `Invalid '${param}': Anthropic's API does not take ${what}.`, param)

export function markOf(cache: CacheMark | undefined): { cache_control?: { type: 'ephemeral'; ttl?: '5m' | '1h' } } {
  if (!cache) return {}
  return { cache_control: cache.ttl ? { type: 'ephemeral', ttl: cache.ttl } : { type: 'ephemeral' } }
}

/**
 * The API takes letters, digits, `_` and `-` in call ids; other vendors write dots and colons. The same id always becomes the same
 * one, and two different ids never do.
 */
class CallIds {
  readonly #given = new Map<string, string>()
  readonly #taken = new Set<string>()
  /** The number that the next one gets of those that become the same: trying all from the first takes too long where there are thousands. */
  readonly #next = new Map<string, number>()

  /** Whether a call had this id. */
  has(id: string): boolean {
    return this.#given.has(id)
  }

  of(id: string): string {
    const known = this.#given.get(id)
    if (known !== undefined) return known
    const clean = id.replace(/[^a-zA-Z0-9_-]/g, '_') || 'call'
    let unique = clean
    let n = this.#next.get(clean) ?? 2
    while (this.#taken.has(unique)) unique = `${clean}_${n++}`
    this.#next.set(clean, n)
    this.#given.set(id, unique)
    this.#taken.add(unique)
    return unique
  }
}
