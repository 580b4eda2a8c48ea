// Gemini's grounding and citation metadata as annotations that are placed in the text.
import type { Annotation } from '../chat.ts'
import { asObject, type Json } from '../field.ts'

/** The sources of one candidate. They mostly come after the text, and in a stream more than once: each is told once, at the end. */
export class Citations {
  #text = ''
  #chunks: Json[] = []
  readonly #supports: Json[] = []
  readonly #sources: Json[] = []

  /** Text of the answer, thoughts excluded. */
  say(text: string): void {
    this.#text += text
  }

  learnGrounding(metadata: Json): void {
    const chunks = objectsIn(metadata.groundingChunks)
    if (chunks.length > 0) this.#chunks = chunks
    this.#supports.push(...objectsIn(metadata.groundingSupports))
  }

  /** `citationSources` in the Gemini API, `citations` on Vertex. */
  learnSources(metadata: Json): void {
    this.#sources.push(...objectsIn(metadata.citationSources), ...objectsIn(metadata.citations))
  }

  annotations(): Annotation[] {
    const told = new Map<string, Annotation>()
    const tell = (annotation: Annotation): void => {
      const key = JSON.stringify([annotation.start, annotation.end, annotation.url ?? annotation.raw])
      if (!told.has(key)) told.set(key, annotation)
    }
    if (this.#chunks.length > 0 || this.#supports.length > 0 || this.#sources.length > 0) {
      const places = new Places(this.#text)
      const cited = new Set<number>()
      for (const support of this.#supports) {
        const segment = asObject(support.segment) ?? {}
        for (const index of Array.isArray(support.groundingChunkIndices) ? support.groundingChunkIndices : []) {
          const chunk = this.#chunks[Number(index)]
          if (!chunk) continue
          cited.add(Number(index))
          tell({ ...sourceOf(chunk), ...places.of(segment), raw: { segment, chunk } })
        }
      }
      // A source that supports no particular words is still a source.
      this.#chunks.forEach((chunk, index) => {
        if (!cited.has(index)) tell({ ...sourceOf(chunk), raw: { chunk } })
      })
      for (const source of this.#sources) tell({ ...sourceOf({ web: source }), ...places.of(source), raw: source })
    }
    return [...told.values()]
  }
}

/** A chunk is `{web | retrievedContext | maps | image: {uri, title, text?}}`. */
function sourceOf(chunk: Json): Annotation {
  const source = asObject(chunk.web ?? chunk.retrievedContext ?? chunk.maps ?? chunk.image) ?? {}
  const annotation: Annotation = {}
  const url = source.uri ?? source.sourceUri
  if (typeof url === 'string' && url !== '') annotation.url = url
  if (typeof source.title === 'string' && source.title !== '') annotation.title = source.title
  if (typeof source.text === 'string') annotation.quote = source.text
  return annotation
}

/** Bytes of the text that are gone through for its segments: an answer's many times over. Those beyond have no place. */
const MOST_SEARCHED = 32 * 1024 * 1024

/** Turns Google's byte offsets (UTF-8) into code points. Where they do not fit, the segment's own words say where it is. */
class Places {
  readonly #text: string
  readonly #bytes: Buffer
  #searched = 0
  /** Where the last segment began, and the code points before it: most come in their order. */
  #last = { at: 0, points: 0 }

  constructor(text: string) {
    this.#text = text
    this.#bytes = Buffer.from(text)
  }

  of(segment: Json): { start?: number; end?: number } {
    const start = typeof segment.startIndex === 'number' ? segment.startIndex : 0
    if (typeof segment.endIndex !== 'number' || this.#searched > MOST_SEARCHED) return {}
    const words = this.#slice(start, segment.endIndex)
    if (typeof segment.text === 'string' && words !== segment.text) {
      this.#searched += this.#bytes.length
      const found = placeOf(segment.text, this.#text)
      if (found === -1) return {}
      const before = codePoints(this.#text.slice(0, found))
      return { start: before, end: before + codePoints(segment.text) }
    }
    const before = this.#pointsBefore(start)
    return { start: before, end: before + codePoints(words) }
  }

  #slice(start: number, end: number): string {
    const bytes = this.#bytes.subarray(Math.max(0, start), Math.max(0, end))
    this.#searched += bytes.length
    return bytes.toString('utf8')
  }

  #pointsBefore(start: number): number {
    const { at, points } = start < this.#last.at ? { at: 0, points: 0 } : this.#last
    const before = points + codePoints(this.#slice(at, start))
    // Not in the middle of a character: what goes on from there would count its rest.
    if ((this.#bytes[start]! & 0xc0) !== 0x80) this.#last = { at: start, points: before }
    return before
  }
}

/**
 * As `text.indexOf(words)`, in linear time (Knuth, Morris and Pratt). The engine's takes the length of both multiplied for words that all but
 * come everywhere, minutes for half a megabyte of them.
 */
function placeOf(words: string, text: string): number {
  if (words.length > text.length) return -1
  if (words === '') return 0
  // How many of the first characters are the last ones, too, of those up to each place.
  const again = new Uint32Array(words.length)
  let same = 0
  for (let at = 1; at < words.length; at++) {
    const code = words.charCodeAt(at)
    while (same > 0 && words.charCodeAt(same) !== code) same = again[same - 1]!
    if (words.charCodeAt(same) === code) same++
    again[at] = same
  }
  same = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    while (same > 0 && words.charCodeAt(same) !== code) same = again[same - 1]!
    if (words.charCodeAt(same) === code) same++
    if (same === words.length) return at + 1 - same
  }
  return -1
}

/** Length of a text in code points: a pair of surrogates is one. */
function codePoints(text: string): number {
  let count = text.length
  for (let at = 0; at < text.length; at++) if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) count--
  return count
}

const objectsIn = (list: unknown): Json[] =>
  Array.isArray(list) ? list.map(asObject).filter((item) => item !== undefined) : []
