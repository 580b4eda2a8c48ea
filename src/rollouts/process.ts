// Evidence that is added up: a mixture over candidates, and over the epochs at which a regression may have begun.

/** ln(e^a + e^b). */
export function addLogs(a: number, b: number): number {
  const most = Math.max(a, b)
  return most === Number.NEGATIVE_INFINITY ? most : most + Math.log1p(Math.exp(Math.min(a, b) - most))
}

/**
 * Σ_j π_j Σ_k γ_k Π_(events from epoch k on) factor_j, in logs, with π_j = 1/n and γ_k = 1/((k+1)(k+2)), which sum to 1: a mixture of
 * processes that start at each epoch, so that a long good history digs no hole for a late regression. A mixture of e-processes with fixed
 * weights is one, so by Ville's inequality P(ever ≥ 1/α) ≤ α still holds.
 *
 * It costs O(candidates), not O(epochs): with S_j = Σ_k γ_k Π…, at the start of an epoch S_j ← S_j + γ_k, at an event
 * S_j ← S_j · factor_j. Epochs without events are entered in one step: Σ_(k=a..b) γ_k = 1/(a+1) − 1/(b+2).
 */
export class EvidenceProcess {
  readonly #restarts: boolean
  /** ln S_j when the epoch of the last event began, its own γ included; and what was added since. */
  readonly #base: Float64Array
  readonly #sums: Float64Array
  #epoch = -1

  /** @param restarts false = one process from the beginning */
  constructor(candidates: number, restarts: boolean) {
    this.#restarts = restarts
    this.#base = new Float64Array(candidates)
    this.#sums = new Float64Array(candidates)
    this.clear()
  }

  /** The epoch of the last event, counted from the start of the attempt; -1 before any. */
  get epoch(): number {
    return this.#epoch
  }

  clear(): void {
    this.#epoch = -1
    this.#base.fill(0)
    this.#sums.fill(0)
  }

  /**
   * Adds `times` events of one kind. Epochs must not go back.
   * @param table increments of the candidates, from `offset` on
   */
  add(epoch: number, table: Float64Array, offset: number, times = 1): void {
    if (this.#restarts && epoch > this.#epoch) this.#enter(epoch)
    const sums = this.#sums
    for (let j = 0; j < sums.length; j++) sums[j] = sums[j]! + table[offset + j]! * times
  }

  /** Log of the evidence, in nats. 0 before any event. */
  logEvidence(): number {
    const most = this.bound()
    let sum = 0
    for (let j = 0; j < this.#sums.length; j++) sum += Math.exp(this.#base[j]! + this.#sums[j]! - most)
    return this.#epoch === -1 && this.#restarts ? 0 : most + Math.log(sum / this.#sums.length)
  }

  /** The log of the greatest candidate's: never less than `logEvidence`, and cheap. */
  bound(): number {
    let most = Number.NEGATIVE_INFINITY
    for (let j = 0; j < this.#sums.length; j++) most = Math.max(most, this.#base[j]! + this.#sums[j]!)
    return most
  }

  /** Log of one candidate's evidence. */
  logOf(candidate: number): number {
    return this.#base[candidate]! + this.#sums[candidate]!
  }

  #enter(epoch: number): void {
    const isFirst = this.#epoch === -1
    const gamma = Math.log((isFirst ? 1 : 1 / (this.#epoch + 2)) - 1 / (epoch + 2))
    for (let j = 0; j < this.#sums.length; j++) {
      this.#base[j] = isFirst ? gamma : addLogs(this.#base[j]! + this.#sums[j]!, gamma)
      this.#sums[j] = 0
    }
    this.#epoch = epoch
  }
}
