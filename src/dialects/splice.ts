// Edits named top-level fields of a JSON object in its bytes, so that everything else reaches the other side as it was written.
// `JSON.parse` then `JSON.stringify` is not faithful: it rounds 12345678901234567890 and writes 1.0 as 1.
import { Refusal } from './errors.ts'
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  scalarEnd,
  skipSpace,
  stringEnd,
} from './jsonBytes.ts'

/** Byte offsets of one field: its key's opening quote, its value's first byte, and the byte after its value. */
export interface Field {
  keyStart: number
  valueStart: number
  valueEnd: number
}

/** Where the fields of one JSON object lie. */
export interface Fields {
  /** By decoded name; for a name that comes twice, the last one (as `JSON.parse` takes it). */
  byName: ReadonlyMap<string, Field>
  /** Names that come more than once, or that differ from another only as case-insensitive readers (Go's `encoding/json`) ignore. */
  duplicates: readonly string[]
  /** Offset of the opening brace, or -1 when there is no object. */
  open: number
  /** Offset of the closing brace, or -1 when the object never closes. */
  close: number
}

/**
 * Finds the fields of the JSON object that starts at `from`. Does not validate: for bytes that are not JSON it returns what it
 * could read, and the caller's `JSON.parse` is the judge. Never recurses, never reads past the end, linear in the length.
 * @throws Refusal `json_too_deep` when values nest deeper than `maxDepth` (the object itself is depth 1)
 */
export function scanFields(raw: Buffer, from = 0, maxDepth = Number.POSITIVE_INFINITY): Fields {
  const byName = new Map<string, Field>()
  const duplicates: string[] = []
  const open = skipSpace(raw, from)
  if (raw[open] !== OPEN_BRACE) {
    if (raw[open] === OPEN_BRACKET) skipValue(raw, open, maxDepth)
    return { byName, duplicates, open: -1, close: -1 }
  }
  let at = skipSpace(raw, open + 1)
  while (raw[at] === QUOTE) {
    const keyStart = at
    const keyEnd = stringEnd(raw, at)
    const name = keyName(raw, keyStart, keyEnd)
    at = skipSpace(raw, keyEnd)
    if (raw[at] !== COLON) return { byName, duplicates, open, close: -1 }
    const valueStart = skipSpace(raw, at + 1)
    const valueEnd = skipValue(raw, valueStart, maxDepth - 1)
    if (byName.has(name)) duplicates.push(name)
    byName.set(name, { keyStart, valueStart, valueEnd })
    at = skipSpace(raw, valueEnd)
    if (raw[at] !== COMMA) break
    at = skipSpace(raw, at + 1)
  }
  for (const name of byName.keys()) {
    if (plainName.test(name)) continue
    const folded = foldName(name)
    if (folded !== name && byName.has(folded)) duplicates.push(name)
  }
  return { byName, duplicates, open, close: raw[at] === CLOSE_BRACE ? at : -1 }
}

/** Offsets of the elements of the JSON array that starts at `from`: pairs of first byte and byte after. */
export function scanElements(raw: Buffer, from: number): { start: number; end: number }[] {
  const elements: { start: number; end: number }[] = []
  if (raw[from] !== OPEN_BRACKET) return elements
  let at = skipSpace(raw, from + 1)
  while (at < raw.length && raw[at] !== CLOSE_BRACKET) {
    const end = skipValue(raw, at, Number.POSITIVE_INFINITY)
    if (end === at) break
    elements.push({ start: at, end })
    at = skipSpace(raw, end)
    if (raw[at] !== COMMA) break
    at = skipSpace(raw, at + 1)
  }
  return elements
}

/** One replacement of bytes: `start` to before `end` become `bytes`. */
export interface Splice {
  start: number
  end: number
  bytes: Buffer
}

/** The edit that gives the field `name` the JSON text `json`: in place when it is there, else after the last field. */
export function setField(fields: Fields, name: string, json: string): Splice {
  const field = fields.byName.get(name)
  if (field) return { start: field.valueStart, end: field.valueEnd, bytes: Buffer.from(json) }
  const at = lastValueEnd(fields)
  const text = `${JSON.stringify(name)}:${json}`
  return at === -1
    ? { start: fields.open + 1, end: fields.open + 1, bytes: Buffer.from(text) }
    : { start: at, end: at, bytes: Buffer.from(`,${text}`) }
}

/** The edits that take fields out, each run of them with one comma. Names that are not there change nothing. */
export function removeFields(fields: Fields, names: readonly string[]): Splice[] {
  const gone = new Set(names.flatMap((name) => fields.byName.get(name) ?? []))
  if (gone.size === 0) return []
  const inOrder = [...fields.byName.values()].sort((a, b) => a.keyStart - b.keyStart)
  return removeRuns(inOrder.map((field) => ({ start: field.keyStart, end: field.valueEnd, gone: gone.has(field) })))
}

/** The same of what stands between commas, in its order. */
function removeRuns(inOrder: readonly { start: number; end: number; gone: boolean }[]): Splice[] {
  const splices: Splice[] = []
  const bytes = Buffer.alloc(0)
  let before: number | undefined
  for (let at = 0; at < inOrder.length; at++) {
    const first = inOrder[at]!
    if (!first.gone) {
      before = first.end
      continue
    }
    while (inOrder[at + 1]?.gone) at++
    const { end } = inOrder[at]!
    if (before !== undefined) splices.push({ start: before, end, bytes })
    else splices.push({ start: first.start, end: inOrder[at + 1]?.start ?? end, bytes })
  }
  return splices
}

/** What to take out of a JSON value: fields of an object, and the same further inside, by name or by position in an array. */
export interface Cut {
  readonly fields: readonly string[]
  /** Fields that get another name. */
  readonly renamed?: ReadonlyMap<string, string> | undefined
  /** Fields that get another value, as JSON text, whether they are there or not. */
  readonly put?: ReadonlyMap<string, string> | undefined
  /** Positions of elements of an array. */
  readonly elements?: ReadonlySet<number> | undefined
  readonly inside: ReadonlyMap<string | number, Cut>
}

/** The edits that do so for the value that starts at `from`. What is to go and is not there changes nothing. Linear in the length for each level. */
export function cutFields(raw: Buffer, from: number, { fields, renamed, put, elements: gone, inside }: Cut): Splice[] {
  if (raw[from] === OPEN_BRACKET) {
    const elements = scanElements(raw, from)
    const within = [...inside].flatMap(([at, cut]) =>
      elements[at as number] ? cutFields(raw, elements[at as number]!.start, cut) : [],
    )
    return gone ? [...removeRuns(elements.map((span, at) => ({ ...span, gone: gone.has(at) }))), ...within] : within
  }
  const found = scanFields(raw, from)
  const within = [...inside].flatMap(([name, cut]) => {
    const field = found.byName.get(name as string)
    return field ? cutFields(raw, field.valueStart, cut) : []
  })
  const splices = [...removeFields(found, fields), ...within]
  for (const [name, to] of renamed ?? []) {
    const field = found.byName.get(name)
    if (field) splices.push(renameField(field, to))
  }
  for (const [name, json] of put ?? []) splices.push(setField(found, name, json))
  return splices
}

/** The edit that gives a field another name. */
export const renameField = ({ keyStart, valueStart }: Field, to: string): Splice => ({
  start: keyStart,
  end: valueStart,
  bytes: Buffer.from(`${JSON.stringify(to)}:`),
})

/** Applies edits that do not overlap. Two insertions at one place keep their order. The input is not changed. */
export function applySplices(raw: Buffer, splices: readonly Splice[]): Buffer {
  const parts: Buffer[] = []
  let at = 0
  for (const splice of [...splices].sort((a, b) => a.start - b.start)) {
    parts.push(raw.subarray(at, splice.start), splice.bytes)
    at = splice.end
  }
  parts.push(raw.subarray(at))
  return Buffer.concat(parts)
}

function lastValueEnd(fields: Fields): number {
  let end = -1
  for (const field of fields.byName.values()) end = Math.max(end, field.valueEnd)
  return end
}

const plainName = /^[a-z0-9_]*$/

/** Folds a name as Go's `encoding/json` compares keys: case-insensitively, with U+017F and U+212A read as s and k. */
export function foldName(name: string): string {
  return name.toUpperCase().toLowerCase()
}

/** The decoded name of a key: `"mod\u0065l"` is `model`. */
function keyName(raw: Buffer, start: number, end: number): string {
  const text = raw.toString('utf8', start, end)
  if (!text.includes('\\')) return text.slice(1, text.endsWith('"') && text.length > 1 ? -1 : undefined)
  try {
    return JSON.parse(text) as string
  } catch {
    return text
  }
}

/** The offset after the value that starts at `from`; the end of the bytes when it never ends. */
function skipValue(raw: Buffer, from: number, maxDepth: number): number {
  const first = raw[from]
  if (first === QUOTE) return stringEnd(raw, from)
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return scalarEnd(raw, from)
  let depth = 0
  let at = from
  while (at < raw.length) {
    const byte = raw[at]
    if (byte === QUOTE) {
      at = stringEnd(raw, at)
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (++depth > maxDepth)
        throw new Refusal('json_too_deep', 'The JSON body nests deeper than this gateway accepts.')
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (--depth === 0) return at + 1
    }
    at++
  }
  return raw.length
}
