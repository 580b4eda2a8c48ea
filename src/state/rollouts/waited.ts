// Since when steps are waited for, where the clock was wrong when they began.
import type { State } from '../../rollouts/machine.ts'

/** Milliseconds that a clock may be set back, and be taken for right. */
const clockStep = 60_000

/** Corrects `since` of states that were made while the clock was ahead. */
export class Waited {
  /** When states that began later than the clock says were seen, Unix milliseconds. */
  readonly #noticed = new WeakMap<State, number>()

  /** A step that began while the clock was ahead is waited for from when that is noticed: it would stand still until the clock is there again. */
  from(state: State, now: number): State {
    const known = this.#noticed.get(state) ?? state.since
    const since = known > now + clockStep ? now : known
    if (since === state.since) return state
    this.#noticed.set(state, since)
    return { ...state, since }
  }
}
