// The sliding logs of many entities, of which the idle are forgotten and the number is bounded.
import { type LogShape, SlidingLog } from '../slidingLog.ts'

/** Entities of one limit that are told apart; those beyond it share one log. */
const MAX_ENTITIES = 200_000

/**
 * Logs by entity. An entity that was not asked for during a whole window has nothing that counts and is forgotten, in two generations:
 * no entry is ever looked at to find out whether it is old.
 *
 * Memory: at most `max` entries of about 300 bytes, and 16 to 32 bytes for each moment at which an entity was let through during the
 * last two windows (so 100,000 keys or addresses are 30 MB, and 1,000 requests a second for a minute 4 MB). Entities beyond `max` share
 * one log: none of them gets more than the limit, together they get less; when there is room again, they start with what that log holds.
 */
export class LogTable {
  readonly shape: LogShape
  readonly #max: number
  #young = new Map<string, SlidingLog>()
  #old = new Map<string, SlidingLog>()
  #turnAt = Number.NEGATIVE_INFINITY
  /** How often it turned: a log that says the same is among the young. */
  #turns = 0
  #shared: SlidingLog

  constructor(shape: LogShape, max: number = MAX_ENTITIES) {
    this.shape = shape
    this.#max = max
    this.#shared = new SlidingLog(shape)
  }

  /** The log that an entity is counted by, up to date; undefined when it has none yet. */
  find(entity: string, now: number): SlidingLog | undefined {
    if (now >= this.#turnAt) this.#turn(now)
    const log = this.#young.get(entity) ?? this.#revive(entity)
    if (log) {
      log.expire(now)
      return log
    }
    return this.#shared.expire(now) > 0 || this.size >= this.#max ? this.#shared : undefined
  }

  /** As `find`, for who has found a log before: there is nothing to look up unless it may have been forgotten since. */
  findAgain(held: SlidingLog | undefined, entity: string, now: number): SlidingLog | undefined {
    if (held === undefined || held.turn !== this.#turns || now >= this.#turnAt) return this.find(entity, now)
    held.expire(now)
    return held
  }

  /** The log to count on: as `find`, but made if need be. */
  take(entity: string, now: number): SlidingLog {
    return this.claim(this.find(entity, now), entity)
  }

  /** As `take`, for who has asked `find` or `findAgain` at this same moment. */
  claim(found: SlidingLog | undefined, entity: string): SlidingLog {
    if (found && found !== this.#shared) return found
    // Another limit of the same request may count the same entity here.
    const known = this.#young.get(entity)
    if (known) return known
    if (this.size >= this.#max) return this.#shared
    const log = this.#shared.sum > 0 ? this.#shared.clone() : new SlidingLog(this.shape)
    log.turn = this.#turns
    this.#young.set(entity, log)
    return log
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** Nobody is remembered. */
  get isEmpty(): boolean {
    return this.#young.size === 0 && this.#old.size === 0 && this.#shared.sum === 0
  }

  /** Forgets idle entities although nobody asks for any. */
  sweep(now: number): void {
    if (now >= this.#turnAt) this.#turn(now)
  }

  #revive(entity: string): SlidingLog | undefined {
    const log = this.#old.get(entity)
    if (!log) return undefined
    this.#old.delete(entity)
    log.turn = this.#turns
    this.#young.set(entity, log)
    return log
  }

  /** What was young for a whole window becomes old; what was old for a whole one was not asked for since, and goes. */
  #turn(now: number): void {
    const period = this.shape.window + 2 * this.shape.tick
    this.#old = now - this.#turnAt >= period ? new Map() : this.#young
    this.#young = new Map()
    this.#turnAt = now + period
    this.#turns++
  }
}
