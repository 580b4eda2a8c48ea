// Has the rows of attempts that run folded from time to time, so that a start reads few of them.
import type { Live } from './live.ts'
import type { Trial } from './trial.ts'

/** What it takes of the ledger. */
export interface Folds {
  /** The smallest id of requests that came at a time, Unix milliseconds, or later. */
  firstIdOf(time: number): number
  /** Resolves when all rows that were handed over before are in the database; false when some are not, and may come later. */
  written(): Promise<boolean>
  /** Folds the rows of an attempt with ids below `before`; throws away folds of attempts that are over. @returns how many rows there were */
  fold(rollout: number, attempt: number, before: number): Promise<number>
}

/** Rows that are not worth folding, and the part of all rows that is not: a start reads no more than these. */
const fewest = 1000
const smallPart = 0.01
/** Milliseconds. Requests get their ids at the door; one that is assigned later than this after it may be too late to be evidence. */
const slowestDoor = 5000

/** Decides when the rows of an attempt are folded, and up to which one. One fold per attempt at a time. */
export class Folding {
  readonly #folds: Folds
  readonly #trouble: (text: string, error?: unknown) => void
  readonly #busy = new Set<Trial>()

  constructor(folds: Folds, trouble: (text: string, error?: unknown) => void) {
    this.#folds = folds
    this.#trouble = trouble
  }

  /** Call now and then. Does its work beside the requests. */
  tick({ id, state, name }: Live, trial: Trial, now: number): void {
    const { begun } = trial.underway
    const fresh = begun - trial.begunAtFold
    if (fresh < fewest || fresh < smallPart * (begun + trial.restored) || this.#busy.has(trial)) return
    trial.begunAtFold = begun
    const before = Math.min(trial.underway.oldest(), this.#folds.firstIdOf(now - slowestDoor))
    if (before <= trial.foldedTo) return
    // From now on nothing below it can become evidence.
    trial.foldedTo = before
    this.#busy.add(trial)
    this.#fold(id, state.attempt, before)
      .catch((error) => this.#trouble(`the rows of ${name} could not be folded: a start reads them`, error))
      .finally(() => this.#busy.delete(trial))
  }

  /** An attempt is over: what was folded of it is not needed any more. */
  forget({ id, name }: Live, attempt: number): void {
    this.#folds.fold(id, attempt, 0).catch((error) => this.#trouble(`the folds of ${name} could not be deleted`, error))
  }

  async #fold(id: number, attempt: number, before: number): Promise<void> {
    // Those under way that are over have handed their rows to the ledger by now.
    if (await this.#folds.written()) await this.#folds.fold(id, attempt, before)
  }
}
