// Reads OpenAI chat replies and stream chunks into events: a whole reply is one chunk whose deltas are its messages.
import type { Annotation, BlockStart, ChatEvent, TokenLogprob } from '../chat.ts'
import { Choices, type ChoiceWriter } from '../choice.ts'
import type { HubAids } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { asObject, type Json } from '../field.ts'
import { sourceOf } from './decodeMessages.ts'
import { inBandFaultOf } from './fault.ts'
import { finishOf } from './finish.ts'
import { readDetails } from './reasoningDetails.ts'
import { choicesOf } from './reply.ts'
import { readUsage } from './usage.ts'

/** The state of one reply. After `failed` or `ended` it gives nothing more. */
export class ReplyReader {
  #choices = new Choices()
  readonly #calls = new Map<number, CallKeys>()
  readonly #spoken = new Map<number, Spoken>()
  readonly #aids: HubAids
  #id: string | undefined
  #started = false
  #used = false
  #over = false
  #failure: UpstreamFault | undefined

  constructor(aids: HubAids = {}) {
    this.#aids = aids
  }

  /** One reply or chunk. Errors inside it become a `fault` event. */
  take(wire: Json): ChatEvent[] {
    if (this.#over) return []
    if (wire.error) return this.fail(inBandFaultOf(wire, Buffer.from(JSON.stringify(wire))))
    this.#start(wire)
    choicesOf(wire).forEach((choice, position) => {
      this.#choice(choice, typeof choice.index === 'number' ? choice.index : position)
    })
    const usage = readUsage(wire.usage ?? asObject(wire.x_groq)?.usage)
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

  /** The reply is complete: closes what is open. An empty one without usage is a failure dressed as success. */
  complete(): ChatEvent[] {
    if (this.#over) return []
    for (const [index, spoken] of this.#spoken) this.#speak(index, spoken)
    for (const writer of this.#choices.all) writer.finish('stop')
    if (!this.#choices.all.some((writer) => writer.filled) && !this.#used) {
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
    const created = typeof wire.created === 'number' && wire.created > 0 ? Math.trunc(wire.created) : undefined
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
    const delta = asObject(choice.delta) ?? asObject(choice.message)
    if (delta) this.#delta(delta, index, writer)
    // Completions-style servers put the answer in `text`.
    else if (typeof choice.text === 'string') writer.write({ type: 'text' }, choice.text)
    const logprobs = asObject(choice.logprobs)
    if (logprobs) {
      writer.logprobs('content', readLogprobs(logprobs.content))
      writer.logprobs('refusal', readLogprobs(logprobs.refusal))
    }
    const raw = textOf(choice.finish_reason)
    if (raw === undefined) return
    if (raw === 'error') {
      this.#failure = new UpstreamFault('in_band', 'The upstream ended the answer with finish reason "error".')
      return
    }
    const spoken = this.#spoken.get(index)
    if (spoken) this.#speak(index, spoken)
    writer.finish(finishOf(raw), textOf(choice.native_finish_reason) ?? raw, textOf(choice.stop_reason))
  }

  #delta(delta: Json, index: number, writer: ChoiceWriter): void {
    this.#reasoning(delta, writer)
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
    const calls = this.#calls.get(index) ?? new CallKeys()
    this.#calls.set(index, calls)
    for (const item of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) {
      const call = asObject(item)
      if (call) this.#toolCall(call, calls, writer)
    }
    const old = asObject(delta.function_call)
    if (old) this.#toolCall({ index: 0, function: old }, calls, writer)
  }

  /** OpenRouter says the same twice, as `reasoning` and in `reasoning_details`: the list has the signatures and wins. */
  #reasoning(delta: Json, writer: ChoiceWriter): void {
    const list = Array.isArray(delta.reasoning_details) ? delta.reasoning_details : []
    for (const item of list) {
      const key = asObject(item)?.index
      const { placed, callSignatures, textSignatures } = readDetails([item])
      for (const [id, { signature, origin }] of callSignatures)
        writer.whole({ type: 'reasoning', redacted: signature, origin, id })
      for (const { signature, origin } of textSignatures)
        writer.whole({ type: 'reasoning', redacted: signature, origin })
      for (const { block } of placed) {
        if (block.type !== 'reasoning') continue
        const { origin, id, summary, redacted, text, signature } = block
        const told = {
          ...(origin === undefined ? {} : { origin }),
          ...(id === undefined ? {} : { id }),
          ...(summary === undefined ? {} : { summary }),
        }
        if (redacted !== undefined) {
          writer.whole({ type: 'reasoning', redacted, ...told })
          continue
        }
        writer.begin({ type: 'reasoning', ...told }, key)
        writer.write({ type: 'reasoning', ...told }, text, key)
        if (signature !== undefined) writer.close(signature)
      }
    }
    if (list.length > 0) return
    const text = textOf(delta.reasoning_content) ?? textOf(delta.reasoning)
    if (text !== undefined) writer.write({ type: 'reasoning' }, text)
  }

  #toolCall(call: Json, calls: CallKeys, writer: ChoiceWriter): void {
    const custom = call.type === 'custom' ? asObject(call.custom) : undefined
    const fn = custom ?? asObject(call.function)
    const name = textOf(fn?.name)
    const id = textOf(call.id)
    const { key, fresh } = calls.find(typeof call.index === 'number' ? call.index : undefined, id, name)
    if (fresh) {
      const google = asObject(asObject(call.extra_content)?.google)
      const signature = textOf(google?.thought_signature)
      const block: BlockStart & { type: 'tool-call' } = {
        type: 'tool-call',
        id: id ?? `call_${this.#id ?? this.#aids.replyId ?? 'reply'}_${calls.count}`,
        name: name ?? '',
      }
      if (custom) block.custom = true
      if (signature !== undefined) Object.assign(block, { signature, origin: 'gemini' })
      writer.beginCall(key, block)
    }
    const input = custom ? custom.input : fn?.arguments
    // Some servers send the arguments as an object instead of text.
    const text = typeof input === 'string' ? input : asObject(input) ? JSON.stringify(input) : undefined
    if (text !== undefined) writer.addInput(key, text)
  }

  /** Audio comes in pieces that make no block alone: it is one block when the choice ends. */
  #hear(index: number, audio: Json): void {
    const spoken = this.#spoken.get(index) ?? { id: undefined, data: '', transcript: '', expires: undefined }
    this.#spoken.set(index, spoken)
    spoken.id ??= textOf(audio.id)
    spoken.data += textOf(audio.data) ?? ''
    spoken.transcript += textOf(audio.transcript) ?? ''
    if (typeof audio.expires_at === 'number') spoken.expires = audio.expires_at
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

/**
 * Tells which call a delta belongs to. Servers leave out the index, repeat the id on each delta, or give every parallel call the
 * index 0 (Portkey #1275): a new id together with a name is always a new call.
 */
class CallKeys {
  count = 0
  readonly #byIndex = new Map<number, { key: string; id: string | undefined }>()
  #last = 0

  find(index: number | undefined, id: string | undefined, name: string | undefined): { key: string; fresh: boolean } {
    const at =
      index ?? (id === undefined ? this.#last : (this.#indexOf(id) ?? (name === undefined ? this.#last : this.count)))
    this.#last = at
    const known = this.#byIndex.get(at)
    const other = known && id !== undefined && known.id !== undefined && id !== known.id && name !== undefined
    if (known && !other) return { key: known.key, fresh: false }
    const key = String(this.count++)
    this.#byIndex.set(at, { key, id })
    return { key, fresh: true }
  }

  #indexOf(id: string): number | undefined {
    for (const [index, call] of this.#byIndex) if (call.id === id) return index
    return undefined
  }
}

/** Mistral writes content as parts: text, and thoughts that are lists of texts. */
function readPart(part: Json | undefined, writer: ChoiceWriter): void {
  if (!part) return
  if (part.type === 'text' && typeof part.text === 'string') writer.write({ type: 'text' }, part.text)
  if (part.type !== 'thinking' || !Array.isArray(part.thinking)) return
  for (const piece of part.thinking) {
    const text = textOf(asObject(piece)?.text)
    if (text !== undefined) writer.write({ type: 'reasoning' }, text)
  }
}

function readAnnotations(list: unknown): Annotation[] {
  if (!Array.isArray(list)) return []
  return list.flatMap((item: unknown) => {
    const annotation = asObject(item)
    if (!annotation) return []
    const cited = asObject(annotation.url_citation)
    const url = textOf(cited?.url)
    if (!cited || url === undefined) return [{ raw: annotation }]
    const result: Annotation = { url }
    if (typeof cited.title === 'string') result.title = cited.title
    if (typeof cited.start_index === 'number') result.start = cited.start_index
    if (typeof cited.end_index === 'number') result.end = cited.end_index
    if (typeof cited.content === 'string') result.quote = cited.content
    return [result]
  })
}

function readLogprobs(list: unknown): TokenLogprob[] {
  if (!Array.isArray(list)) return []
  return list.flatMap((item: unknown) => {
    const token = readToken(item)
    if (!token) return []
    const top = asObject(item)?.top_logprobs
    return [{ ...token, top: (Array.isArray(top) ? top : []).flatMap((other: unknown) => readToken(other) ?? []) }]
  })
}

function readToken(item: unknown): { token: string; logprob: number; bytes: number[] | null } | undefined {
  const from = asObject(item)
  if (typeof from?.token !== 'string' || typeof from.logprob !== 'number') return undefined
  return { token: from.token, logprob: from.logprob, bytes: Array.isArray(from.bytes) ? from.bytes : null }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
