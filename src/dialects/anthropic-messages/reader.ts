// Reads Anthropic replies and stream events into hub events: a whole message is its stream, arrived at once.
import type { Annotation, ChatEvent, FinishReason } from '../chat.ts'
import { Choices, type ChoiceWriter } from '../choice.ts'
import { UpstreamFault } from '../errors.ts'
import { parseJson, writeJson } from '../exactJson.ts'
import { asObject, type Json, ownEntry } from '../field.ts'
import { decodeInBand } from './error.ts'
import { jsonToolName, origin } from './type.ts'
import { mergeRawUsage, readBilled, readTariff, readUsage } from './usage.ts'

/** A block that is being read. `raw` is what opened it; vendor-run blocks grow in it until they are whole. */
interface OpenBlock {
  /** `spare`: an answer after the first, for two of them would be no JSON. */
  kind: 'text' | 'thinking' | 'call' | 'answer' | 'spare' | 'other'
  raw: Record<string, unknown>
  input: string
  signature: string
  citations: Json[]
  /** Code points of the choice's text before this block. */
  at: number
}

/** The state of one reply. After a fault or the end it gives nothing more. */
export class MessageReader {
  readonly #choices = new Choices()
  readonly #writer: ChoiceWriter = this.#choices.at(0)
  readonly #blocks = new Map<number, OpenBlock>()
  #id: unknown
  #started = false
  #begun = false
  #answered = false
  #usage: unknown
  #inner = 0
  #stopped = false
  #over = false
  /** Code points of text so far: citations are placed by them. */
  #points = 0

  /** One stream event. */
  take(event: Json): ChatEvent[] {
    if (this.#over) return []
    switch (event.type) {
      case 'message_start':
        return this.#startAgain(asObject(event.message)) ?? this.#choices.drain()
      case 'content_block_start':
        this.#startBlock(Number(event.index), asObject(event.content_block) ?? {})
        break
      case 'content_block_delta':
        this.#grow(Number(event.index), asObject(event.delta) ?? {})
        break
      case 'content_block_stop':
        this.#endBlock(Number(event.index))
        break
      case 'message_delta':
        this.#learnUsage(event.usage)
        this.#stop(asObject(event.delta) ?? {})
        break
      case 'message_stop':
        return this.complete()
      case 'error':
        return this.fail(decodeInBand(event))
      default:
        // Pings, and events that do not exist yet: Anthropic's versioning says that unknown ones are to be passed over.
        break
    }
    return this.#choices.drain()
  }

  /** A whole message. */
  takeAll(message: Json): ChatEvent[] {
    if (message.type === 'error' || (message.error && !message.content)) return this.fail(decodeInBand(message))
    if (!Array.isArray(message.content)) {
      return this.fail(new UpstreamFault('garbage', 'The upstream answered 200 with a body that is no message.'))
    }
    this.#start(message)
    for (const block of objectsIn(message.content)) this.#whole(block)
    this.#stop(message)
    return this.complete()
  }

  /** Whether the vendor has said why it stopped. */
  get finished(): boolean {
    return this.#stopped
  }

  complete(): ChatEvent[] {
    if (this.#over) return []
    for (const index of this.#blocks.keys()) this.#endBlock(index)
    if (!this.#stopped) this.#writer.finish('stop')
    if (!this.#writer.filled && !readUsage(this.#usage)) {
      return this.fail(new UpstreamFault('empty', 'The upstream said "end_turn" without any content or usage.'))
    }
    this.#choices.push({ type: 'end' })
    this.#over = true
    return this.#choices.drain()
  }

  /** Gives what was read before, then the fault as the last event. */
  fail(fault: UpstreamFault): ChatEvent[] {
    if (this.#over) return []
    this.#over = true
    return [...this.#choices.drain(), { type: 'fault', fault }]
  }

  /** Some proxies repeat the first event, which does no harm. Another message in the middle of this one would. */
  #startAgain(message: Json | undefined): ChatEvent[] | undefined {
    if (!message) return undefined
    if (!this.#started) {
      this.#start(message)
      // Programmatic tool calls come whole, in the first event, and nothing but `message_stop` follows.
      for (const block of objectsIn(message.content)) this.#whole(block)
      this.#stop(message)
      return undefined
    }
    if (message.id === this.#id && !this.#begun) return undefined
    return this.fail(new UpstreamFault('garbage', 'The upstream began another message inside this one.'))
  }

  #start(message: Json): void {
    this.#started = true
    this.#id = message.id
    const tier = asObject(message.usage)?.service_tier
    this.#choices.push({
      type: 'start',
      ...(typeof message.id === 'string' && message.id !== '' ? { id: message.id } : {}),
      ...(typeof message.model === 'string' && message.model !== '' ? { model: message.model } : {}),
      ...(typeof tier === 'string' ? { serviceTier: tier } : {}),
    })
    this.#learnUsage(message.usage)
  }

  #learnUsage(raw: unknown): void {
    if (!asObject(raw)) return
    this.#usage = mergeRawUsage(this.#usage, raw)
    const usage = readUsage(this.#usage)
    const billed = readBilled(this.#usage)
    const tariff = readTariff(this.#usage)
    if (usage) this.#choices.push({ type: 'usage', usage, ...(billed && { billed }), ...(tariff && { tariff }) })
  }

  /** A block that is complete at once, under a number that no stream event uses. */
  #whole(block: Json): void {
    this.#startBlock(--this.#inner, block)
    this.#endBlock(this.#inner)
  }

  #startBlock(index: number, raw: Json): void {
    this.#begun = true
    const kind = kindOf(raw)
    const block: OpenBlock = {
      kind: kind === 'answer' && this.#answered ? 'spare' : kind,
      raw: { ...raw },
      input: '',
      signature: '',
      citations: [],
      at: this.#points,
    }
    this.#blocks.set(index, block)
    switch (block.kind) {
      case 'answer':
        this.#answered = true
        break
      case 'text':
        this.#say(typeof raw.text === 'string' ? raw.text : '')
        block.citations.push(...objectsIn(raw.citations))
        break
      case 'thinking':
        this.#writer.begin({ type: 'reasoning', origin }, index)
        if (typeof raw.thinking === 'string') this.#writer.write({ type: 'reasoning', origin }, raw.thinking, index)
        if (typeof raw.signature === 'string') block.signature = raw.signature
        break
      case 'call':
        this.#writer.beginCall(String(index), {
          type: 'tool-call',
          id: String(raw.id ?? ''),
          name: String(raw.name ?? ''),
        })
        break
      default:
        break
    }
  }

  #grow(index: number, delta: Json): void {
    const block = this.#blocks.get(index)
    if (!block) return
    const { kind } = block
    if (delta.type === 'text_delta' && typeof delta.text === 'string') this.#say(delta.text)
    else if (delta.type === 'thinking_delta' && typeof delta.thinking === 'string') {
      this.#writer.write({ type: 'reasoning', origin }, delta.thinking, index)
    } else if (delta.type === 'signature_delta' && typeof delta.signature === 'string')
      block.signature += delta.signature
    else if (delta.type === 'citations_delta') block.citations.push(...objectsIn([delta.citation]))
    else if (delta.type === 'input_json_delta' && typeof delta.partial_json === 'string') {
      block.input += delta.partial_json
      if (kind === 'call') this.#writer.addInput(String(index), delta.partial_json)
      if (kind === 'answer') this.#say(delta.partial_json)
    } else if (kind === 'other') growRaw(block.raw, delta)
  }

  #endBlock(index: number): void {
    const block = this.#blocks.get(index)
    if (!block) return
    this.#blocks.delete(index)
    const { raw, input } = block
    const given = asObject(raw.input)
    // A whole message has the input in the block; a stream opens with an empty one and sends text.
    const whole = input === '' && given && Object.keys(given).length > 0 ? writeJson(given) : ''
    switch (block.kind) {
      case 'text':
        this.#writer.close()
        this.#writer.annotate(block.citations.map((citation) => annotationOf(citation, block.at, this.#points)))
        break
      case 'thinking':
        this.#writer.close(block.signature === '' ? undefined : block.signature)
        break
      case 'call':
        this.#writer.addInput(String(index), whole)
        this.#writer.endCall(String(index))
        break
      case 'answer':
        this.#say(input === '' ? whole || '{}' : '')
        this.#writer.close()
        break
      case 'other':
        this.#endOther(raw, input)
        break
    }
  }

  #endOther(raw: Record<string, unknown>, input: string): void {
    if (raw.type === 'redacted_thinking') {
      this.#writer.whole({ type: 'reasoning', redacted: String(raw.data ?? ''), origin })
      return
    }
    const complete = input === '' ? raw : { ...raw, input: parsed(input) }
    this.#writer.whole({ type: 'vendor', origin, raw: complete })
  }

  #say(text: string): void {
    this.#points += codePoints(text)
    this.#writer.write({ type: 'text' }, text)
  }

  #stop(delta: Json): void {
    const raw = delta.stop_reason
    if (typeof raw !== 'string' || this.#stopped) return
    this.#stopped = true
    for (const index of this.#blocks.keys()) this.#endBlock(index)
    const refused = asObject(delta.stop_details)?.explanation
    if (typeof refused === 'string') this.#writer.write({ type: 'refusal' }, refused)
    const sequence = typeof delta.stop_sequence === 'string' ? delta.stop_sequence : undefined
    this.#writer.finish(finishOf(raw), raw, sequence)
  }
}

const finishes: Readonly<Record<string, FinishReason>> = {
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  refusal: 'content_filter',
}

/** `tool_use` needs no entry: the writer knows whether a tool was called, and the answer tool is none. */
const finishOf = (raw: string): FinishReason => ownEntry(finishes, raw) ?? 'stop'

function kindOf(raw: Json): OpenBlock['kind'] {
  if (raw.type === 'text' || raw.type === 'thinking') return raw.type
  if (raw.type !== 'tool_use') return 'other'
  return raw.name === jsonToolName ? 'answer' : 'call'
}

/** Deltas of blocks that nobody here knows: their text fields grow, their other fields replace. */
function growRaw(raw: Record<string, unknown>, delta: Json): void {
  for (const [name, value] of Object.entries(delta)) {
    if (name === 'type') continue
    const before = raw[name]
    raw[name] = typeof before === 'string' && typeof value === 'string' ? before + value : value
  }
}

/** Anthropic cites for a whole text block; the address is `url` for web pages and `source` for the caller's search results. */
function annotationOf(citation: Json, start: number, end: number): Annotation {
  const url = [citation.url, citation.source].find((value) => typeof value === 'string' && value !== '')
  const title = [citation.title, citation.document_title].find((value) => typeof value === 'string')
  const quote = citation.cited_text
  return {
    ...(url === undefined ? {} : { url: String(url) }),
    ...(title === undefined ? {} : { title: String(title) }),
    ...(typeof quote === 'string' ? { quote } : {}),
    start,
    end,
    raw: citation,
  }
}

const objectsIn = (list: unknown): Json[] =>
  Array.isArray(list) ? list.map(asObject).filter((item) => item !== undefined) : []

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return text
  }
}

/** Length of a text in code points: a pair of surrogates is one. */
function codePoints(text: string): number {
  let count = text.length
  for (let at = 0; at < text.length; at++) if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) count--
  return count
}
