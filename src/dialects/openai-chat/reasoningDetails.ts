// `reasoning_details`: how thoughts, signatures and vendor-run blocks travel through an OpenAI client and come back verbatim.
// The list's form is OpenRouter's (openrouter.ai/docs, "Reasoning tokens"), because clients that echo it exist. Ours on top:
// `text_offset`, the place in `content` (UTF-16 units) before which the item stood, and items of type `vendor.block`.
import type { Block, ReasoningBlock, TextBlock, ToolCallBlock, VendorBlock } from '../chat.ts'
import { asObject, compact, type Json } from '../field.ts'

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
}

const formatOf: Readonly<Record<string, string>> = {
  'anthropic-messages': 'anthropic-claude-v1',
  gemini: 'google-gemini-v1',
  'openai-responses': 'openai-responses-v1',
}
const originOf: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(formatOf).map(([origin, format]) => [format, origin]),
)

/** Hub to wire: one block as an item of the list. `offset` is 0 when it stands before all text and is then left out. */
export function writeDetail(
  block: ReasoningBlock | VendorBlock | { signatureOf: TextBlock | ToolCallBlock },
  index: number,
  offset: number,
): ReasoningDetail {
  const place = offset > 0 ? { text_offset: offset } : {}
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

const writeFormat = (origin: string | undefined): string => formatOf[origin ?? ''] ?? origin ?? 'unknown'

/** What a list of details says: blocks with their places, and signatures that belong to text and to tool calls. */
export interface ReadDetails {
  placed: { offset: number; block: ReasoningBlock | VendorBlock }[]
  textSignatures: { offset: number | undefined; signature: string; origin: string }[]
  callSignatures: Map<string, { signature: string; origin: string }>
  /** Whether thought text is in it: `reasoning_content` then says the same once more. */
  hasText: boolean
}

/** Wire to hub. Items that no one can read are passed over: they are an echo of what some server said, not the user's words. */
export function readDetails(list: readonly unknown[]): ReadDetails {
  const result: ReadDetails = { placed: [], textSignatures: [], callSignatures: new Map(), hasText: false }
  for (const item of joinFragments(list)) {
    const format = typeof item.format === 'string' ? item.format : 'unknown'
    const origin = originOf[format] ?? format
    const offset = typeof item.text_offset === 'number' ? item.text_offset : undefined
    const id = typeof item.id === 'string' ? item.id : undefined
    const place = (block: ReasoningBlock | VendorBlock) => result.placed.push({ offset: offset ?? 0, block })
    if (item.type === 'vendor.block') place({ type: 'vendor', origin, raw: item.data })
    else if (item.type === 'reasoning.encrypted' && typeof item.data === 'string') {
      const signature = item.data
      // Gemini has no opaque thoughts: what is encrypted signs a function call (named by id) or a text.
      if (origin !== 'gemini') place(compact({ type: 'reasoning' as const, text: '', redacted: signature, id, origin }))
      else if (id !== undefined) result.callSignatures.set(id, { signature, origin })
      else result.textSignatures.push({ offset, signature, origin })
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
 * Puts text and details of one assistant message into the order they were made in: the text is cut where a detail stood.
 * Without places (other gateways give none) thoughts come first, which is where every vendor wants them.
 */
export function weave(content: string, details: ReadDetails): Block[] {
  const marks = [
    ...details.placed.map(({ offset, block }) => ({ offset: clamp(offset, content.length), block, sign: undefined })),
    ...details.textSignatures.map((sign) => ({
      offset: clamp(sign.offset ?? content.length, content.length),
      block: undefined,
      sign,
    })),
  ].sort((a, b) => a.offset - b.offset)
  const blocks: Block[] = []
  let at = 0
  for (const { offset, block, sign } of marks) {
    if (offset > at) blocks.push({ type: 'text', text: content.slice(at, offset) })
    at = offset
    if (block) {
      blocks.push(block)
      continue
    }
    const last = blocks.at(-1)
    const signed = { signature: sign.signature, origin: sign.origin }
    if (last?.type === 'text' && last.signature === undefined) Object.assign(last, signed)
    else blocks.push({ type: 'text', text: '', ...signed })
  }
  if (at < content.length) blocks.push({ type: 'text', text: content.slice(at) })
  return blocks
}

const clamp = (offset: number, max: number): number => Math.max(0, Math.min(max, Math.trunc(offset)))
