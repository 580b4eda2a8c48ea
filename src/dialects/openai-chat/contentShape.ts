// Recognises the frames of a stream that are content and nothing else, without parsing them: they differ from the one parsed before
// only in their content. All but a few frames of a stream are of this kind.
import { asObject, type Json } from '../usage.ts'
import { choicesOf, generatedBytes } from './reply.ts'

const finishNull = /"finish_reason": ?null/
/** The beginning of a delta, up to the first byte of what is generated. */
const deltaStart = /^"delta": ?\{(?:"role": ?"assistant", ?)?"(?:content|reasoning_content|reasoning|refusal)": ?"/

/** The shape of a parsed content frame; undefined when it is not plain enough to learn from. */
export function shapeOf(frame: Buffer, wire: Json, stripUsage: boolean): ContentShape | undefined {
  const [choice, second] = choicesOf(wire)
  if (!choice || second || choice.finish_reason !== null || asObject(wire.usage) || wire.error) return undefined
  const text = frame.toString('latin1')
  const delta = text.indexOf('"delta"')
  const finish = finishNull.exec(text)
  if (!text.startsWith('data:') || delta === -1 || text.indexOf('"delta"', delta + 1) !== -1) return undefined
  if (!finish || finish.index < delta || /[\r\n]/.test(text.trimEnd())) return undefined
  // A `usage` before the choices would be part of the head, which is never cut.
  if ('usage' in wire && text.indexOf('"usage"') < delta) return undefined
  const start = deltaStart.exec(text.slice(delta, finish.index))
  if (!start) return undefined
  const contentStart = delta + start[0].length
  const contentEnd = stringEnd(text, contentStart)
  if (contentEnd > finish.index || !isAllGenerated(frame, contentStart, contentEnd, choice)) return undefined
  const head = Buffer.from(frame.subarray(0, contentStart))
  return new ContentShape(head, text.slice(contentEnd, finish.index + finish[0].length), stripUsage)
}

/** Where the closing quote stands of the string whose text begins at `from`. */
function stringEnd(text: string, from: number): number {
  let at = from
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

/** Whether the one string is all that the delta generates: a call beside it would have to be seen in every frame. */
function isAllGenerated(frame: Buffer, start: number, end: number, choice: Json): boolean {
  const content = JSON.parse(frame.toString('utf8', start - 1, end + 1)) as string
  return content !== '' && Buffer.byteLength(content) === generatedBytes(asObject(choice.delta))
}

/**
 * A frame fits when it begins with the same bytes up to its content, ends the content and comes to `finish_reason` null by the same
 * bytes, and has nothing after them that matters. Inside JSON strings a quote is always escaped, so that `"usage"` with its quotes is a key or a whole value, never a piece of the answer.
 */
export class ContentShape {
  /** Size of the last fitting frame's content as written, escapes and all: 0 only for one without any. */
  contentBytes = 0
  /** Where the last fitting frame carries `"usage":null` that has to go; -1 when it does not. */
  cutStart = -1
  cutEnd = -1
  readonly #head: Buffer
  /** From the content's closing quote to the null of `finish_reason`. */
  readonly #middle: string
  readonly #stripUsage: boolean
  /** The last text after `finish_reason` that was found harmless, and where the cut in it lies. */
  #tail = ''
  #tailCut = -1
  #tailCutLength = 0

  constructor(head: Buffer, middle: string, stripUsage: boolean) {
    this.#head = head
    this.#middle = middle
    this.#stripUsage = stripUsage
  }

  fits(buffer: Buffer, start: number, end: number): boolean {
    const { length } = this.#head
    if (end - start <= length || buffer.compare(this.#head, 0, length, start, start + length) !== 0) return false
    const rest = buffer.latin1Slice(start + length, end)
    const contentEnd = rest.indexOf(this.#middle)
    if (contentEnd === -1) return false
    const tailStart = contentEnd + this.#middle.length
    const tail = rest.slice(tailStart)
    if (tail !== this.#tail && !this.#learn(tail)) return false
    this.contentBytes = contentEnd
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
