// Gathers the pieces that a message comes in: small ones are copied together.

/** Bytes below which a piece is copied. */
const SMALL = 1024
/** Bytes of the first piece of memory that small ones are copied into, and of the others. */
const SLABS = { first: 4 * 1024, next: 64 * 1024 }

/**
 * A piece that is kept by itself takes up to 400 bytes beside its own, and whoever sends chooses how long pieces are: a body of five million
 * chunks of one byte took two gigabytes. A message that comes in one piece is not copied.
 */
export class Pieces {
  /** Bytes so far. */
  size = 0
  readonly #done: Buffer[] = []
  #slab: Buffer | undefined
  /** What of the slab is in use, and from where on it is not among those that are done. */
  #used = 0
  #from = 0

  add(piece: Buffer): void {
    this.size += piece.length
    if (piece.length >= SMALL || (this.#done.length === 0 && this.#slab === undefined)) {
      this.#cut()
      this.#done.push(piece)
    } else this.#copy(piece)
  }

  /** All of them in one. */
  whole(): Buffer {
    this.#cut()
    return this.#done.length === 1 ? this.#done[0]! : Buffer.concat(this.#done, this.size)
  }

  #copy(piece: Buffer): void {
    if (this.#slab === undefined || this.#slab.length - this.#used < piece.length) {
      this.#cut()
      this.#slab = Buffer.allocUnsafeSlow(this.#slab === undefined ? SLABS.first : SLABS.next)
      this.#used = 0
      this.#from = 0
    }
    this.#used += piece.copy(this.#slab, this.#used)
  }

  /** What comes next does not belong behind what was copied last; the rest of the slab is good for more. */
  #cut(): void {
    if (this.#slab === undefined || this.#used === this.#from) return
    this.#done.push(this.#slab.subarray(this.#from, this.#used))
    this.#from = this.#used
  }
}
