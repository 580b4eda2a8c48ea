// One judged request between its arrival and what is learnt of it.
import type { Looked } from './cleanWindows.ts'
import type { UnitId } from './unitTable.ts'

/** What a request brings that is put on an arm by its bucket. Those that were pinned, overridden or answered by the cache bring none. */
export interface Arrival {
  /** Unix milliseconds. */
  readonly now: number
  /** Of its unit, or drawn for it alone. */
  readonly bucket: number
  /** The canary's weight at that moment. */
  readonly weightPpm: number
  /** Where the unit is more than the request and the request has one. */
  readonly unit?: UnitId | undefined
  /** A whole reply, which has no first token. */
  readonly whole?: boolean
}

/** Kept by the caller from `admit` to `end`; only the evidence changes it. */
export class Ticket {
  readonly canary: boolean
  readonly ppm: number
  readonly at: number
  readonly epoch: number
  /** Of its attempt, counted from 0: how many began before it came. */
  readonly step: number
  readonly unit: UnitId | undefined
  /** The first of its unit: the one that sizes are compared by. */
  readonly isFirst: boolean
  /** Guards that do not look at it, as bits: its unit has had its first bad event by them. */
  readonly dirty: number
  /** Of which the shares follow that its bad events would be judged by. Undefined = the weight for all. */
  readonly looked: Looked | undefined
  /** By guard: what stable's sizes were before it came. */
  readonly thresholds: Float64Array | undefined
  /** Guards that look at it, and guards for which it is bad. */
  seen = 0
  bad = 0
  /** Its first attempt is decided; all of it is. */
  isStarted = false
  isEnded = false
  /** Whether the first attempt counts at all, and with which fault; `undefined` = none. */
  isLearnt = false
  fault: string | undefined = undefined

  /** Nothing came within `slowStart`. */
  isSlow = false
  /** What failed is what its unit had brought along before. */
  isRepeated = false
  /** Milliseconds without a first byte that are a bad event, once nothing came within `slowStart`. */
  patience = 0
  isStartSeen = false
  isWhole = false

  constructor(
    at: number,
    ppm: number,
    canary: boolean,
    epoch: number,
    step: number,
    unit: UnitId | undefined,
    isFirst: boolean,
    dirty: number,
    looked: Looked | undefined,
    thresholds: Float64Array | undefined,
  ) {
    this.at = at
    this.ppm = ppm
    this.canary = canary
    this.epoch = epoch
    this.step = step
    this.unit = unit
    this.isFirst = isFirst
    this.dirty = dirty
    this.looked = looked
    this.thresholds = thresholds
  }
}

/**
 * What one request adds to the evidence, in a form to keep with its row. Masks are by the number of a guard in the policy's order; the
 * records of all rows give back the same evidence to the last bit.
 */
export interface EvidenceRecord {
  readonly epoch: number
  readonly ppm: number
  readonly canary: boolean
  readonly seen: number
  readonly bad: number
  /** By guard number, where they differ from `ppm`; only those of bad events. */
  readonly shares?: Readonly<Record<number, number>> | undefined
}
