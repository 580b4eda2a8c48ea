// Releases requests in their order of arrival, as far as the oldest one that is still open.
import type { Ticket } from './ticket.ts'

/**
 * If one arm is faster, its bad events are known first: taken as they come in, they would make that arm look worse until the other has
 * caught up. So nothing counts before all that arrived earlier is decided, or has been waited for long enough. The bounds are fixed, so
 * what is decided at them is decided alike in both arms.
 */
export class Watermark {
  readonly #isDone: (ticket: Ticket) => boolean
  readonly #cap: number
  readonly #giveUp: (ticket: Ticket) => void
  readonly #release: (ticket: Ticket) => void
  #queue: Ticket[] = []
  #head = 0

  /**
   * @param cap milliseconds after its arrival at which an open ticket is given up
   * @param giveUp decides a ticket that is given up
   * @param release takes what is decided
   */
  constructor(
    isDone: (ticket: Ticket) => boolean,
    cap: number,
    giveUp: (ticket: Ticket) => void,
    release: (ticket: Ticket) => void,
  ) {
    this.#isDone = isDone
    this.#cap = cap
    this.#giveUp = giveUp
    this.#release = release
  }

  get waiting(): number {
    return this.#queue.length - this.#head
  }

  push(ticket: Ticket): void {
    this.#queue.push(ticket)
  }

  advance(now: number): void {
    const queue = this.#queue
    while (this.#head < queue.length) {
      const ticket = queue[this.#head]!
      if (!this.#isDone(ticket)) {
        if (now - ticket.at < this.#cap) break
        this.#giveUp(ticket)
      }
      this.#head++
      this.#release(ticket)
    }
    if (this.#head === queue.length) {
      queue.length = 0
      this.#head = 0
    } else if (this.#head > 512 && this.#head * 2 > queue.length) {
      this.#queue = queue.slice(this.#head)
      this.#head = 0
    }
  }
}
