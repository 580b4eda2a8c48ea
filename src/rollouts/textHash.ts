// Names texts by a keyed hash that is cheap enough for the opening of a conversation with every request.
import type { Opening } from './opening.ts'
import { SipHash } from './sipHash.ts'

/** Bytes: two texts of 4096 characters, their lengths, and the name of a key. */
const room = 16_384
const header = 16
/** Characters up to which a text is written as UTF-8. Of a longer one the low bytes alone are: that tells long texts apart as well. */
const short = 64

/** Multipliers of xxHash32 (Yann Collet, 2012). */
const first = 0x9e3779b1
const second = 0x85ebca77

/**
 * A keyed hash of 64 bits in two stages. The text is folded to 128 bits by four lanes of xxHash32, which take a nanosecond for four
 * characters where HMAC-SHA-256 takes six; SipHash-1-3 under the installation's key makes of these what can be stored: without the key
 * nobody can try texts against it. Two texts fall together once in 2^64, a change within four characters of either never.
 *
 * Holds a text only while it works on it.
 */
export class TextHash {
  readonly #sip: SipHash
  readonly #bytes = Buffer.alloc(room)
  readonly #words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, room / 4)
  readonly #folded = new Int32Array(4)

  /** @param key 16 bytes */
  constructor(key: Uint8Array) {
    this.#sip = new SipHash(key)
  }

  /** 11 characters of base64url. */
  ofText(text: string): string {
    this.#words[0] = text.length
    return this.#digest(this.#write(text, header))
  }

  /** Of a conversation's beginning and the API key's name. Lengths in front, so that no two read the same when they are put together. */
  ofOpening({ system, user }: Opening, apiKey = ''): string {
    const words = this.#words
    words[0] = system.length
    words[1] = user.length
    words[2] = apiKey.length
    words[3] = 1
    return this.#digest(this.#write(apiKey, this.#write(user, this.#write(system, header))))
  }

  /** @returns where the text ends */
  #write(text: string, at: number): number {
    const { length } = text
    if (length > short) return at + this.#bytes.write(text, at, 'latin1')
    const bytes = this.#bytes
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 127) return at + bytes.write(text, at, 'utf8')
      bytes[at + i] = code
    }
    return at + length
  }

  #digest(end: number): string {
    const count = ((end + 15) >> 4) * 4
    this.#fold(count)
    // Nothing stays of a prompt; and the next text finds zeros behind its end.
    this.#words.fill(0, 0, count)
    const sip = this.#sip
    sip.hash(this.#folded, 4)
    const { high, low } = sip
    const c = characters
    // Short enough for the engine to make it at one go.
    return String.fromCharCode(
      c[high >>> 26]!,
      c[(high >>> 20) & 63]!,
      c[(high >>> 14) & 63]!,
      c[(high >>> 8) & 63]!,
      c[(high >>> 2) & 63]!,
      c[((high & 3) << 4) | (low >>> 28)]!,
      c[(low >>> 22) & 63]!,
      c[(low >>> 16) & 63]!,
      c[(low >>> 10) & 63]!,
      c[(low >>> 4) & 63]!,
      c[(low & 15) << 2]!,
    )
  }

  /** @param count of words: a multiple of four */
  #fold(count: number): void {
    const words = this.#words
    let a = first
    let b = second
    let c = 0
    let d = -first
    for (let i = 0; i < count; i += 4) {
      a = (a + Math.imul(words[i]!, second)) | 0
      a = Math.imul((a << 13) | (a >>> 19), first)
      b = (b + Math.imul(words[i + 1]!, second)) | 0
      b = Math.imul((b << 13) | (b >>> 19), first)
      c = (c + Math.imul(words[i + 2]!, second)) | 0
      c = Math.imul((c << 13) | (c >>> 19), first)
      d = (d + Math.imul(words[i + 3]!, second)) | 0
      d = Math.imul((d << 13) | (d >>> 19), first)
    }
    const folded = this.#folded
    folded[0] = a
    folded[1] = b
    folded[2] = c
    folded[3] = d
  }
}

const characters = Uint8Array.from(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'))
