// What the records of many requests add up to: all that evidence takes up after a restart, in little room.
import { planGuards } from './guard.ts'
import { HardRows, hardSight, isTold } from './hardRows.ts'
import type { RolloutPolicy } from './policy.ts'
import { RecordTallies } from './records.ts'
import type { Count } from './tally.ts'
import type { EvidenceRecord } from './ticket.ts'
import { type UnitId, UnitTable } from './unitTable.ts'

/** A record with what else of its row is counted after a restart. */
export interface CountedRow {
  readonly revision: number
  readonly arrival: number
  readonly record: EvidenceRecord
}

export interface FoldedRow extends CountedRow {
  /** Undefined = the request was drawn by itself. */
  readonly unit: UnitId | undefined
  /** How it ended, as the ledger names it. */
  readonly firstAttempt: string
}

/** Numbers alone, so that it can be stored as it is. Folds of rows that follow each other are taken up one after the other. */
export interface RowFold {
  readonly rows: number
  readonly lastArrival: number
  /** Decided requests of the canary, by the revision that they were assigned at: revision, number, and so on. */
  readonly canaryAt: readonly number[]
  readonly counts: readonly Count[]
  /** Units and their bits, as `Evidence.units` has them: high, low, mask, and so on. Empty where the unit is the request. */
  readonly units: Uint32Array
  /** By row, in their order: the bucket, and which guards have looked at it. Of the same length; empty where the unit is the request. */
  readonly buckets: Uint32Array
  readonly seen: Uint32Array
  /** Of `HardRows`, since the last end of a run. */
  readonly hard: Float64Array
}

/** Adds up the rows of one attempt into a `RowFold`. */
export class RowFolder {
  /** Units are more than requests: each row has its place. */
  readonly isSticky: boolean
  /** How many guards there are, and their bits. */
  readonly guards: number
  /** What the rule of hard faults sees of the rows. */
  readonly hard: HardRows
  readonly #all: number
  readonly #learnt: number
  /** Of what was bad: guards, and whether the first attempt failed. */
  readonly #kept: number
  readonly #tallies: RecordTallies
  readonly #units = new UnitTable()
  readonly #buckets: number[] = []
  readonly #seen: number[] = []
  readonly #canaryAt = new Map<number, number>()
  #rows = 0
  #lastArrival = 0

  /** @param policy the one that the records were judged by */
  constructor(policy: RolloutPolicy) {
    const guards = planGuards(policy).length
    this.guards = guards
    this.hard = new HardRows(hardSight(policy, guards))
    this.isSticky = policy.unit !== 'request'
    this.#all = (1 << guards) - 1
    this.#learnt = 1 << (guards + 1)
    this.#kept = this.#all | (1 << (guards + 1))
    this.#tallies = new RecordTallies(policy)
  }

  get rows(): number {
    return this.#rows
  }

  /** In the order of the ids of the requests. */
  add(row: FoldedRow): void {
    const { unit, record, arrival, firstAttempt } = row
    this.count(row, 1)
    if (isTold(this.hard.sight, record.seen)) this.hard.add(arrival, record.canary, firstAttempt)
    this.place(unit, record.canary, record.seen, record.bad)
  }

  /**
   * The counts of rows that are the same in all that is counted: the same as one by one. Their units are for `place`.
   * @param row with the last arrival of theirs
   */
  count({ revision, arrival, record }: CountedRow, times: number): void {
    this.#rows += times
    this.#lastArrival = Math.max(this.#lastArrival, arrival)
    if (record.canary && record.seen & this.#learnt) {
      this.#canaryAt.set(revision, (this.#canaryAt.get(revision) ?? 0) + times)
    }
    this.#tallies.add(record, times)
  }

  /** The unit of one row, in the order of the ids of the requests. */
  place(unit: UnitId | undefined, canary: boolean, seen: number, bad: number): void {
    if (!this.isSticky) return
    if (unit) this.#units.add(unit.high, unit.low, 1 | ((bad & this.#kept) << 1))
    this.#buckets.push(unit?.high ?? (canary ? 0 : 2 ** 32 - 1))
    this.#seen.push(seen & this.#all)
  }

  fold(): RowFold {
    const units = new Uint32Array(this.#units.size * 3)
    let at = 0
    for (const { high, low, mask } of this.#units.entries()) {
      units[at++] = high
      units[at++] = low
      units[at++] = mask
    }
    return {
      rows: this.#rows,
      lastArrival: this.#lastArrival,
      canaryAt: [...this.#canaryAt].sort(([a], [b]) => a - b).flat(),
      counts: this.#tallies.counts(),
      units,
      buckets: Uint32Array.from(this.#buckets),
      seen: Uint32Array.from(this.#seen),
      hard: this.hard.tail(),
    }
  }
}
