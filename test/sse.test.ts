// Frames of event streams: cut anywhere, ended by any line end, they read as the standard's own parser reads them.
import { createParser } from 'eventsource-parser'
import { describe, expect, it } from 'vitest'
import { UpstreamFault } from '../src/dialects/errors.ts'
import { FrameSplitter, MAX_FRAME_BYTES, MOST_LINES, readFrame } from '../src/dialects/sse.ts'
import fc from './support/seededCheck.ts'

interface Event {
  event: string | undefined
  data: string
}

/** What an independent implementation of the standard makes of the whole text. */
function oracle(text: string): Event[] {
  const events: Event[] = []
  createParser({ onEvent: ({ event, data }) => void events.push({ event, data }) }).feed(text)
  return events
}

/** Our frames of a text that comes in pieces, and what was left at the end. */
function split(pieces: readonly Buffer[]): { frames: Buffer[]; rest: Buffer | undefined } {
  const splitter = new FrameSplitter()
  const frames: Buffer[] = []
  // Copies: a consumer may hold a frame for longer than the piece that it came with.
  for (const piece of pieces) splitter.push(piece, (frame) => frames.push(frame))
  return { frames, rest: splitter.end() }
}

const eventsOf = (frames: readonly Buffer[]): Event[] =>
  frames
    .map(readFrame)
    .filter((frame) => frame.data !== undefined)
    .map(({ event, data }) => ({ event: event || undefined, data: data! }))

/** Cuts bytes at the given places, in any order, doubles allowed: an empty piece is a piece. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places].map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
  const pieces: Buffer[] = []
  let from = 0
  for (const place of [...sorted, bytes.length]) {
    pieces.push(Buffer.from(bytes.subarray(from, place)))
    from = place
  }
  return pieces
}

const piecesOf = (bytes: Buffer, size: number): Buffer[] =>
  cutAt(
    bytes,
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => index * size),
  )

const value = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '{}',
    '[DONE]',
    '{"a":"b: c"}',
    ' leading',
    'colon: inside',
    'ünïcödé',
    '日本語',
    '🚂🚃',
    'data: x',
  ),
  fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !/[\r\n\uFEFF\uD800-\uDFFF]/u.test(text)),
)
const line = fc.oneof(
  { weight: 6, arbitrary: value.map((text) => `data: ${text}`) },
  { weight: 2, arbitrary: value.map((text) => `data:${text}`) },
  { weight: 1, arbitrary: fc.constant('data') },
  { weight: 2, arbitrary: value.map((text) => `event: ${text}`) },
  { weight: 1, arbitrary: fc.constantFrom('event', 'id: 7', 'id', 'retry: 3000', 'retry: soon', 'unknown: field') },
  { weight: 2, arbitrary: value.map((text) => `:${text}`) },
  { weight: 1, arbitrary: fc.constantFrom(' data: not a field', 'DATA: x', 'datax: y', 'data : z') },
  { weight: 5, arbitrary: fc.constant('') },
)
const lineEnd = fc.constantFrom('\n', '\r\n', '\r')
/** Each stream keeps to one line end, or changes it from line to line. */
const stream = fc.oneof(
  lineEnd.chain((end) => fc.array(line, { maxLength: 30 }).map((lines) => lines.map((text) => text + end).join(''))),
  fc.array(fc.tuple(line, lineEnd), { maxLength: 30 }).map((lines) => lines.map((pair) => pair.join('')).join('')),
)
const places = fc.array(fc.nat(2000), { maxLength: 40 })

describe('FrameSplitter and readFrame', () => {
  it('read what an independent parser reads, wherever the bytes are cut', () => {
    fc.assert(
      fc.property(stream, places, (text, cuts) => {
        // A last CR may be half of a CRLF: the oracle waits for more, so more comes.
        const whole = `${text}:end\n`
        const { frames } = split(cutAt(Buffer.from(whole), cuts))
        expect(eventsOf(frames)).toEqual(oracle(whole))
      }),
      { seed: 20260101, numRuns: 4000 },
    )
  })

  it('lose and change no byte', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          stream.map((text) => Buffer.from(text)),
          fc.uint8Array({ maxLength: 200 }).map(Buffer.from),
        ),
        places,
        (bytes, cuts) => {
          const { frames, rest } = split(cutAt(bytes, cuts))
          expect(Buffer.concat([...frames, rest ?? Buffer.alloc(0)]).equals(bytes)).toBe(true)
        },
      ),
      { seed: 20260102, numRuns: 4000 },
    )
  })

  it('keep frames whole that a consumer holds while more comes', () => {
    const texts = Array.from({ length: 200 }, (_, index) => `data: {"n":${index},"pad":"${'x'.repeat(index)}"}\n\n`)
    const { frames } = split(piecesOf(Buffer.from(texts.join('')), 13))
    expect(frames.map(String)).toEqual(texts)
  })

  it('give the same for one byte, seven bytes and all at once, with each line end', () => {
    const lines = [
      'event: a',
      'data: {"text":"naïve 🚂"}',
      '',
      ': ping',
      '',
      'data: 1',
      'data: 2',
      '',
      'data: [DONE]',
      '',
      '',
    ]
    const results = ['\n', '\r\n', '\r'].flatMap((end) => {
      const bytes = Buffer.from(lines.join(end))
      return [1, 7, bytes.length].map((size) => eventsOf(split(piecesOf(bytes, size)).frames))
    })
    for (const result of results) {
      expect(result).toEqual([
        { event: 'a', data: '{"text":"naïve 🚂"}' },
        { event: undefined, data: '1\n2' },
        { event: undefined, data: '[DONE]' },
      ])
    }
  })

  it('pass a frame on at its last byte, not one byte later', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const splitter = new FrameSplitter()
      const bytes = Buffer.from(`data: x${end}${end}`)
      // The second half of the last CRLF adds nothing: the line has ended with the CR.
      const needed = end === '\r\n' ? bytes.length - 1 : bytes.length
      let seen = 0
      for (let at = 0; at < needed; at++) {
        expect(seen).toBe(0)
        splitter.push(bytes.subarray(at, at + 1), () => seen++)
      }
      expect(seen).toBe(1)
    }
  })

  it('take a byte order mark at the start for none of the text', () => {
    const { frames } = split([Buffer.from('\uFEFFdata: x\n\ndata: \uFEFFy\n\n')])
    expect(eventsOf(frames)).toEqual([
      { event: undefined, data: 'x' },
      { event: undefined, data: '\uFEFFy' },
    ])
  })

  it('hand out what is left when the stream ends without a blank line', () => {
    const { frames, rest } = split([Buffer.from('data: 1\n\nda'), Buffer.from('ta: [DONE]')])
    expect(frames).toHaveLength(1)
    expect(readFrame(rest!)).toEqual({ event: undefined, data: '[DONE]' })
  })

  it('refuse a frame that never ends', () => {
    const splitter = new FrameSplitter()
    const piece = Buffer.alloc(4 * 1024 * 1024, 0x61)
    const feed = (): void => {
      for (let sum = 0; sum <= MAX_FRAME_BYTES; sum += piece.length) splitter.push(piece, () => {})
    }
    let thrown: unknown
    try {
      feed()
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(UpstreamFault)
    expect((thrown as UpstreamFault).kind).toBe('too_large')
  })

  it.each(['\n', '\r\n', '\r'])('refuse a frame of lines without end, but no stream of them (%j)', (end) => {
    const line = Buffer.from(`:${end}`)
    const fill = (lines: number): Buffer => Buffer.concat([Buffer.alloc(lines * line.length, line), Buffer.from(end)])
    const splitter = new FrameSplitter()
    let frames = 0
    for (let turn = 0; turn < 3; turn++) {
      for (const piece of piecesOf(fill(MOST_LINES), 65_537)) splitter.push(piece, () => frames++)
    }
    expect(frames).toBe(3)
    expect(() => splitter.push(fill(MOST_LINES + 1), () => frames++)).toThrow(
      new UpstreamFault('too_large', `An event of the stream has more than ${MOST_LINES} lines.`),
    )
  })

  it('cost linear time for a large frame that comes in small pieces', () => {
    const bytes = Buffer.from(`data: ${'y'.repeat(4 * 1024 * 1024)}\n\n`)
    const pieces = piecesOf(bytes, 1024)
    const { frames } = split(pieces)
    expect(frames).toHaveLength(1)
    expect(frames[0]!.equals(bytes)).toBe(true)
  })
})
