// Reads Gemini replies and stream frames into hub events: frames have the form of replies and go on where the last one ended.
import type { ChatEvent, FinishReason, TokenLogprob } from '../chat.ts'
import { Choices, type ChoiceWriter } from '../choice.ts'
import type { HubAids } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { numberOf, writeJson } from '../exactJson.ts'
import { asObject, type Json, ownEntry } from '../field.ts'
import { decodeInBand } from './error.ts'
import { Citations } from './grounding.ts'
import { readName } from './names.ts'
import { PartialInput } from './partialInput.ts'
import { origin } from './type.ts'
import { readUsage } from './usage.ts'

/** What is known of one candidate until its end, which only the end of the stream tells for sure. */
interface Candidate {
  writer: ChoiceWriter
  citations: Citations
  /** The signature of the text or thought that is open. */
  signature: string | undefined
  /** A function call whose arguments come in pieces. */
  open: { key: string; id: string; input: PartialInput } | undefined
  audio: { mime: string; pieces: Buffer[] } | undefined
  raw: string | undefined
  message: string | undefined
  /** The prompt itself was refused: `raw` is the reason for that. */
  blocked: boolean
}

/** The state of one reply. After a fault or the end it gives nothing more. */
export class ReplyReader {
  readonly #choices = new Choices()
  readonly #candidates = new Map<number, Candidate>()
  readonly #aids: HubAids
  #replyId: string | undefined
  #started = false
  #blocked = false
  #usage: unknown
  #calls = 0
  #over = false

  constructor(aids: HubAids = {}) {
    this.#aids = aids
  }

  /** One reply or stream frame. */
  take(wire: Json): ChatEvent[] {
    if (this.#over) return []
    if (wire.error) return this.fail(decodeInBand(wire))
    this.#start(wire)
    const list = Array.isArray(wire.candidates) ? wire.candidates : []
    list.forEach((item: unknown, position) => {
      const from = asObject(item)
      if (from) this.#candidate(from, typeof from.index === 'number' ? from.index : position)
    })
    this.#block(asObject(wire.promptFeedback))
    // Every frame counts anew: only the last count is worth an event.
    if (wire.usageMetadata !== undefined && hasCounts(wire.usageMetadata)) this.#usage = wire.usageMetadata
    return this.#choices.drain()
  }

  #tellUsage(): void {
    const usage = readUsage(this.#usage)
    if (usage) this.#choices.push({ type: 'usage', usage })
  }

  /** Whether the vendor has said why every candidate stopped, or that there will be none. */
  get finished(): boolean {
    const all = [...this.#candidates.values()]
    return this.#blocked || (all.length > 0 && all.every(({ raw }) => raw !== undefined))
  }

  complete(): ChatEvent[] {
    if (this.#over) return []
    const used = readUsage(this.#usage) !== undefined
    if (this.#candidates.size === 0) {
      return this.fail(new UpstreamFault('empty', 'The upstream answered without any candidate.'))
    }
    for (const candidate of this.#candidates.values()) {
      this.#end(candidate)
      const fault = faultOf(candidate, used)
      if (fault) return this.fail(fault)
      candidate.writer.finish(finishOf(candidate), candidate.raw)
    }
    this.#tellUsage()
    this.#choices.push({ type: 'end' })
    this.#over = true
    return this.#choices.drain()
  }

  /** Gives what was read before, what it has cost so far, then the fault as the last event. */
  fail(fault: UpstreamFault): ChatEvent[] {
    if (this.#over) return []
    this.#over = true
    this.#tellUsage()
    return [...this.#choices.drain(), { type: 'fault', fault }]
  }

  #start(wire: Json): void {
    if (this.#started) return
    this.#started = true
    const { responseId: id, modelVersion: model, createTime } = wire
    if (typeof id === 'string' && id !== '') this.#replyId = id
    const created = typeof createTime === 'string' ? Math.floor(Date.parse(createTime) / 1000) : Number.NaN
    const tier = asObject(wire.usageMetadata)?.serviceTier
    this.#choices.push({
      type: 'start',
      ...(this.#replyId === undefined ? {} : { id: this.#replyId }),
      ...(typeof model === 'string' && model !== '' ? { model } : {}),
      ...(Number.isNaN(created) ? {} : { created }),
      ...(typeof tier === 'string' ? { serviceTier: tier } : {}),
    })
  }

  #at(index: number): Candidate {
    let candidate = this.#candidates.get(index)
    if (!candidate) {
      const writer = this.#choices.at(index)
      const nothing = { signature: undefined, open: undefined, audio: undefined, raw: undefined, message: undefined }
      candidate = { writer, citations: new Citations(), blocked: false, ...nothing }
      this.#candidates.set(index, candidate)
    }
    return candidate
  }

  /** The prompt itself was refused: there are no candidates, and that is the answer. */
  #block(feedback: Json | undefined): void {
    const reason = feedback?.blockReason
    if (typeof reason !== 'string' || this.#candidates.size > 0) return
    this.#blocked = true
    const candidate = this.#at(0)
    candidate.raw = reason
    candidate.blocked = true
    candidate.message = typeof feedback?.blockReasonMessage === 'string' ? feedback.blockReasonMessage : undefined
  }

  #candidate(from: Json, index: number): void {
    const candidate = this.#at(index)
    const parts = asObject(from.content)?.parts
    for (const item of Array.isArray(parts) ? parts : []) {
      const part = asObject(item)
      if (part) this.#part(part, candidate)
    }
    const grounding = asObject(from.groundingMetadata)
    if (grounding) candidate.citations.learnGrounding(grounding)
    const cited = asObject(from.citationMetadata)
    if (cited) candidate.citations.learnSources(cited)
    const logprobs = asObject(from.logprobsResult)
    if (logprobs) candidate.writer.logprobs('content', readLogprobs(logprobs))
    if (typeof from.finishReason === 'string') candidate.raw = from.finishReason
    if (typeof from.finishMessage === 'string') candidate.message = from.finishMessage
  }

  #part(part: Json, candidate: Candidate): void {
    const signature = typeof part.thoughtSignature === 'string' ? part.thoughtSignature : undefined
    const call = asObject(part.functionCall)
    const data = asObject(part.inlineData)
    if (call) this.#call(call, signature, candidate)
    else if (typeof part.text === 'string') this.#text(part.text, part.thought === true, signature, candidate)
    else if (typeof data?.data === 'string' && part.thought !== true)
      this.#media(data.data, String(data.mimeType ?? ''), candidate)
    else if (Object.keys(part).length > 0) {
      this.#close(candidate)
      // Code that Google ran, its searches and their results, drafts of a picture: opaque, but the model wants to see them again.
      candidate.writer.whole({ type: 'vendor', origin, raw: part })
    }
  }

  #text(text: string, thought: boolean, signature: string | undefined, candidate: Candidate): void {
    const { writer } = candidate
    const block = thought ? ({ type: 'reasoning', origin } as const) : ({ type: 'text', origin } as const)
    this.#endCall(candidate)
    // What follows a signed part is a part of its own: Google wants none joined to another ("Thought signatures").
    const isNext = candidate.signature !== undefined && (signature !== undefined || text !== '')
    if (isNext || !writer.isOpen(block.type)) this.#close(candidate)
    if (!thought) candidate.citations.say(text)
    writer.write(block, text)
    if (signature === undefined) return
    writer.begin(block)
    writer.filled = true
    candidate.signature = signature
  }

  /** Closes the open text or thought with its signature. */
  #close(candidate: Candidate): void {
    this.#endCall(candidate)
    candidate.writer.close(candidate.signature)
    candidate.signature = undefined
  }

  /**
   * A call comes whole, or (Vertex, where asked for) as a name, then pieces of arguments, then an empty call. The last one may be
   * missing, so a new name ends the call before it.
   */
  #call(call: Json, signature: string | undefined, candidate: Candidate): void {
    const name = typeof call.name === 'string' && call.name !== '' ? call.name : undefined
    if (name !== undefined) this.#beginCall(name, call, signature, candidate)
    const { open } = candidate
    if (!open) return
    if (asObject(call.args)) open.input.set(asObject(call.args)!)
    if (Array.isArray(call.partialArgs)) for (const piece of call.partialArgs) open.input.grow(asObject(piece) ?? {})
    if (call.willContinue !== true) this.#endCall(candidate)
  }

  #beginCall(name: string, call: Json, signature: string | undefined, candidate: Candidate): void {
    this.#close(candidate)
    const id = typeof call.id === 'string' && call.id !== '' ? call.id : this.#newCallId()
    if (signature !== undefined) this.#aids.signatures?.put(id, signature)
    const key = String(this.#calls)
    const signed = signature === undefined ? {} : { signature, origin }
    candidate.writer.beginCall(key, { type: 'tool-call', id, name: readName(name), ...signed })
    candidate.open = { key, id, input: new PartialInput() }
  }

  /** Unique among all replies, because the reply's id is; at most 40 characters, which is what OpenAI takes. */
  #newCallId(): string {
    const reply = (this.#replyId ?? this.#aids.replyId ?? 'reply').replace(/[^a-zA-Z0-9_-]/g, '').slice(-28)
    return `call_${reply}_${++this.#calls}`
  }

  #endCall(candidate: Candidate): void {
    const { open, writer } = candidate
    if (!open) return
    candidate.open = undefined
    writer.addInput(open.key, writeJson(open.input.value))
    writer.endCall(open.key)
  }

  /** Speech comes in pieces that are one recording; images come whole. */
  #media(data: string, mime: string, candidate: Candidate): void {
    if (mime.startsWith('audio/')) {
      candidate.audio ??= { mime, pieces: [] }
      candidate.audio.pieces.push(Buffer.from(data, 'base64'))
      return
    }
    this.#close(candidate)
    const kind = mime.startsWith('video/') ? 'video' : mime.startsWith('image/') ? 'image' : 'file'
    candidate.writer.whole({ type: 'media', kind, source: { base64: data, mime } })
  }

  #end(candidate: Candidate): void {
    this.#close(candidate)
    const { audio, writer, message } = candidate
    if (audio) {
      const base64 = Buffer.concat(audio.pieces).toString('base64')
      writer.whole({ type: 'media', kind: 'audio', source: { base64, mime: audio.mime } })
    }
    writer.annotate(candidate.citations.annotations())
    if (message !== undefined && finishOf(candidate) === 'content_filter') writer.write({ type: 'refusal' }, message)
  }
}

/** An answer that broke off is no answer, whatever came before; one without anything is none either. */
function faultOf(candidate: Candidate, used: boolean): UpstreamFault | undefined {
  const { raw, message, writer } = candidate
  if (raw !== undefined && broken.has(raw)) {
    return new UpstreamFault('in_band', `The model's answer broke off: ${message ?? raw}.`, { code: raw })
  }
  if (writer.filled || finishOf(candidate) !== 'stop') return undefined
  if (used && (raw === undefined || raw === 'STOP')) return undefined
  return new UpstreamFault('empty', `The upstream said "${raw ?? 'nothing'}" without any content.`, { code: raw })
}

/** First frames on Vertex carry only how the traffic is billed. */
function hasCounts(usage: unknown): boolean {
  const from = asObject(usage)
  return (
    from?.promptTokenCount !== undefined ||
    from?.candidatesTokenCount !== undefined ||
    from?.thoughtsTokenCount !== undefined
  )
}

const filtered = [
  'SAFETY',
  'RECITATION',
  'LANGUAGE',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
  'IMAGE_PROHIBITED_CONTENT',
  'IMAGE_RECITATION',
  'MODEL_ARMOR',
  'ESCALATION',
]
const finishes: Readonly<Record<string, FinishReason>> = {
  MAX_TOKENS: 'length',
  ...Object.fromEntries(filtered.map((reason) => [reason, 'content_filter'])),
}

/** Failures of the model that Google tells as finish reasons. */
const broken: ReadonlySet<string> = new Set([
  'MALFORMED_FUNCTION_CALL',
  'MALFORMED_RESPONSE',
  'UNEXPECTED_TOOL_CALL',
  'TOO_MANY_TOOL_CALLS',
  'MISSING_THOUGHT_SIGNATURE',
])

const finishOf = ({ raw, blocked }: Candidate): FinishReason =>
  blocked ? 'content_filter' : (ownEntry(finishes, raw ?? '') ?? 'stop')

function readLogprobs(result: Json): TokenLogprob[] {
  const chosen = Array.isArray(result.chosenCandidates) ? result.chosenCandidates : []
  const tops = Array.isArray(result.topCandidates) ? result.topCandidates : []
  return chosen.flatMap((item: unknown, at) => {
    const token = readToken(item)
    if (!token) return []
    const others = asObject(tops[at])?.candidates
    return [
      { ...token, top: (Array.isArray(others) ? others : []).flatMap((other: unknown) => readToken(other) ?? []) },
    ]
  })
}

function readToken(item: unknown): { token: string; logprob: number; bytes: number[] } | undefined {
  const from = asObject(item)
  const logprob = numberOf(from?.logProbability)
  if (typeof from?.token !== 'string' || logprob === undefined) return undefined
  return { token: from.token, logprob, bytes: [...Buffer.from(from.token)] }
}
