// Faults that do not heal: a canary without a valid key, or a model that is not there, is out after a few of them.

/** Said instead of a fault's kind when the arm could not be asked because its breaker was open. */
export const breakerOpen = 'breaker_open'

/** Faults that a request brings along: whoever asks the same again meets them again, and is no further witness. */
export const broughtAlong: ReadonlySet<string> = new Set(['unsupported_parameter'])

/**
 * Counts the canary's hard faults in a row. Not a test, and with no rate of error: so it acts only where stable is well, as shown by a
 * success of it since the run began. An outage that both arms share, such as a key that both use, rolls nothing back.
 */
export class HardRule {
  readonly #kinds: ReadonlySet<string>
  readonly #run: number
  #faults = 0
  #stableGood = 0
  #stableBad = 0
  #kind = ''

  constructor(kinds: readonly string[], run: number) {
    this.#kinds = new Set(kinds)
    this.#run = run
  }

  /** In order of arrival. @param kind of the fault; undefined = a success. @returns whether the rule has fired with it */
  see(canary: boolean, kind: string | undefined): boolean {
    if (!canary) {
      if (this.#faults === 0) return false
      if (kind === undefined) this.#stableGood++
      else this.#stableBad++
    } else if (kind !== undefined && (this.#kinds.has(kind) || (kind === breakerOpen && this.#faults > 0))) {
      if (kind !== breakerOpen) this.#kind = kind
      this.#faults++
    } else {
      this.#faults = 0
      this.#stableGood = 0
      this.#stableBad = 0
    }
    return this.hasFired
  }

  get hasFired(): boolean {
    if (this.#faults < this.#run) return false
    // Where stable gets no requests, a longer run has to do.
    return (
      this.#stableGood > this.#stableBad || (this.#stableGood + this.#stableBad === 0 && this.#faults >= 3 * this.#run)
    )
  }

  get reason(): string {
    return `${this.#faults} first attempts on the canary in a row failed with ${this.#kind}, which does not heal by itself`
  }
}
