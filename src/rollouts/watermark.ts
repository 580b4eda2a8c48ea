// Releases requests in their order of arrival, as far as the oldest one that is still open.
import type { Ticket } from './ticket.ts'

const smallest = 64

/**
 * If one arm is faster, its bad events are known first: taken as they come in, they would make that arm look worse until the other has
 * caught up. So nothing counts before all that arrived earlier is decided, or has been waited for long enough. The bounds are fixed, so
 * what is decided at them is decided alike in both arms.
 */
export class Watermark {
  readonly #isDone: (ticket: Ticket) => boolean
  readonly #cap: (ticket: Ticket) => number
  readonly #giveUp: (ticket: Ticket) => void
  readonly #release: (ticket: Ticket) => void
  /** A ring: what is released must not be held, or every request outlives the collector's first look at it. */
  #ring: (Ticket | undefined)[] = new Array<undefined>(smallest).fill(undefined)
  #mask = smallest - 1
  /** Counted from the first request on: released, and arrived. */
  #head = 0
  #tail = 0

  /**
   * @param cap milliseconds after its arrival at which an open ticket is given up
   * @param giveUp decides a ticket that is given up
   * @param release takes what is decided
   */
  constructor(
    isDone: (ticket: Ticket) => boolean,
    cap: (ticket: Ticket) => number,
    giveUp: (ticket: Ticket) => void,
    release: (ticket: Ticket) => void,
  ) {
    this.#isDone = isDone
    this.#cap = cap
    this.#giveUp = giveUp
    this.#release = release
  }

  get waiting(): number {
    return this.#tail - this.#head
  }

  push(ticket: Ticket): void {
    if (this.#tail - this.#head > this.#mask) this.#grow()
    this.#ring[this.#tail++ & this.#mask] = ticket
  }

  advance(now: number): void {
    while (this.#head < this.#tail) {
      const ring = this.#ring
      const at = this.#head & this.#mask
      const ticket = ring[at]!
      if (!this.#isDone(ticket)) {
        if (now - ticket.at < this.#cap(ticket)) return
        this.#giveUp(ticket)
      }
      ring[at] = undefined
      this.#head++
      this.#release(ticket)
    }
  }

  #grow(): void {
    const { length } = this.#ring
    const waiting = Array.from({ length }, (_, i) => this.#ring[(this.#head + i) & this.#mask])
    this.#ring = [...waiting, ...new Array<undefined>(length).fill(undefined)]
    this.#mask = length * 2 - 1
    this.#tail -= this.#head
    this.#head = 0
  }
}
