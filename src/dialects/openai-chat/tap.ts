// Watches one OpenAI chat stream on the identity lane, frame by frame, parsing only frames that carry more than content.
import type { FrameVerdict, ReplyEdits, ReplyFacts, StreamTap } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { readFrame } from '../sse.ts'
import { asObject, type Json } from '../usage.ts'
import { withoutUsage, withToolCallsFinish } from './edit.ts'
import { inBandFaultOf } from './fault.ts'
import { choicesOf, generatedBytes, hasToolCall, learn, learnFinish, noFacts } from './reply.ts'

export function tap(edits: ReplyEdits): StreamTap {
  return new OpenAiChatTap(edits)
}

class OpenAiChatTap implements StreamTap {
  edited: Buffer | undefined
  fault: UpstreamFault | undefined
  good = false
  readonly facts: ReplyFacts = noFacts()
  readonly #edits: ReplyEdits
  readonly #repairStop: boolean
  readonly #finished = new Set<number>()
  readonly #called = new Set<number>()
  #done = false

  constructor(edits: ReplyEdits) {
    this.#edits = edits
    this.#repairStop = edits.quirks.includes('stop-after-tool-call')
  }

  take(buffer: Buffer, start: number, end: number): FrameVerdict {
    this.edited = undefined
    if (this.good && !this.#repairStop) {
      const text = buffer.toString('latin1', start, end)
      const plain = plainContent(text)
      if (plain !== -1) {
        this.facts.contentBytes += plain
        const usage = this.#edits.stripUsage ? text.lastIndexOf('"usage"') : -1
        if (usage === -1) return 'pass'
        this.edited = withoutLastField(buffer, start, text, usage)
        return this.edited || this.#strip(buffer.subarray(start, end)) ? 'edit' : 'pass'
      }
    }
    return this.#read(buffer.subarray(start, end))
  }

  end(): UpstreamFault | undefined {
    if (this.fault) return this.fault
    const finished = this.#done || this.#isFinished()
    if (!finished) {
      return new UpstreamFault('cut', 'The upstream closed the stream before the answer was finished.')
    }
    if (!this.good && this.facts.usage === undefined && (this.facts.finish ?? 'stop') === 'stop') {
      return new UpstreamFault('empty', 'The upstream ended the stream without any content or usage.')
    }
    this.good = true
    return undefined
  }

  /** A frame that may carry anything: parsed. */
  #read(frame: Buffer): FrameVerdict {
    const { event, data } = readFrame(frame)
    if (data === undefined || data.trim() === '') return event === 'error' ? this.#fail(inBandFaultOf({})) : 'wait'
    if (data.trim() === '[DONE]') {
      this.#done = true
      return 'finish'
    }
    const wire = parse(data)
    if (wire === undefined) {
      return this.#fail(new UpstreamFault('garbage', 'The upstream sent an event that is not JSON.'))
    }
    if (wire.error || event === 'error') return this.#fail(inBandFaultOf(wire, Buffer.from(data)))
    learn(this.facts, wire)
    const generated = this.#readChoices(wire)
    if (this.fault) return 'fault'
    if (generated) this.good = true
    // A finish other than "stop" says something by itself: the cap was reached, the answer was filtered.
    if (this.facts.finish && this.facts.finish !== 'stop') this.good = true
    if (this.#isUsageOnly(wire)) return 'drop'
    this.#edit(frame, wire)
    if (this.#isFinished()) return 'finish'
    if (this.edited) return 'edit'
    return generated ? 'pass' : 'wait'
  }

  #readChoices(wire: Json): boolean {
    let bytes = 0
    choicesOf(wire).forEach((choice, position) => {
      const index = typeof choice.index === 'number' ? choice.index : position
      const delta = asObject(choice.delta) ?? asObject(choice.message)
      bytes += generatedBytes(delta)
      if (hasToolCall(delta)) this.#called.add(index)
      if (typeof choice.finish_reason !== 'string' || choice.finish_reason === '') return
      if (choice.finish_reason === 'error') {
        this.fault ??= new UpstreamFault('in_band', 'The upstream ended the answer with finish reason "error".')
      }
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
    if (this.#edits.stripUsage && 'usage' in wire) this.#strip(frame)
    if (!this.#repairStop || this.#called.size === 0 || this.#finished.size === 0) return
    const json = dataOf(this.edited ?? frame)
    const repaired = withToolCallsFinish(json, (choice) => this.#called.has(choice))
    if (!repaired) return
    this.facts.finish = 'tool_calls'
    this.edited = reframe(this.edited ?? frame, json, repaired)
  }

  #strip(frame: Buffer): boolean {
    const json = dataOf(frame)
    const stripped = withoutUsage(json)
    if (stripped) this.edited = reframe(frame, json, stripped)
    return stripped !== undefined
  }

  #fail(fault: UpstreamFault): FrameVerdict {
    this.fault = fault
    return 'fault'
  }
}

/**
 * Whether a frame (as latin1) is content and nothing else: one `data:` line, no error, no finish, no usage. Returns the size of its
 * content in bytes, or -1 when it must be parsed. Inside JSON strings a quote is always escaped, so that `"usage"` with its quotes
 * is a key or a whole value, never a piece of the answer.
 */
function plainContent(text: string): number {
  if (!text.startsWith('data:') || text.length < 32) return -1
  const finish = text.indexOf('"finish_reason"')
  if (finish === -1 || !isNull(text, finish + 15)) return -1
  if (text.includes('"error"')) return -1
  const usage = text.indexOf('"usage"')
  if (usage !== -1 && !isNull(text, usage + 7)) return -1
  if (text.indexOf('"finish_reason"', finish + 15) !== -1) return -1
  const delta = text.indexOf('"delta"')
  if (delta === -1) return -1
  // From `"delta":{"content":"` to `"finish_reason"`, less the quotes, commas and `"logprobs":null` between: close enough to estimate by.
  const logprobs = text.indexOf('"logprobs"', delta)
  const contentEnd = logprobs > delta && logprobs < finish ? logprobs : finish
  return contentEnd > delta ? Math.max(0, contentEnd - delta - 24) : 1
}

/** Whether the value after a key that ends at `at` is null. */
function isNull(text: string, at: number): boolean {
  let i = at
  while (text.charCodeAt(i) === 0x20) i++
  if (text.charCodeAt(i) !== 0x3a) return false
  do i++
  while (text.charCodeAt(i) === 0x20)
  return text.startsWith('null', i)
}

/**
 * The frame without the field whose key is at `at`, if it plainly is one of the outermost object with value null: after it no bracket
 * comes but the last one. Undefined when that is not plain.
 */
function withoutLastField(buffer: Buffer, start: number, text: string, at: number): Buffer | undefined {
  let comma = at - 1
  while (text.charCodeAt(comma) === 0x20) comma--
  const close = text.indexOf('}', at)
  const end = text.indexOf('null', at) + 4
  if (
    text.charCodeAt(comma) !== 0x2c ||
    close < end ||
    /[{}[\]]/.test(text.slice(at, close)) ||
    text.indexOf('}', close + 1) !== -1
  ) {
    return undefined
  }
  const edited = Buffer.allocUnsafe(text.length - (end - comma))
  buffer.copy(edited, 0, start, start + comma)
  buffer.copy(edited, comma, start + end, start + text.length)
  return edited
}

function parse(data: string): Json | undefined {
  try {
    return asObject(JSON.parse(data))
  } catch {
    return undefined
  }
}

/** The JSON bytes of a frame. */
function dataOf(frame: Buffer): Buffer {
  const data = Buffer.from(readFrame(frame).data ?? '')
  const at = frame.indexOf(data)
  return at === -1 ? data : frame.subarray(at, at + data.length)
}

/** The frame with other JSON bytes. One whose data spanned several lines is written anew. */
function reframe(frame: Buffer, json: Buffer, edited: Buffer): Buffer {
  if (json.buffer !== frame.buffer) return Buffer.concat([Buffer.from('data: '), edited, Buffer.from('\n\n')])
  const from = json.byteOffset - frame.byteOffset
  return Buffer.concat([frame.subarray(0, from), edited, frame.subarray(from + json.length)])
}
