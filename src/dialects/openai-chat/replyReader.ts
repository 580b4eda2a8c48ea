// Reads OpenAI chat replies and stream chunks into events: a whole reply is one chunk whose deltas are its messages.
import type { BlockStart, ChatEvent } from '../chat.ts'
import { Choices, type ChoiceWriter } from '../choice.ts'
import type { HubAids } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { numberOf, writeJson } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'
import { sourceOf } from './decodeMessages.ts'
import { faultOfFinish, inBandFaultOf, tellsError } from './fault.ts'
import { finishOf } from './finish.ts'
import { readDetails, weave } from './reasoningDetails.ts'
import { choicesOf, UsageReader } from './reply.ts'
import { CallKeys, readAnnotations, readLogprobs, readPart, textOf, writeThought } from './replyParts.ts'

/** The state of one reply. After `failed` or `ended` it gives nothing more. */
export class ReplyReader {
  #choices = new Choices()
  readonly #calls = new Map<number, CallKeys>()
  readonly #spoken = new Map<number, Spoken>()
  /** Thought text of the open block that came without details, by choice. */
  readonly #plain = new Map<number, string>()
  /** Signatures of tool calls, by call id. */
  readonly #signatures = new Map<string, { signature: string; origin: string }>()
  readonly #aids: HubAids
  #id: string | undefined
  #started = false
  readonly #told = new UsageReader()
  #used = false
  #over = false
  #failure: UpstreamFault | undefined

  constructor(aids: HubAids = {}) {
    this.#aids = aids
  }

  /** One reply or chunk. Errors inside it become a `fault` event. */
  take(wire: Json): ChatEvent[] {
    if (this.#over) return []
    if (tellsError(wire)) return this.fail(inBandFaultOf(wire, Buffer.from(JSON.stringify(wire))))
    this.#start(wire)
    choicesOf(wire).forEach((choice, position) => {
      this.#choice(choice, typeof choice.index === 'number' ? choice.index : position)
    })
    const usage = this.#told.read(wire)
    if (usage) {
      this.#used = true
      this.#choices.push({ type: 'usage', usage })
    }
    return this.#failure ? this.fail(this.#failure) : this.#choices.drain()
  }

  /** Whether every choice that was spoken of is finished. */
  get finished(): boolean {
    return this.#choices.all.length > 0 && this.#choices.all.every((writer) => writer.finished)
  }

  /** The reply is complete: closes what is open. An empty one without usage, or without any choice, is a failure dressed as success. */
  complete(): ChatEvent[] {
    if (this.#over) return []
    for (const [index, spoken] of this.#spoken) this.#speak(index, spoken)
    for (const writer of this.#choices.all) writer.finish('stop')
    const { all } = this.#choices
    if (all.length === 0) return this.fail(new UpstreamFault('empty', 'The upstream answered without any choice.'))
    if (!all.some((writer) => writer.filled) && !this.#used) {
      return this.fail(new UpstreamFault('empty', 'The upstream said "stop" without any content or usage.'))
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

  #start(wire: Json): void {
    if (this.#started) return
    // Azure's first chunk holds only filter results: no id and no model.
    const id = textOf(wire.id)
    const model = textOf(wire.model)
    if (id === undefined && model === undefined) return
    this.#started = true
    this.#id = id
    const at = numberOf(wire.created)
    const created = at !== undefined && at > 0 ? Math.trunc(at) : undefined
    const serviceTier = textOf(wire.service_tier)
    const fingerprint = textOf(wire.system_fingerprint)
    this.#choices.push({
      type: 'start',
      ...(id === undefined ? {} : { id }),
      ...(model === undefined ? {} : { model }),
      ...(created === undefined ? {} : { created }),
      ...(serviceTier === undefined ? {} : { serviceTier }),
      ...(fingerprint === undefined ? {} : { fingerprint }),
    })
  }

  #choice(choice: Json, index: number): void {
    const writer = this.#choices.at(index)
    const delta = asObject(choice.delta)
    const message = asObject(choice.message)
    if (delta) this.#delta(delta, index, writer)
    else if (message) this.#message(message, index, writer)
    // Completions-style servers put the answer in `text`.
    else if (typeof choice.text === 'string') writer.write({ type: 'text' }, choice.text)
    const logprobs = asObject(choice.logprobs)
    if (logprobs) {
      writer.logprobs('content', readLogprobs(logprobs.content))
      writer.logprobs('refusal', readLogprobs(logprobs.refusal))
    }
    const raw = textOf(choice.finish_reason)
    if (raw === undefined) return
    this.#failure ??= faultOfFinish(choice)
    if (this.#failure) return
    const spoken = this.#spoken.get(index)
    if (spoken) this.#speak(index, spoken)
    writer.finish(finishOf(raw), textOf(choice.native_finish_reason) ?? raw, textOf(choice.stop_reason))
  }

  #delta(delta: Json, index: number, writer: ChoiceWriter): void {
    this.#reasoning(delta, index, writer)
    if (Array.isArray(delta.content)) for (const part of delta.content) readPart(asObject(part), writer)
    else if (typeof delta.content === 'string') writer.write({ type: 'text' }, delta.content)
    if (typeof delta.refusal === 'string') writer.write({ type: 'refusal' }, delta.refusal)
    const audio = asObject(delta.audio)
    if (audio) this.#hear(index, audio)
    for (const item of Array.isArray(delta.images) ? delta.images : []) {
      const url = textOf(asObject(asObject(item)?.image_url)?.url)
      if (url !== undefined) writer.whole({ type: 'media', kind: 'image', source: sourceOf(url, 'images') })
    }
    writer.annotate(readAnnotations(delta.annotations))
    // Ours: citations without an address, which OpenAI has no form for.
    if (Array.isArray(delta.citations) && asObject(delta.citations[0]))
      writer.annotate(delta.citations.map((raw: unknown) => ({ raw })))
    const calls = this.#calls.get(index) ?? new CallKeys()
    this.#calls.set(index, calls)
    for (const item of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) {
      const call = asObject(item)
      if (call) this.#toolCall(call, calls, writer)
    }
    const old = asObject(delta.function_call)
    if (old) this.#toolCall({ index: 0, function: old }, calls, writer)
  }

  /** A whole message: what its details say of places in the text is kept. */
  #message(message: Json, index: number, writer: ChoiceWriter): void {
    const list = Array.isArray(message.reasoning_details) ? message.reasoning_details : []
    if (list.length === 0 || (typeof message.content !== 'string' && message.content !== null)) {
      this.#delta(message, index, writer)
      return
    }
    const details = readDetails(list)
    const plain = textOf(message.reasoning_content) ?? textOf(message.reasoning)
    if (plain !== undefined && !details.hasText) writer.write({ type: 'reasoning' }, plain)
    for (const [id, signed] of details.callSignatures) this.#signatures.set(id, signed)
    const { reasoning_details: _, reasoning_content: __, reasoning: ___, content, tool_calls, ...rest } = message
    const calls = Array.isArray(tool_calls) ? tool_calls : []
    for (const item of weave(typeof content === 'string' ? content : '', calls.length, details)) {
      if ('call' in item) {
        this.#delta({ tool_calls: [{ index: item.call, ...asObject(calls[item.call]) }] }, index, writer)
      } else if (item.type === 'reasoning' || item.type === 'vendor') writeThought(item, writer)
      else if (item.type === 'text') {
        writer.begin({ type: 'text' })
        writer.write({ type: 'text' }, item.text)
        if (item.signature !== undefined) writer.close(item.signature, item.origin)
      }
    }
    this.#delta(rest, index, writer)
  }

  /**
   * OpenRouter says the same twice, as `reasoning` and in `reasoning_details`: the list has the signatures and wins. We ourselves send
   * the text as it comes and the item when it is whole: then it only tells the signature of the text before.
   */
  #reasoning(delta: Json, index: number, writer: ChoiceWriter): void {
    const list = Array.isArray(delta.reasoning_details) ? delta.reasoning_details : []
    const text = textOf(delta.reasoning_content) ?? textOf(delta.reasoning)
    if (list.length === 0) {
      if (text === undefined) return
      writer.write({ type: 'reasoning' }, text, 'plain')
      this.#plain.set(index, (writer.isOpen('reasoning') ? (this.#plain.get(index) ?? '') : '') + text)
      return
    }
    for (const item of list) {
      const { placed, callSignatures, textSignatures } = readDetails([item])
      for (const [id, { signature, origin }] of callSignatures) {
        if (this.#signatures.get(id)?.signature === signature) continue
        writer.whole({ type: 'reasoning', redacted: signature, origin, id })
      }
      for (const { signature, origin } of textSignatures) {
        if (writer.isOpen('text')) writer.close(signature, origin)
        else writer.whole({ type: 'reasoning', redacted: signature, origin })
      }
      for (const { block } of placed) {
        const said = this.#plain.get(index)
        if (block.type === 'reasoning' && said !== undefined && block.text === said && writer.isOpen('reasoning')) {
          writer.close(block.signature, block.origin)
        } else writeThought(block, writer, asObject(item)?.index)
        this.#plain.delete(index)
      }
    }
  }

  #toolCall(call: Json, calls: CallKeys, writer: ChoiceWriter): void {
    // Its type stands in the first piece alone.
    const custom = asObject(call.custom)
    const fn = custom ?? asObject(call.function)
    const name = textOf(fn?.name)
    const id = textOf(call.id)
    const { key, fresh } = calls.find(typeof call.index === 'number' ? call.index : undefined, id, name)
    if (fresh) {
      const google = asObject(asObject(call.extra_content)?.google)
      const own = textOf(google?.thought_signature)
      const signed = own === undefined ? this.#signatures.get(id ?? '') : { signature: own, origin: 'gemini' }
      if (signed && id !== undefined) this.#signatures.set(id, signed)
      const block: BlockStart & { type: 'tool-call' } = {
        type: 'tool-call',
        id: id ?? `call_${this.#id ?? this.#aids.replyId ?? 'reply'}_${calls.count}`,
        name: name ?? '',
      }
      if (custom) block.custom = true
      if (signed) Object.assign(block, signed)
      writer.beginCall(key, block)
    }
    const input = custom ? custom.input : fn?.arguments
    // Some servers send the arguments as an object instead of text.
    const text = typeof input === 'string' ? input : asObject(input) ? writeJson(input) : undefined
    if (text !== undefined) writer.addInput(key, text)
  }

  /** Audio comes in pieces that make no block alone: it is one block when the choice ends. */
  #hear(index: number, audio: Json): void {
    const spoken = this.#spoken.get(index) ?? { id: undefined, data: '', transcript: '', expires: undefined }
    this.#spoken.set(index, spoken)
    spoken.id ??= textOf(audio.id)
    spoken.data += textOf(audio.data) ?? ''
    spoken.transcript += textOf(audio.transcript) ?? ''
    spoken.expires = numberOf(audio.expires_at) ?? spoken.expires
  }

  #speak(index: number, { id, data, transcript, expires }: Spoken): void {
    this.#spoken.delete(index)
    this.#choices.at(index).whole({
      type: 'media',
      kind: 'audio',
      source: { base64: data, mime: 'audio/*' },
      transcript,
      ...(id === undefined ? {} : { id }),
      ...(expires === undefined ? {} : { expires }),
    })
  }
}

interface Spoken {
  id: string | undefined
  data: string
  transcript: string
  expires: number | undefined
}
