// Pieces of OpenAI chat replies, read one by one: parts, thoughts, annotations, log probabilities, and whose call a delta is.
import type { Annotation, ReasoningBlock, TokenLogprob, VendorBlock } from '../chat.ts'
import type { ChoiceWriter } from '../choice.ts'
import { numberOf } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'

/** A thought or a vendor's block. Pieces of one thought share a `key`. */
export function writeThought(block: ReasoningBlock | VendorBlock, writer: ChoiceWriter, key?: unknown): void {
  if (block.type === 'vendor') {
    writer.whole(block)
    return
  }
  const { origin, id, summary, redacted, text, signature } = block
  const told = {
    ...(origin === undefined ? {} : { origin }),
    ...(id === undefined ? {} : { id }),
    ...(summary === undefined ? {} : { summary }),
  }
  if (redacted !== undefined) {
    writer.whole({ type: 'reasoning', redacted, ...told })
    return
  }
  writer.begin({ type: 'reasoning', ...told }, key)
  writer.write({ type: 'reasoning', ...told }, text, key)
  if (signature !== undefined) writer.close(signature)
}

/**
 * Tells which call a delta belongs to. Servers leave out the index, repeat the id on each delta, or give every parallel call the
 * index 0 (Portkey #1275): a new id together with a name is always a new call.
 */
export class CallKeys {
  count = 0
  readonly #byIndex = new Map<number, { key: string; id: string | undefined }>()
  /** The first index that has a call of this id. */
  readonly #byId = new Map<string, number>()
  #last = 0

  find(index: number | undefined, id: string | undefined, name: string | undefined): { key: string; fresh: boolean } {
    const at =
      index ?? (id === undefined ? this.#last : (this.#byId.get(id) ?? (name === undefined ? this.#last : this.count)))
    this.#last = at
    const known = this.#byIndex.get(at)
    const other = known && id !== undefined && known.id !== undefined && id !== known.id && name !== undefined
    if (known && !other) return { key: known.key, fresh: false }
    if (known?.id !== undefined && this.#byId.get(known.id) === at) this.#byId.delete(known.id)
    if (id !== undefined && !this.#byId.has(id)) this.#byId.set(id, at)
    const key = String(this.count++)
    this.#byIndex.set(at, { key, id })
    return { key, fresh: true }
  }
}

/** Mistral writes content as parts: text, and thoughts that are lists of texts. */
export function readPart(part: Json | undefined, writer: ChoiceWriter): void {
  if (!part) return
  if (part.type === 'text' && typeof part.text === 'string') writer.write({ type: 'text' }, part.text)
  if (part.type !== 'thinking' || !Array.isArray(part.thinking)) return
  for (const piece of part.thinking) {
    const text = textOf(asObject(piece)?.text)
    if (text !== undefined) writer.write({ type: 'reasoning' }, text)
  }
}

/** `annotations` of OpenAI's form; others as the raw objects that they are. */
export function readAnnotations(list: unknown): Annotation[] {
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

/** `logprobs.content` or `logprobs.refusal`. */
export function readLogprobs(list: unknown): TokenLogprob[] {
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
  const logprob = numberOf(from?.logprob)
  if (typeof from?.token !== 'string' || logprob === undefined) return undefined
  return { token: from.token, logprob, bytes: Array.isArray(from.bytes) ? from.bytes : null }
}

/** Text that says something. */
export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined
