// Adds up money and requests of the last hour or day, and of the same hour a day earlier, in steps of time.

/** Milliseconds in a step, steps in the window, and steps that are remembered: more than `near` only where yesterday matters. */
export interface RingShape {
  readonly step: number
  readonly near: number
  readonly total: number
}

const minute = 60_000

/** The step that runs counts, too: a window is up to one step shorter than it says, never longer. */
export const shapes = {
  hour: { step: minute, near: 60, total: 60 },
  day: { step: 15 * minute, near: 96, total: 96 },
  /** 25 hours: the last one, and that of yesterday. */
  spike: { step: 5 * minute, near: 12, total: 300 },
} as const satisfies Record<string, RingShape>

/** The time that a shape remembers, in milliseconds. */
export const spanOf = ({ step, total }: RingShape): number => step * total

/**
 * Sums of one thing that is watched. Integer nano-USD below 2^53; times are Unix milliseconds. About 1 KB for an hour, 1.3 KB for a day,
 * 3.8 KB for a spike.
 */
export class SpendRing {
  /** Of the window, as of the last `turn` or `add`. */
  nano = 0
  requests = 0
  /** Of the window's length, a day before: the oldest steps that are remembered. */
  yesterday = 0
  readonly #shape: RingShape
  readonly #nano: Float64Array
  readonly #requests: Uint32Array
  /** Number of the newest step. */
  #head: number
  /** Number of the newest step in which something was added. */
  #last: number

  constructor(shape: RingShape, at: number) {
    this.#shape = shape
    this.#nano = new Float64Array(shape.total)
    this.#requests = new Uint32Array(shape.total)
    this.#head = Math.floor(at / shape.step)
    this.#last = this.#head
  }

  /** Lets go of what has left the window at `at`. A clock that goes back changes nothing. */
  turn(at: number): void {
    const { step, near, total } = this.#shape
    const target = Math.floor(at / step)
    if (target - this.#head >= total) this.#clear(target)
    while (this.#head < target) {
      const now = ++this.#head
      const leaving = (now - near) % total
      this.nano -= this.#nano[leaving]!
      this.requests -= this.#requests[leaving]!
      const place = now % total
      if (total > near) {
        this.yesterday -= this.#nano[place]!
        // What was at this place is forgotten; what is as old as yesterday's window begins counts from now on.
        this.yesterday += this.#nano[(now - (total - near)) % total]!
      }
      this.#nano[place] = 0
      this.#requests[place] = 0
    }
  }

  /** Books what happened at `at`, which may lie behind: older than what is remembered it is nothing. */
  add(at: number, nano: number, requests: number): void {
    const { step, near, total } = this.#shape
    this.turn(at)
    const number = Math.floor(at / step)
    const age = this.#head - number
    if (age >= total) return
    const place = number % total
    this.#nano[place]! += nano
    this.#requests[place]! += requests
    this.#last = Math.max(this.#last, number)
    if (age < near) {
      this.nano += nano
      this.requests += requests
    } else if (age >= total - near) this.yesterday += nano
  }

  /** Nothing that it remembers at `at` is more than 0. */
  isIdle(at: number): boolean {
    return Math.floor(at / this.#shape.step) - this.#last >= this.#shape.total
  }

  #clear(head: number): void {
    this.#nano.fill(0)
    this.#requests.fill(0)
    this.#head = head
    this.nano = 0
    this.requests = 0
    this.yesterday = 0
  }
}
