// Gathers what is said in a request in words that no vendor owns: the same conversation gets the same reply whichever wire it came by.
import type { Asked, ToolResult } from './asked.ts'
import { countTokens } from './prose.ts'

export type Side = 'user' | 'assistant'
export type MediaKind = keyof Asked['media']

// OpenAI's price list for images: 85 tokens at low detail; 765 is a 1024 x 1024 image at high detail.
const LOW_IMAGE_TOKENS = 85
const IMAGE_TOKENS = 765
const FILE_TOKENS = 500
/** Base64 characters of 16 kHz sound that make about a token; the exact number matters to nobody. */
const AUDIO_CHARACTERS_A_TOKEN = 4000

/** What one side says until the other answers. Vendors cut it differently into messages, so it is joined here. */
interface Turn {
  side: Side
  texts: string[]
  media: string[]
  calls: [name: string, input: string][]
  results: ({ order: number } & ToolResult)[]
}

/** Filled by a wire while it checks a request, message by message. */
export class Conversation {
  readonly media: Asked['media'] = { images: 0, audio: 0, files: 0 }
  mediaTokens = 0
  audioTokens = 0
  readonly #instructions: string[] = []
  readonly #turns: Turn[] = []
  /** All text, for counting. */
  readonly #texts: string[] = []
  #calls = 0

  /** A system or developer message, wherever it stands: some vendors have one place for all of them. */
  instruct(text: string): void {
    this.#instructions.push(text)
    this.#texts.push(text)
  }

  say(side: Side, text: string): void {
    if (text !== '') this.#turnOf(side).texts.push(text)
    this.#texts.push(text)
  }

  /** `source`: base64 bytes or an address. Its media type is left out, as vendors have different names for one. */
  see(side: Side, kind: MediaKind, source: string, isLow = false): void {
    this.#turnOf(side).media.push(`${kind} ${source.length} ${source.slice(0, 200)}`)
    this.media[kind]++
    const heard = kind === 'audio' ? Math.ceil(source.length / AUDIO_CHARACTERS_A_TOKEN) : 0
    this.audioTokens += heard
    if (kind === 'images') this.mediaTokens += isLow ? LOW_IMAGE_TOKENS : IMAGE_TOKENS
    else this.mediaTokens += kind === 'files' ? FILE_TOKENS : heard
  }

  /** A tool call in the history; `input` is a JSON value or the text of one. Returns its place, which its result names. */
  call(name: string, input: unknown): number {
    const text = canonical(input)
    this.#turnOf('assistant').calls.push([name, text])
    this.#texts.push(`${name} ${text}`)
    return this.#calls++
  }

  /** What a tool answered. `order`: the place of its call. */
  answer(order: number, name: string, text: string): void {
    this.#turnOf('user').results.push({ order, name, text })
    this.#texts.push(text)
  }

  /** Tokens of all text and media by the usual rules of thumb. */
  get tokens(): number {
    return countTokens(this.#texts.join('')) + this.mediaTokens
  }

  /** All instructions: a vendor without a JSON mode is asked for JSON in them. */
  get instructions(): string {
    return this.#instructions.join('\n')
  }

  /** What a reply depends on. */
  summary(): Pick<Asked, 'conversation' | 'question' | 'media' | 'toolResults'> {
    const sorted = this.#turns.map(({ results, ...turn }) => ({
      ...turn,
      results: [...results].sort((a, b) => a.order - b.order).map(({ name, text }) => ({ name, text })),
    }))
    const asking = sorted.findLastIndex(({ side, texts, media }) => side === 'user' && texts.length + media.length > 0)
    return {
      conversation: JSON.stringify([
        this.#instructions.join(''),
        ...sorted.map(({ side, texts, media, calls, results }) => [side, texts.join(''), media, calls, results]),
      ]),
      question: sorted[asking]?.texts.join('') ?? '',
      media: this.media,
      // Results that stand in the turn of the question were answered by it.
      toolResults: sorted.slice(asking + 1).flatMap(({ results }) => results),
    }
  }

  #turnOf(side: Side): Turn {
    const last = this.#turns.at(-1)
    if (last?.side === side) return last
    const turn: Turn = { side, texts: [], media: [], calls: [], results: [] }
    this.#turns.push(turn)
    return turn
  }
}

/** One spelling for equal values: clients and vendors space JSON as they like. Text that is no JSON stays as it is. */
function canonical(input: unknown): string {
  try {
    return JSON.stringify(typeof input === 'string' ? JSON.parse(input) : input)
  } catch {
    // Also a value so deep that it can be read and not written.
    return typeof input === 'string' ? input : ''
  }
}
