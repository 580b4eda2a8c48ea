// Cuts a byte stream into server-sent-event frames without copying, and reads one frame's event name and data.
// Frames stay bytes because the identity lane forwards them as they came. Rules: WHATWG HTML, "Server-sent events", section 9.2.6.
import { isSenseless } from './depth.ts'
import { UpstreamFault } from './errors.ts'

const LF = 0x0a
const CR = 0x0d
const EMPTY = Buffer.alloc(0)

/** The largest frame accepted, in bytes: an inline image is a few megabytes. */
export const MAX_FRAME_BYTES = 32 * 1024 * 1024

/** The most lines of one frame: a few do for any event, and to take millions apart takes seconds. */
export const MOST_LINES = 100_000

/** Bytes of the longest frame that is a blank line by itself: nobody has to read it, and there may be millions. */
export const MOST_BLANK = 2

/** One stream's framing. Lines may end in LF, CRLF or CR, cut anywhere; the same frames come out. */
export class FrameSplitter {
  /** Bytes of an unfinished frame. Replaced, never overwritten, once frames were handed out of it: consumers may hold views. */
  #tail: Buffer = EMPTY
  #length = 0
  /** Where the search goes on, and where the line it is in began. */
  #at = 0
  #line = 0
  #lines = 0
  #sawCr = false
  #sawCrLf = false
  #afterCr = false

  /** Feeds bytes; calls `each` with every frame that is complete, its blank line included, as a range of a buffer. */
  split(chunk: Buffer, each: (buffer: Buffer, start: number, end: number) => void): void {
    if (!this.#sawCr && chunk.includes(CR)) this.#sawCr = true
    const buffer = this.#length === 0 ? chunk : this.#append(chunk)
    let start = 0
    for (;;) {
      const end = this.#sawCr ? this.#nextAnyEnding(buffer) : this.#nextLf(buffer)
      if (end === -1) break
      each(buffer, start, end)
      start = end
    }
    if (start > 0 || this.#length === 0) this.#keep(buffer, start)
    if (this.#length > MAX_FRAME_BYTES) {
      throw new UpstreamFault('too_large', `An event of the stream exceeds ${MAX_FRAME_BYTES} bytes.`)
    }
  }

  /** `split` with each frame as a buffer of its own range. */
  push(chunk: Buffer, onFrame: (frame: Buffer) => void): void {
    this.split(chunk, (buffer, start, end) => onFrame(buffer.subarray(start, end)))
  }

  /** The last line of a stream that ends its lines in CRLF has only come as far as the CR. */
  get awaitsLf(): boolean {
    return this.#afterCr && this.#sawCrLf
  }

  /** Bytes of a frame whose end has not come. */
  get unfinished(): number {
    return this.#length
  }

  /** What is left when the stream ended without a last blank line, if anything. */
  end(): Buffer | undefined {
    if (this.#length === 0) return undefined
    const rest = this.#tail.subarray(0, this.#length)
    this.#length = 0
    return rest
  }

  #nextLf(buffer: Buffer): number {
    for (;;) {
      const at = buffer.indexOf(LF, this.#at)
      if (at === -1) {
        this.#at = buffer.length
        return -1
      }
      const blank = at === this.#line
      this.#at = at + 1
      this.#line = at + 1
      this.#count(blank)
      if (blank) return at + 1
    }
  }

  /** An LF right after a CR is the second half of one line end, also when the two come in different chunks. */
  #nextAnyEnding(buffer: Buffer): number {
    for (let at = this.#at; at < buffer.length; at++) {
      const byte = buffer[at]
      if (byte !== LF && byte !== CR) {
        this.#afterCr = false
        continue
      }
      const halfOfCrLf = byte === LF && this.#afterCr
      if (halfOfCrLf) this.#sawCrLf = true
      const blank = at === this.#line && !halfOfCrLf
      this.#afterCr = byte === CR
      this.#line = at + 1
      if (!halfOfCrLf) this.#count(blank)
      if (!blank) continue
      if (byte === CR && buffer[at + 1] === LF) {
        at++
        this.#afterCr = false
        this.#line = at + 1
      }
      this.#at = at + 1
      return at + 1
    }
    this.#at = buffer.length
    return -1
  }

  /** A line of the frame has come to its end. */
  #count(blank: boolean): void {
    if (blank) this.#lines = 0
    else if (++this.#lines > MOST_LINES)
      throw new UpstreamFault('too_large', `An event of the stream has more than ${MOST_LINES} lines.`)
  }

  #append(chunk: Buffer): Buffer {
    const needed = this.#length + chunk.length
    if (needed > this.#tail.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#tail.length * 2, 1024))
      this.#tail.copy(grown, 0, 0, this.#length)
      this.#tail = grown
    }
    chunk.copy(this.#tail, this.#length)
    this.#length = needed
    return this.#tail.subarray(0, needed)
  }

  #keep(buffer: Buffer, start: number): void {
    const rest = buffer.length - start
    this.#tail = rest === 0 ? EMPTY : Buffer.from(buffer.subarray(start))
    this.#length = rest
    this.#at -= start
    this.#line -= start
  }
}

/** The frames of bytes that are all there. The last one gets the blank line that it may lack: what is put after it is no part of it. */
export function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = []
  const splitter = new FrameSplitter()
  splitter.push(bytes, (frame) => void frames.push(frame))
  const rest = splitter.end()
  if (rest) frames.push(Buffer.concat([rest, Buffer.from(rest.at(-1) === LF ? '\n' : '\n\n')]))
  return frames
}

/** The bytes of a frame with this data, one line for each of its own. */
export const writeFrame = (data: string): Buffer => Buffer.from(`data: ${data.replaceAll('\n', '\ndata: ')}\n\n`)

/** One frame's fields. `data` joins its data lines with LF; a frame of comments alone has `data` undefined. */
export interface Frame {
  event: string | undefined
  data: string | undefined
}

/** Reads one frame: bytes as `FrameSplitter` hands them out. Unknown fields and comments are passed over, as the rules say. */
export function readFrame(frame: Buffer): Frame {
  const text = frame.toString('utf8')
  return readPlain(text) ?? readAny(text)
}

/** What vendors send, all but always: one data line, perhaps an event's name before it. Undefined for anything else. */
function readPlain(text: string): Frame | undefined {
  const ending = text.endsWith('\n\n') ? 1 : text.endsWith('\r\n\r\n') ? 2 : 0
  if (ending === 0) return undefined
  const end = text.length - 2 * ending
  const first = text.indexOf(ending === 1 ? '\n' : '\r\n')
  // The other kinds of line end may stand nowhere before.
  if (text.indexOf('\n') !== first + ending - 1 || text.indexOf('\r') !== (ending === 1 ? -1 : first)) return undefined
  if (text.startsWith('data: ')) return first === end ? { event: undefined, data: text.slice(6, end) } : undefined
  const data = first + ending
  if (!text.startsWith('event: ') || !text.startsWith('data: ', data)) return undefined
  const isLast = text.indexOf('\n', data) === end + ending - 1 && (ending === 1 || text.indexOf('\r', data) === end)
  return isLast ? { event: text.slice(7, first), data: text.slice(data + 6, end) } : undefined
}

/**
 * Whether an event is only a part of itself. To be asked of the last one of a stream, which may lack its blank line: the connection may have
 * been closed anywhere in it.
 */
export function isCutOff({ data }: Frame): boolean {
  // What nobody can mean is nonsense, whole or not: who reads it says so.
  if (data === undefined || data.trim() === '[DONE]' || isSenseless(data)) return false
  try {
    JSON.parse(data)
    return false
  } catch {
    return true
  }
}

function readAny(text: string): Frame {
  let event: string | undefined
  let data: string | undefined
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':')
    if (colon === 0 || line === '') continue
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`
    else if (field === 'event') event = value
  }
  return { event, data }
}
