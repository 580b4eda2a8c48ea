// One attempt of a rollout while it runs: its evidence, who is under way on the canary, and what an operator has gone on after.
import type { KeptRows, RolloutDefinition } from '../../config/rolloutTypes.ts'
import { type Count, type Decision, Evidence, judge, parseUnit, RowFolder } from '../../rollouts/index.ts'
import type { State, Step } from '../../rollouts/machine.ts'
import { Roster } from '../roster.ts'
import { Accepted } from './accepted.ts'
import { firstHarm } from './replay.ts'
import { Underway } from './underway.ts'

/** What one attempt has in memory; it is thrown away when the attempt is over. */
export class Trial {
  readonly evidence: Evidence
  /** Takes a request back from the canary; kept while it waits for its first byte. */
  readonly pending = new Roster<() => void>()
  /** Causes of pauses that somebody has resumed after: they do not pause again. */
  readonly accepted = new Accepted()
  readonly underway = new Underway()
  /** Whether a guard looks at what has to be JSON. */
  readonly seesJson: boolean
  /** Ids below it are folded, or about to be: a request with such an id comes too late to be evidence. */
  foldedTo = 0
  /** Requests begun when rows were folded last, and rows that were there at the start. */
  begunAtFold = 0
  restored = 0
  /** Why it has to go, as the rows of an earlier process tell it. */
  #found: Decision | undefined
  #stepRevision: number

  constructor({ policy }: RolloutDefinition, { attemptAt, stepRevision }: State) {
    this.evidence = new Evidence(policy, attemptAt)
    this.seesJson = policy.guards.some(({ metric }) => metric === 'invalid_json')
    this.#stepRevision = stepRevision
  }

  /** Call with each new state. */
  follow({ stepRevision }: State): void {
    if (stepRevision === this.#stepRevision) return
    this.#stepRevision = stepRevision
    this.evidence.nextStep()
  }

  /**
   * Takes up what the rows of the attempt have, the folded ones first: what is in flight when a process dies is in none, and counts for
   * nothing.
   */
  restore({ folds, records, foldedTo }: KeptRows): { rows: number; lastArrival: number } {
    const { evidence } = this
    const folder = new RowFolder(evidence.policy)
    const counts: Count[] = []
    let rows = 0
    let lastArrival = 0
    for (const { unit, ...row } of records)
      folder.add({ ...row, unit: unit === undefined ? undefined : parseUnit(unit) })
    // All of the rows since: the rule may have fired with one of them right before the process ended.
    const all = [...folds, { ...folder.fold(), hard: folder.hard.list() }]
    for (const fold of all) {
      for (const count of fold.counts) counts.push(count)
      rows += fold.rows
      lastArrival = Math.max(lastArrival, fold.lastArrival)
      const { canaryAt } = fold
      for (let i = 0; i < canaryAt.length; i += 2)
        if (canaryAt[i]! >= this.#stepRevision) evidence.canaryInStep += canaryAt[i + 1]!
    }
    evidence.recall(all)
    evidence.merge(counts)
    this.restored = rows
    // What no fold has yet is folded soon, or each start would read it again.
    this.begunAtFold = -folder.rows
    if (folds.length > 0) this.foldedTo = foldedTo
    return { rows, lastArrival }
  }

  /**
   * Of several reasons that the rows have the first one counts, as everywhere: what was taken up all at once does not know it.
   * @param kept what `restore` took up
   */
  tellFirst(kept: KeptRows): void {
    this.#found = firstHarm(this.evidence.policy, this.evidence.startedAt, kept)
  }

  /** What the evidence says is to be done at a step; at none for a percentage that stays as it is. */
  decide(weightPpm: number, step: Step | undefined): Decision {
    if (this.#found) return this.#found
    const wait = step?.kind === 'wait' ? step : undefined
    return judge(this.evidence, {
      weightPpm,
      advance: wait?.advance ?? 'no_harm',
      minRequests: wait?.minRequests ?? 1,
      canaryInStep: this.evidence.canaryInStep,
      accepted: this.accepted.causes,
    })
  }
}
