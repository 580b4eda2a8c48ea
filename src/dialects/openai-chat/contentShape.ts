// Recognises the frames of a stream that are content and nothing else, without parsing them: they differ from the one parsed before
// only in their content. All but a few frames of a stream are of this kind.
import type { Json } from '../usage.ts'
import { asObject } from '../usage.ts'
import { choicesOf, generatedBytes } from './reply.ts'

const finishNull = /"finish_reason": ?null/

/** The shape of a parsed content frame; undefined when it is not plain enough to learn from. */
export function shapeOf(frame: Buffer, wire: Json, stripUsage: boolean): ContentShape | undefined {
  const [choice, second] = choicesOf(wire)
  if (!choice || second || choice.finish_reason !== null || asObject(wire.usage) || wire.error) return undefined
  const text = frame.toString('latin1')
  const delta = text.indexOf('"delta"')
  const finish = finishNull.exec(text)
  if (!text.startsWith('data:') || delta === -1 || text.indexOf('"delta"', delta + 1) !== -1) return undefined
  // A `usage` before the choices would be part of the head, which is never cut.
  if ('usage' in wire && text.indexOf('"usage"') < delta) return undefined
  if (!finish || finish.index < delta || /[\r\n]/.test(text.trimEnd())) return undefined
  const overhead = finish.index - delta - generatedBytes(asObject(choice.delta))
  return new ContentShape(Buffer.from(frame.subarray(0, delta)), finish[0], overhead, stripUsage)
}

/**
 * A frame fits when it begins with the same bytes up to `"delta"`, has `finish_reason` null, and nothing after it that matters. Inside
 * JSON strings a quote is always escaped, so that `"usage"` with its quotes is a key or a whole value, never a piece of the answer.
 */
export class ContentShape {
  /** Size of the last fitting frame's content, near enough to estimate tokens by. */
  contentBytes = 0
  /** Where the last fitting frame carries `"usage":null` that has to go; -1 when it does not. */
  cutStart = -1
  cutEnd = -1
  readonly #head: Buffer
  readonly #finish: string
  readonly #overhead: number
  readonly #stripUsage: boolean
  /** The last text after `finish_reason` that was found harmless, and where the cut in it lies. */
  #tail = ''
  #tailCut = -1
  #tailCutLength = 0

  constructor(head: Buffer, finish: string, overhead: number, stripUsage: boolean) {
    this.#head = head
    this.#finish = finish
    this.#overhead = overhead
    this.#stripUsage = stripUsage
  }

  fits(buffer: Buffer, start: number, end: number): boolean {
    const { length } = this.#head
    if (end - start <= length || buffer.compare(this.#head, 0, length, start, start + length) !== 0) return false
    const rest = buffer.latin1Slice(start + length, end)
    const finish = rest.indexOf(this.#finish)
    if (finish === -1) return false
    const tailStart = finish + this.#finish.length
    const tail = rest.slice(tailStart)
    if (tail !== this.#tail && !this.#learn(tail)) return false
    this.contentBytes = Math.max(0, finish - this.#overhead)
    if (this.#tailCut === -1) this.cutStart = -1
    else {
      this.cutStart = start + length + tailStart + this.#tailCut
      this.cutEnd = this.cutStart + this.#tailCutLength
    }
    return true
  }

  /** Looks at an ending that is new. Only one without brackets but the closing ones is plain. */
  #learn(tail: string): boolean {
    if (tail.includes('"error"') || tail.includes('"finish_reason"') || tail.includes('{')) return false
    const usage = /[ ]?,[ ]?"usage": ?null/.exec(tail)
    if (usage === null) {
      if (tail.includes('"usage"')) return false
      this.#tailCut = -1
    } else if (!this.#stripUsage) this.#tailCut = -1
    else if (/^[^{}[\]]*\}\s*$/.test(tail.slice(usage.index))) {
      this.#tailCut = usage.index
      this.#tailCutLength = usage[0].length
    } else return false
    this.#tail = tail
    return true
  }
}
