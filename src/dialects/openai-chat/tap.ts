// Watches one OpenAI chat stream on the identity lane, frame by frame, parsing only frames that carry more than content.
import { faultOfText, parseJsonText } from '../depth.ts'
import type { FrameVerdict, ReplyEdits, ReplyFacts, StreamTap } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { readFrame, writeFrame } from '../sse.ts'
import { asObject, type Json } from '../usage.ts'
import { type ContentShape, shapeOf } from './contentShape.ts'
import { withoutUsage, withPlainContent, withToolCallsFinish, withTypedCalls } from './edit.ts'
import { faultOfFinish, inBandFaultOf, saysWhatIsWrong, tellsError } from './fault.ts'
import { choicesOf, generatedBytes, hasToolCall, learn, learnFinish, noFacts, textBytes, UsageReader } from './reply.ts'

/** One tap watches one stream; it is fed the upstream's bytes in order. */
export function tap(edits: ReplyEdits): StreamTap {
  return new OpenAiChatTap(edits)
}

class OpenAiChatTap implements StreamTap {
  edited: Buffer | undefined
  fault: UpstreamFault | undefined
  good = false
  complete = false
  cutStart = 0
  cutEnd = 0
  readonly facts: ReplyFacts = noFacts()
  readonly #told: UsageReader
  readonly #edits: ReplyEdits
  readonly #repairStop: boolean
  readonly #typeCalls: boolean
  readonly #plainContent: boolean
  readonly #finished = new Set<number>()
  readonly #called = new Set<number>()
  /** Calls that each choice has begun, where they have to be numbered. */
  readonly #begun = new Map<number, number>()
  /** What plain content frames of this stream look like, once one was seen. */
  #shape: ContentShape | undefined

  constructor(edits: ReplyEdits) {
    this.#edits = edits
    this.#told = new UsageReader(edits.choices)
    this.#repairStop = edits.quirks.includes('stop-after-tool-call')
    this.#typeCalls = edits.quirks.includes('untyped-tool-calls')
    this.#plainContent = edits.quirks.includes('listed-thoughts')
  }

  take(buffer: Buffer, start: number, end: number): FrameVerdict {
    this.edited = undefined
    const shape = this.#shape
    if (shape && this.good && shape.fits(buffer, start, end)) {
      this.facts.contentBytes += shape.contentBytes
      if (shape.cutStart === -1) return 'pass'
      this.cutStart = shape.cutStart
      this.cutEnd = shape.cutEnd
      return 'cut'
    }
    return this.#read(buffer.subarray(start, end))
  }

  end(): UpstreamFault | undefined {
    if (this.fault) return this.fault
    const finished = this.complete || this.#isFinished()
    if (!finished) {
      return new UpstreamFault('cut', 'The upstream closed the stream before the answer was finished.')
    }
    // An empty answer that was counted is one; counting alone is none.
    const { finish, usage } = this.facts
    if (!this.good && (finish === undefined || (finish === 'stop' && usage === undefined))) {
      return new UpstreamFault(
        'empty',
        `The upstream ended the stream without any content or ${finish ? 'usage' : 'end'}.`,
      )
    }
    this.good = true
    // Some vendors answer once whatever was asked for.
    if (usage?.estimated) this.facts.usage = { ...usage, estimated: false }
    return undefined
  }

  /** A frame that may carry anything: parsed. */
  #read(frame: Buffer): FrameVerdict {
    const { event, data } = readFrame(frame)
    if (data === undefined || data.trim() === '') {
      const bare = event === 'error' ? {} : bareError(frame)
      return bare ? this.#fail(inBandFaultOf(bare)) : 'wait'
    }
    if (data.trim() === '[DONE]') {
      this.complete = true
      return 'finish'
    }
    const wire = parse(data)
    if (wire === undefined) {
      return this.#fail(faultOfText(data, 'The upstream sent an event that is not JSON.'))
    }
    learn(this.facts, wire, this.#told)
    if (tellsError(wire) || event === 'error')
      return this.#fail(inBandFaultOf(wire, saysWhatIsWrong(wire) ? Buffer.from(data) : undefined))
    // Groq says so beside a finish reason: https://github.com/groq/groq-typescript, `XGroq.error`, "why a stream was stopped early".
    const stopped = asObject(wire.x_groq)?.error
    if (typeof stopped === 'string' && stopped !== '') return this.#fail(inBandFaultOf({ error: stopped }))
    const generated = this.#readChoices(wire)
    if (this.fault) return 'fault'
    if (generated) this.good = true
    // A finish other than "stop" says something by itself: the cap was reached, the answer was filtered.
    if (this.facts.finish && this.facts.finish !== 'stop') this.good = true
    if (this.#isUsageOnly(wire)) return 'drop'
    this.#edit(frame, wire)
    if (this.#isFinished()) return 'finish'
    if (generated && !this.#repairStop) this.#shape = shapeOf(frame, wire, this.#edits.stripUsage) ?? this.#shape
    if (this.edited) return 'edit'
    return generated ? 'pass' : 'wait'
  }

  #readChoices(wire: Json): boolean {
    let bytes = 0
    choicesOf(wire).forEach((choice, position) => {
      const index = typeof choice.index === 'number' ? choice.index : position
      const delta = asObject(choice.delta) ?? asObject(choice.message)
      // Completions-style servers put the answer in `text`.
      bytes += delta ? generatedBytes(delta) : textBytes(choice.text)
      if (hasToolCall(delta)) this.#called.add(index)
      if (typeof choice.finish_reason !== 'string' || choice.finish_reason === '') return
      this.fault ??= faultOfFinish(choice)
      this.#finished.add(index)
      learnFinish(this.facts, choice.finish_reason)
    })
    this.facts.contentBytes += bytes
    return bytes > 0
  }

  #isFinished(): boolean {
    return this.#finished.size > 0 && this.#finished.size >= this.#edits.choices
  }

  /** The extra chunk that came only because we asked. */
  #isUsageOnly(wire: Json): boolean {
    return (
      this.#edits.stripUsage &&
      asObject(wire.usage) !== undefined &&
      Array.isArray(wire.choices) &&
      wire.choices.length === 0
    )
  }

  #edit(frame: Buffer, wire: Json): void {
    // A usage object on a chunk with choices is the vendor's own habit (Groq, Mistral): it would have come unasked, too.
    if (this.#edits.stripUsage && wire.usage === null) this.edited = editData(frame, withoutUsage)
    if (this.#plainContent && choicesOf(wire).some(({ delta }) => Array.isArray(asObject(delta)?.content)))
      this.edited = editData(this.edited ?? frame, withPlainContent) ?? this.edited
    if (this.#called.size === 0) return
    if (this.#typeCalls) {
      this.edited = editData(this.edited ?? frame, (json) => withTypedCalls(json, this.#begun)) ?? this.edited
    }
    if (!this.#repairStop || this.#finished.size === 0) return
    const repaired = editData(this.edited ?? frame, (json) =>
      withToolCallsFinish(json, (choice) => this.#called.has(choice)),
    )
    if (!repaired) return
    this.facts.finish = 'tool_calls'
    this.edited = repaired
  }

  #fail(fault: UpstreamFault): FrameVerdict {
    this.fault = fault
    return 'fault'
  }
}

/** An error that stands in the stream as plain JSON, without `data:`: Ollama and some proxies have nothing else left to say it with. */
function bareError(frame: Buffer): Json | undefined {
  const text = frame.toString('utf8').trimStart()
  const wire = text.startsWith('{') ? parse(text) : undefined
  return wire && tellsError(wire) ? wire : undefined
}

function parse(data: string): Json | undefined {
  try {
    return asObject(parseJsonText(data))
  } catch {
    return undefined
  }
}

/** The frame with its JSON edited; undefined when nothing was. One whose data spans several lines, or is no UTF-8, is written anew. */
function editData(frame: Buffer, edit: (json: Buffer) => Buffer | undefined): Buffer | undefined {
  const data = readFrame(frame).data ?? ''
  // A comment or an id before it may say the same.
  const from = frame.lastIndexOf(data)
  if (from === -1) {
    const edited = edit(Buffer.from(data))?.toString('utf8')
    return edited === undefined ? undefined : writeFrame(edited)
  }
  const to = from + Buffer.byteLength(data)
  const edited = edit(frame.subarray(from, to))
  return edited && Buffer.concat([frame.subarray(0, from), edited, frame.subarray(to)])
}
