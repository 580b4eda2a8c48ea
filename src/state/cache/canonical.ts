// The canonical form of a JSON object's bytes: equal for bodies that differ only in white space, the order of keys, and named keys.
// It is made of the bytes and not of parsed values: `JSON.parse` reads 12345678901234567890 and …891 as one number, and takes the last
// of two equal keys where the upstream may take the first.
import { hash } from 'node:crypto'
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
} from '../../dialects/jsonBytes.ts'
import type { Field, Fields } from '../../dialects/splice.ts'

/** Containers above this many bytes stand as their digest in what holds them, so that sorting moves no byte twice. */
const LARGE = 32 * 1024
/** Begins such a digest: no JSON value begins with it. */
const DIGEST = 0x01
/** Bytes of working memory that are kept between requests. */
const KEPT = 256 * 1024

/** Names that do not count: `true`, or the names inside the object of that name. */
export interface Ignored {
  readonly names: ReadonlyMap<string, true | Ignored>
  /** A bit per length, quotes included, so that most keys need not be looked up. */
  readonly lengths: number
}

/** @param names ASCII, at most 29 characters each */
export function ignoreNames(names: Record<string, true | Ignored>): Ignored {
  let lengths = 0
  for (const name in names) lengths |= 1 << (name.length + 2)
  return { names: new Map(Object.entries(names)), lengths }
}

export class CanonicalDigest {
  #raw: Buffer = Buffer.alloc(0)
  #out: Buffer = Buffer.allocUnsafeSlow(16 * 1024)
  #spare: Buffer = Buffer.alloc(0)
  #at = 0
  #length = 0
  /** Start, end of key and end of value of each member of the objects that are open, in `#out`. */
  readonly #members: number[] = []
  #top = 0

  /**
   * SHA-256 of `prefix` and of the canonical form of the object whose fields are `fields`, as base64url. Linear, and never reads past the
   * end. The bytes must be a valid JSON document (its owner has parsed it) that nests no deeper than the stack allows, and of the outermost
   * names none may come twice (such a body is refused).
   */
  of(prefix: string, raw: Buffer, fields: Fields, ignored: Ignored): string {
    const room = prefix.length * 3 + raw.length + 64
    if (this.#out.length < room) this.#out = Buffer.allocUnsafeSlow(Math.max(room, 2 * this.#out.length))
    this.#raw = raw
    this.#length = this.#out.write(prefix, 0)
    this.#top = 0
    this.#fields(fields, ignored)
    const digest = hash('sha256', new Uint8Array(this.#out.buffer, this.#out.byteOffset, this.#length), 'base64url')
    this.#raw = nothing
    if (this.#out.length > KEPT) this.#out = Buffer.allocUnsafeSlow(16 * 1024)
    if (this.#spare.length > KEPT) this.#spare = nothing
    return digest
  }

  /**
   * The outermost object, whose fields were found before: in order from the start, so that nothing is moved. Its order is another one than
   * that of `#object`.
   */
  #fields({ byName }: Fields, { names }: Ignored): void {
    const order: string[] = []
    for (const name of byName.keys()) if (names.get(name) !== true) order.push(name)
    if (order.length > 32) order.sort(compareNames)
    else insertionSort(order, compareNames)
    const out = this.#out
    out[this.#length++] = OPEN_BRACE
    for (let n = 0; n < order.length; n++) {
      const name = order[n]!
      const { keyStart, valueStart, valueEnd } = byName.get(name) as Field
      const start = this.#length
      this.#at = keyStart
      this.#string()
      out[this.#length++] = COLON
      this.#at = valueStart
      const first = this.#raw[valueStart]
      const from = this.#length
      if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
        this.#copy(valueEnd)
        out[this.#length++] = COMMA
        continue
      }
      const rule = names.get(name)
      if (typeof rule === 'object' && first === OPEN_BRACE) this.#object(rule)
      else this.#value()
      // An object of which nothing counts counts for nothing.
      if (typeof rule === 'object' && this.#length === from + 2) this.#length = start
      else out[this.#length++] = COMMA
    }
  }

  #value(): void {
    const first = this.#raw[this.#at]!
    if (first === QUOTE) this.#string()
    else if (first === OPEN_BRACE) this.#condense(this.#object(undefined))
    else if (first === OPEN_BRACKET) this.#condense(this.#array())
    else this.#scalar()
  }

  /** Returns where in `#out` it begins. */
  #object(ignored: Ignored | undefined): number {
    const members = this.#members
    const base = this.#top
    const start = this.#length
    this.#out[this.#length++] = OPEN_BRACE
    let sorted = true
    this.#at++
    this.#skipSpace()
    while (this.#raw[this.#at] === QUOTE) {
      const memberStart = this.#length
      const keyStart = this.#at
      this.#string()
      const rule = ignored === undefined ? undefined : ruleOf(ignored, this.#raw, keyStart, this.#at)
      const keyEnd = this.#length
      this.#skipSpace()
      this.#at++
      this.#out[this.#length++] = COLON
      this.#skipSpace()
      const valueStart = this.#length
      if (typeof rule === 'object' && this.#raw[this.#at] === OPEN_BRACE) this.#object(rule)
      else this.#value()
      // An object of which nothing counts counts for nothing.
      if (rule === true || (typeof rule === 'object' && this.#length === valueStart + 2)) this.#length = memberStart
      else {
        sorted &&= this.#top === base || this.#compare(this.#top - 3, memberStart, keyEnd) <= 0
        members[this.#top++] = memberStart
        members[this.#top++] = keyEnd
        members[this.#top++] = this.#length
        this.#out[this.#length++] = COMMA
      }
      this.#skipSpace()
      if (this.#raw[this.#at] !== COMMA) break
      this.#at++
      this.#skipSpace()
    }
    this.#at++
    if (this.#top > base) this.#length--
    if (!sorted) this.#sort(base, start + 1)
    this.#top = base
    this.#out[this.#length++] = CLOSE_BRACE
    return start
  }

  #array(): number {
    const start = this.#length
    this.#out[this.#length++] = OPEN_BRACKET
    this.#at++
    this.#skipSpace()
    if (this.#raw[this.#at] !== CLOSE_BRACKET) {
      for (;;) {
        this.#value()
        this.#skipSpace()
        if (this.#raw[this.#at] !== COMMA) break
        this.#out[this.#length++] = COMMA
        this.#at++
        this.#skipSpace()
      }
    }
    this.#at++
    this.#out[this.#length++] = CLOSE_BRACKET
    return start
  }

  /** The string as it is written: `\u00e9` and `é` are two texts here, which costs a miss and no more. */
  #string(): void {
    const end = stringEnd(this.#raw, this.#at)
    this.#copy(end)
  }

  #scalar(): void {
    this.#copy(scalarEnd(this.#raw, this.#at))
  }

  /** Takes the bytes up to `end` as they are: few by hand, since a call out of JavaScript costs as much as 60 of them. */
  #copy(end: number): void {
    const raw = this.#raw
    const out = this.#out
    let at = this.#at
    let length = this.#length
    if (end - at > 64) length += raw.copy(out, length, at, end)
    else while (at < end) out[length++] = raw[at++]!
    this.#at = end
    this.#length = length
  }

  #skipSpace(): void {
    this.#at = skipSpace(this.#raw, this.#at)
  }

  /** Compares the key of a member with one in `#out`, by length first: the usual `role`, `content` is in order then. */
  #compare(member: number, start: number, end: number): number {
    const other = this.#members[member]!
    const length = this.#members[member + 1]! - other
    if (length !== end - start) return length - (end - start)
    for (let at = 0; at < length; at++) {
      const difference = this.#out[other + at]! - this.#out[start + at]!
      if (difference !== 0) return difference
    }
    return 0
  }

  readonly #inOrder = (a: number, b: number): number =>
    this.#compare(a, this.#members[b]!, this.#members[b + 1]!) || a - b

  /** Puts the members from `base` on in order; those of one name stay in theirs. */
  #sort(base: number, start: number): void {
    const members = this.#members
    const order: number[] = []
    for (let at = base; at < this.#top; at += 3) order.push(at)
    if (order.length > 32) order.sort(this.#inOrder)
    else insertionSort(order, this.#inOrder)
    const size = this.#length - start
    if (this.#spare.length < size) this.#spare = Buffer.allocUnsafeSlow(Math.max(4096, 2 * size))
    const spare = this.#spare
    const out = this.#out
    out.copy(spare, 0, start, this.#length)
    let to = start
    for (const member of order) {
      if (to > start) out[to++] = COMMA
      to += spare.copy(out, to, members[member]! - start, members[member + 2]! - start)
    }
  }

  #condense(start: number): void {
    if (this.#length - start <= LARGE) return
    const digest = hash('sha256', this.#out.subarray(start, this.#length), 'buffer')
    this.#out[start] = DIGEST
    this.#length = start + 1 + digest.copy(this.#out, start + 1)
  }
}

const nothing = Buffer.alloc(0)

function ruleOf({ names, lengths }: Ignored, raw: Buffer, start: number, end: number): true | Ignored | undefined {
  const length = end - start
  if (length > 31 || ((lengths >> length) & 1) === 0) return undefined
  return names.get(raw.latin1Slice(start + 1, end - 1))
}

/** By length first: that tells most names apart. */
const compareNames = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1)

/** Faster than the engine's for the few keys of a request. */
function insertionSort<Item>(order: Item[], compare: (a: Item, b: Item) => number): void {
  for (let at = 1; at < order.length; at++) {
    const moved = order[at]!
    let to = at
    for (; to > 0 && compare(order[to - 1]!, moved) > 0; to--) order[to] = order[to - 1]!
    order[to] = moved
  }
}
