// The operator's system text before a client's messages: in the client's bytes, and in messages made by the hub.
import type { Inspected } from '../dialect.ts'
import { type Splice, scanElements, scanFields } from '../splice.ts'

/** Between the operator's text and the client's own, where both are one text. */
const BREAK = '\n\n'

const QUOTE = 0x22
const OPEN_BRACKET = 0x5b

type Wire = Record<string, unknown>

/**
 * The edit that puts the text before the messages. It becomes the head of a system message that the client begins with: chat templates
 * of many open models take one such message alone (Qwen's, Mistral's: "System message must be at the beginning"), and OpenAI's reasoning
 * models want no system message beside a developer message.
 */
export function prefixMessages({ raw, fields, wire }: Inspected, text: string): Splice | undefined {
  const field = fields.byName.get('messages')
  const elements = field ? scanElements(raw, field.valueStart) : []
  const head = elements[0]
  if (!head) return undefined
  const own = isSystem((wire as { messages: Wire[] }).messages[0]) ? contentAt(raw, head.start) : -1
  if (raw[own] === QUOTE) return insert(own + 1, JSON.stringify(text + BREAK).slice(1, -1))
  const part = JSON.stringify({ type: 'text', text })
  if (raw[own] === OPEN_BRACKET) return insert(own + 1, scanElements(raw, own).length > 0 ? `${part},` : part)
  return insert(head.start, `${JSON.stringify({ role: 'system', content: text })},`)
}

/** The same of messages that the hub has made. They are ours to change. */
export function prefixEncoded(messages: Wire[], text: string | undefined): Wire[] {
  if (text === undefined) return messages
  const [first] = messages
  const content = isSystem(first) ? first.content : undefined
  if (typeof content === 'string') return [{ ...first, content: text + BREAK + content }, ...messages.slice(1)]
  if (Array.isArray(content)) return [{ ...first, content: [{ type: 'text', text }, ...content] }, ...messages.slice(1)]
  return [{ role: 'system', content: text }, ...messages]
}

const isSystem = (message: Wire | undefined): message is Wire =>
  message?.role === 'system' || message?.role === 'developer'

/** Where the content of the message at `start` begins; -1 without any. */
const contentAt = (raw: Buffer, start: number): number => scanFields(raw, start).byName.get('content')?.valueStart ?? -1

const insert = (at: number, json: string): Splice => ({ start: at, end: at, bytes: Buffer.from(json) })
