// `reasoning_details`: how thoughts, signatures and vendor-run blocks travel through an OpenAI client and come back verbatim.
// The list's form is OpenRouter's (openrouter.ai/docs, "Reasoning tokens"), because clients that echo it exist. Ours on top:
// `text_offset` and `call_offset`, the place in `content` (UTF-16 units) and in `tool_calls` before which the item stood, and items of
// type `vendor.block`.
import type { Block, ReasoningBlock, TextBlock, ToolCallBlock, VendorBlock } from '../chat.ts'
import { asObject, compact, type Json, ownEntry } from '../field.ts'

export interface ReasoningDetail {
  type: string
  text?: string
  summary?: string
  data?: unknown
  signature?: string
  id?: string
  format: string
  index: number
  text_offset?: number
  call_offset?: number
}

/** Where in a message something stands: after so much text and so many tool calls. */
export interface Place {
  text: number
  calls: number
}

const formatOf: Readonly<Record<string, string>> = {
  'anthropic-messages': 'anthropic-claude-v1',
  gemini: 'google-gemini-v1',
  'openai-responses': 'openai-responses-v1',
}
const originOf: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(formatOf).map(([origin, format]) => [format, origin]),
)

/** Hub to wire: one block as an item of the list. A place before everything is left out. */
export function writeDetail(
  block: ReasoningBlock | VendorBlock | { signatureOf: TextBlock | ToolCallBlock },
  index: number,
  { text: offset, calls }: Place,
): ReasoningDetail {
  const place = { ...(offset > 0 ? { text_offset: offset } : {}), ...(calls > 0 ? { call_offset: calls } : {}) }
  if ('signatureOf' in block) {
    const signed = block.signatureOf
    const id = signed.type === 'tool-call' ? { id: signed.id } : {}
    return {
      type: 'reasoning.encrypted',
      data: signed.signature,
      ...id,
      format: writeFormat(signed.origin),
      index,
      ...place,
    }
  }
  const format = writeFormat(block.origin)
  if (block.type === 'vendor') return { type: 'vendor.block', data: block.raw, format, index, ...place }
  const { id, signature, redacted, text } = block
  if (redacted !== undefined)
    return compact({ type: 'reasoning.encrypted', data: redacted, id, format, index, ...place })
  const said = block.summary ? { type: 'reasoning.summary', summary: text } : { type: 'reasoning.text', text }
  return compact({ ...said, signature, id, format, index, ...place })
}

const writeFormat = (origin: string | undefined): string => ownEntry(formatOf, origin ?? '') ?? origin ?? 'unknown'

/** What a list of details says: blocks with their places, and signatures that belong to text and to tool calls. `order`: which was said first. */
export interface ReadDetails {
  placed: { order: number; place: Place; block: ReasoningBlock | VendorBlock }[]
  /** Without an offset: the signature of all the text. */
  textSignatures: { order: number; offset: number | undefined; signature: string; origin: string }[]
  callSignatures: Map<string, { signature: string; origin: string }>
  /** Whether thought text is in it: `reasoning_content` then says the same once more. */
  hasText: boolean
}

/** Wire to hub. Items that no one can read are passed over: they are an echo of what some server said, not the user's words. */
export function readDetails(list: readonly unknown[]): ReadDetails {
  const result: ReadDetails = { placed: [], textSignatures: [], callSignatures: new Map(), hasText: false }
  for (const [order, item] of joinFragments(list).entries()) {
    const format = typeof item.format === 'string' ? item.format : 'unknown'
    const origin = ownEntry(originOf, format) ?? format
    const offset = typeof item.text_offset === 'number' ? item.text_offset : undefined
    const calls = typeof item.call_offset === 'number' ? item.call_offset : 0
    const id = typeof item.id === 'string' ? item.id : undefined
    const place = (block: ReasoningBlock | VendorBlock) =>
      result.placed.push({ order, place: { text: offset ?? 0, calls }, block })
    if (item.type === 'vendor.block') place({ type: 'vendor', origin, raw: item.data })
    else if (item.type === 'reasoning.encrypted' && typeof item.data === 'string') {
      const signature = item.data
      // Gemini has no opaque thoughts: what is encrypted signs a function call (named by id) or a text.
      if (origin !== 'gemini') place(compact({ type: 'reasoning' as const, text: '', redacted: signature, id, origin }))
      else if (id !== undefined) result.callSignatures.set(id, { signature, origin })
      else result.textSignatures.push({ order, offset, signature, origin })
    } else if (item.type === 'reasoning.text' || item.type === 'reasoning.summary') {
      const summary = item.type === 'reasoning.summary' ? true : undefined
      const words = summary ? item.summary : item.text
      const text = typeof words === 'string' ? words : ''
      const signature = typeof item.signature === 'string' && item.signature !== '' ? item.signature : undefined
      if (text !== '') result.hasText = true
      if (text !== '' || signature !== undefined)
        place(compact({ type: 'reasoning' as const, text, signature, id, summary, origin }))
    }
  }
  return result
}

/**
 * `readDetails` of what a client sends back. One that keeps the last delta alone (OpenAI's SDK for JavaScript does) has a list without its
 * head; vendors want all of a turn's
 * thoughts and of the blocks that they ran themselves, or none (a search's result without the search is an error): what is left of them
 * belongs to nobody.
 */
export function readEchoed(list: readonly unknown[]): ReadDetails {
  const details = readDetails(list)
  const head = asObject(list[0])
  if ((typeof head?.index !== 'number' || head.index === 0) && !isTail(head)) return details
  const placed = details.placed.map((item) => ({ ...item, block: { ...item.block, origin: 'a list that is cut' } }))
  return { ...details, placed }
}

/** The end of a thought without its text: OpenRouter sends the signature behind the pieces, under the same index. A hidden thought has an empty text. */
const isTail = (item: Json | undefined): boolean => item?.type === 'reasoning.text' && typeof item.text !== 'string'

/** Clients that collect stream deltas without joining them send the pieces of one item as several with the same index. */
function joinFragments(list: readonly unknown[]): Json[] {
  const joined: Record<string, unknown>[] = []
  for (const entry of list) {
    const item = asObject(entry)
    if (!item) continue
    const last = joined.at(-1)
    const continues =
      last !== undefined &&
      item.index !== undefined &&
      last.index === item.index &&
      last.type === item.type &&
      last.id === item.id
    if (!continues || item.type === 'vendor.block') {
      joined.push({ ...item })
      continue
    }
    for (const [name, value] of Object.entries(item)) {
      const before = last[name]
      const grows = name === 'text' || name === 'summary' || name === 'data' || name === 'signature'
      last[name] = grows && typeof before === 'string' && typeof value === 'string' ? before + value : (before ?? value)
    }
  }
  return joined
}

/**
 * Puts text, tool calls (by their number) and details of one assistant message into the order they were made in: where a detail
 * stood, text and calls are cut. Without places (other gateways give none) thoughts come first, which is where every vendor wants
 * them; where nothing tells otherwise, calls come last.
 */
export function weave(content: string, calls: number, details: ReadDetails): (Block | { call: number })[] {
  const marks = [
    ...details.placed.map(({ order, place, block }) => ({ order, ...place, block, sign: undefined })),
    ...details.textSignatures.map((sign) => ({
      order: sign.order,
      text: sign.offset ?? content.length,
      calls: 0,
      block: undefined,
      sign,
    })),
  ].sort((a, b) => a.text - b.text || a.calls - b.calls || a.order - b.order)
  const items: (Block | { call: number })[] = []
  let at = 0
  let called = 0
  const advance = (text: number, count: number): void => {
    const to = Math.min(content.length, Math.max(at, Math.trunc(text)))
    if (to > at) items.push({ type: 'text', text: content.slice(at, to) })
    at = to
    while (called < Math.min(count, calls)) items.push({ call: called++ })
  }
  for (const { text, calls: count, block, sign } of marks) {
    advance(text, count)
    if (block) items.push(block)
    else {
      const last = items.at(-1)
      const signed = { signature: sign.signature, origin: sign.origin }
      if (last && 'type' in last && last.type === 'text' && last.signature === undefined) Object.assign(last, signed)
      else items.push({ type: 'text', text: '', ...signed })
    }
  }
  advance(content.length, calls)
  return items
}
