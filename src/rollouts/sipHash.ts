// SipHash-1-3: a short keyed hash that tells nothing of what went in to whoever lacks the key.

/**
 * SipHash-1-3 with 64 bits of result (Aumasson and Bernstein, 2012; with these rounds in the hash tables of Rust and Python), for messages
 * of whole blocks of eight bytes. Sixty-four bits are halves of thirty-two here, because that is what the engine adds without allocating.
 */
export class SipHash {
  /** The halves of the last result, as signed integers. */
  high = 0
  low = 0
  readonly #key: Int32Array

  /** @param key 16 bytes */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, 16)
    this.#key = Int32Array.from([0, 4, 8, 12], (at) => view.getInt32(at, true))
  }

  /** @param words the message, little-endian. @param count of words that belong to it: even, less than 64 */
  hash(words: Int32Array, count: number): void {
    const key = this.#key
    const [k0, k1, k2, k3] = [key[0]!, key[1]!, key[2]!, key[3]!]
    let al = k0 ^ 0x70736575
    let ah = k1 ^ 0x736f6d65
    let bl = k2 ^ 0x6e646f6d
    let bh = k3 ^ 0x646f7261
    let cl = k0 ^ 0x6e657261
    let ch = k1 ^ 0x6c796765
    let dl = k2 ^ 0x79746573
    let dh = k3 ^ 0x74656462
    // After the message a block with its length, and one without anything that is mixed for longer.
    for (let i = 0; i <= count + 2; i += 2) {
      const isLast = i > count
      const ml = i < count ? words[i]! : 0
      const mh = i < count ? words[i + 1]! : isLast ? 0 : count << 26
      if (isLast) cl ^= 0xff
      dl ^= ml
      dh ^= mh
      for (let round = isLast ? 3 : 1; round > 0; round--) {
        let sum = (al >>> 0) + (bl >>> 0)
        ah = (ah + bh + (sum > 0xffffffff ? 1 : 0)) | 0
        al = sum | 0
        let kept = (bl << 13) | (bh >>> 19)
        bh = ((bh << 13) | (bl >>> 19)) ^ ah
        bl = kept ^ al
        kept = al
        al = ah
        ah = kept
        sum = (cl >>> 0) + (dl >>> 0)
        ch = (ch + dh + (sum > 0xffffffff ? 1 : 0)) | 0
        cl = sum | 0
        kept = (dl << 16) | (dh >>> 16)
        dh = ((dh << 16) | (dl >>> 16)) ^ ch
        dl = kept ^ cl
        sum = (al >>> 0) + (dl >>> 0)
        ah = (ah + dh + (sum > 0xffffffff ? 1 : 0)) | 0
        al = sum | 0
        kept = (dl << 21) | (dh >>> 11)
        dh = ((dh << 21) | (dl >>> 11)) ^ ah
        dl = kept ^ al
        sum = (cl >>> 0) + (bl >>> 0)
        ch = (ch + bh + (sum > 0xffffffff ? 1 : 0)) | 0
        cl = sum | 0
        kept = (bl << 17) | (bh >>> 15)
        bh = ((bh << 17) | (bl >>> 15)) ^ ch
        bl = kept ^ cl
        kept = cl
        cl = ch
        ch = kept
      }
      al ^= ml
      ah ^= mh
    }
    this.low = al ^ bl ^ cl ^ dl
    this.high = ah ^ bh ^ ch ^ dh
  }
}
