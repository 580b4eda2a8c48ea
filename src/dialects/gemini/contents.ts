// Hub messages to Gemini's system instruction and contents, with a report of what they cannot hold.
import type { Block, Chat, MediaBlock, Message, ReasoningBlock, ToolCallBlock, ToolResultBlock } from '../chat.ts'
import type { HubAids } from '../dialect.ts'
import { Refusal } from '../errors.ts'
import { asObject } from '../field.ts'
import type { Losses } from '../loss.ts'
import { inputOf } from '../toolInput.ts'
import { type Family, lostSignature } from './families.ts'
import { encodeMedia } from './media.ts'
import { writeName } from './names.ts'
import { type Content, origin, type Part } from './type.ts'

export interface Contents {
  system: Part[]
  contents: Content[]
}

/**
 * Hub to wire. Adjacent messages of one side become one content; the answers of a step's calls stand together and in the calls' order.
 * @throws Refusal for content that the API has no form for, for tool arguments that are not a JSON object, and for answers to no call
 */
export function encodeContents(chat: Chat, family: Family, aids: HubAids | undefined, losses: Losses): Contents {
  return new ContentWriter(family, aids, losses).write(chat)
}

const foreign = 'another vendor made it'

class ContentWriter {
  readonly #family: Family
  readonly #aids: HubAids | undefined
  readonly #losses: Losses
  /** Calls by id: answers must carry the function's name. */
  readonly #calls = new Map<string, { name: string; order: number }>()
  /** The place of each answer's call in the conversation. */
  readonly #orders = new Map<Part, number>()
  readonly #system: Part[] = []
  readonly #contents: Content[] = []

  constructor(family: Family, aids: HubAids | undefined, losses: Losses) {
    this.#family = family
    this.#aids = aids
    this.#losses = losses
  }

  write({ messages, systemPrefix }: Chat): Contents {
    if (systemPrefix !== undefined) {
      if (this.#family.system) this.#system.push({ text: systemPrefix })
      else this.#append('user', [{ text: systemPrefix }])
    }
    messages.forEach((message, at) => {
      if (message.name !== undefined) this.#losses.add('messages.name', 'dropped')
      this.#losses.addAll(message.extra, 'messages.')
      if (message.role === 'system' || message.role === 'developer') this.#instruct(message, at)
      else this.#say(message, at)
    })
    for (const content of this.#contents) if (content.role === 'user') this.#answersFirst(content)
    this.#settleStart()
    return { system: this.#system, contents: this.#contents }
  }

  /** Models that give no call ids match answers to calls by their order. */
  #answersFirst(content: Content): void {
    const answers = content.parts.filter((part) => this.#orders.has(part))
    answers.sort((a, b) => this.#orders.get(a)! - this.#orders.get(b)!)
    content.parts = [...answers, ...content.parts.filter((part) => !this.#orders.has(part))]
  }

  #instruct(message: Message, at: number): void {
    if (this.#contents.length > 0)
      this.#losses.add('messages.role', 'approximated', 'a later system message moved to the top')
    const parts = this.#parts(message, at)
    if (this.#family.system) for (const part of parts) this.#system.push(part)
    else {
      this.#losses.add('messages.role', 'approximated', 'this model takes no system message: sent as the user’s')
      this.#append('user', parts)
    }
  }

  #say(message: Message, at: number): void {
    const parts = this.#parts(message, at)
    if (parts.length === 0 && message.role === 'user')
      this.#losses.add('messages.content', 'dropped', 'an empty message')
    this.#append(message.role === 'assistant' ? 'model' : 'user', parts)
  }

  #append(role: Content['role'], parts: Part[]): void {
    if (parts.length === 0) return
    const last = this.#contents.at(-1)
    // Not as arguments, of which a call takes a hundred thousand.
    if (last?.role === role) for (const part of parts) last.parts.push(part)
    else this.#contents.push({ role, parts })
  }

  /** The API refuses a request without contents, and one that the model opens. */
  #settleStart(): void {
    if (this.#contents.length === 0) {
      const only = this.#system.pop()
      if (!only)
        throw new Refusal('invalid_value', "Invalid 'messages': expected at least one that says something.", 'messages')
      this.#losses.add(
        'messages.role',
        'approximated',
        'the system message was sent as the user’s, as there is no other',
      )
      this.#contents.push({ role: 'user', parts: [only] })
    }
    if (this.#contents[0]?.role !== 'model') return
    this.#losses.add('messages.role', 'approximated', 'an empty user turn was put before the first')
    this.#contents.unshift({ role: 'user', parts: [{ text: '.' }] })
  }

  #parts(message: Message, at: number): Part[] {
    let calls = 0
    let signed = false
    return message.blocks.flatMap((block, index): Part[] => {
      const path = `messages[${at}].content[${index}]`
      if ('cache' in block && block.cache) this.#losses.add('cache_control', 'unsupported', 'Gemini caches by itself')
      switch (block.type) {
        case 'text':
          if (block.signature !== undefined && block.origin !== origin) {
            this.#losses.add('messages.reasoning', 'dropped', foreign)
          }
          return encodeText(block)
        case 'refusal':
          this.#losses.add('messages.refusal', 'approximated', 'sent as text')
          return block.text === '' ? [] : [{ text: block.text }]
        case 'media':
          return [encodeMedia(block, path, this.#losses)]
        case 'reasoning':
          return this.#thought(block)
        case 'vendor':
          return this.#vendorPart(block)
        case 'tool-call': {
          const part = this.#call(block, `messages[${at}].tool_calls[${calls++}]`, !signed)
          signed ||= part.thoughtSignature !== undefined
          return [part]
        }
        case 'tool-result':
          return this.#answer(block, at, path)
      }
      return []
    })
  }

  #thought(block: ReasoningBlock): Part[] {
    if (block.origin !== origin || block.redacted !== undefined) {
      this.#losses.add('messages.reasoning', 'dropped', foreign)
      return []
    }
    const signature = block.signature === undefined ? {} : { thoughtSignature: block.signature }
    return block.text === '' && !block.signature ? [] : [{ text: block.text, thought: true, ...signature }]
  }

  #vendorPart(block: Block & { type: 'vendor' }): Part[] {
    const raw = asObject(block.raw)
    if (block.origin === origin && raw) return [{ ...raw }]
    this.#losses.add('messages.vendor_blocks', 'dropped', `made by ${block.origin}`)
    return []
  }

  /**
   * A function call with its signature: from the message, else from the store, else (where the model insists, and only on the first
   * call of a step, as the model itself does) the documented stand-in.
   */
  #call(block: ToolCallBlock, path: string, first: boolean): Part {
    const args = block.custom ? { input: block.input } : inputOf(block.input, `${path}.function.arguments`)
    this.#calls.set(block.id, { name: block.name, order: this.#calls.size })
    const id = this.#family.callIds ? { id: block.id } : {}
    const own = block.origin === origin ? block.signature : undefined
    const kept = own ?? this.#aids?.signatures?.get(block.id)
    const insists = first && this.#family.signs
    if (kept === undefined && insists)
      this.#losses.add('messages.reasoning', 'approximated', 'a lost thought signature')
    else if (block.signature !== undefined && block.origin !== origin) {
      this.#losses.add('messages.reasoning', 'dropped', foreign)
    }
    const signature = kept ?? (insists ? lostSignature : undefined)
    return {
      functionCall: { name: writeName(block.name), args, ...id },
      ...(signature === undefined ? {} : { thoughtSignature: signature }),
    }
  }

  #answer(block: ToolResultBlock, at: number, path: string): Part[] {
    const name = block.name ?? this.#calls.get(block.id)?.name
    if (name === undefined) {
      const param = `messages[${at}].tool_call_id`
      throw new Refusal('invalid_value', `Invalid '${param}': no earlier message calls a tool with this id.`, param)
    }
    const text = block.blocks.map((inner) => (inner.type === 'text' ? inner.text : '')).join('')
    const media = block.blocks.filter((inner): inner is MediaBlock => inner.type === 'media')
    if (block.blocks.some((inner) => inner.type === 'text' && inner.cache)) {
      this.#losses.add('cache_control', 'unsupported', 'Gemini caches by itself')
    }
    const id = this.#family.callIds ? { id: block.id } : {}
    // A result is data, also when it looks like a schema: it goes in as the text that it is.
    const response = block.failed ? { error: text } : { output: text }
    const order = this.#calls.get(block.id)?.order ?? Number.MAX_SAFE_INTEGER
    const part: Part = { functionResponse: { name: writeName(name), response, ...id } }
    this.#orders.set(part, order)
    return [part, ...media.map((inner, index) => encodeMedia(inner, `${path}.content[${index}]`, this.#losses))]
  }
}

function encodeText(block: Block & { type: 'text' }): Part[] {
  const signature =
    block.origin === origin && block.signature !== undefined ? { thoughtSignature: block.signature } : {}
  return block.text === '' && !('thoughtSignature' in signature) ? [] : [{ text: block.text, ...signature }]
}
