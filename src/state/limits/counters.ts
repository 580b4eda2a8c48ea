// Counts requests, tokens and slots of all limits in memory: checks a request against all of them, and books it on all or none.
import type { LimitSettings } from '../../config/limitTypes.ts'
import { scopeName } from '../scope.ts'
import { type SlidingLog, shapeOf } from '../slidingLog.ts'
import type { AppliedLimit, LimitKind, LimitState } from './limit.ts'
import { limitLines } from './limitHeaders.ts'
import { LogTable } from './logTable.ts'
import { type Slot, type SlotRow, SlotTable } from './slots.ts'

interface Counter {
  readonly requests: LogTable
  readonly tokens: LogTable
  readonly slots: SlotTable
}

/**
 * What one request holds of one limit, with the way to where it is counted: whoever has it looks nothing up again, unless its entity may
 * have been forgotten since. A class, because one is made for each limit of every request.
 */
class Seat implements AppliedLimit, Slot {
  readonly setting: LimitSettings
  readonly entity: string
  readonly counter: Counter
  requests: SlidingLog | undefined = undefined
  tokens: SlidingLog | undefined = undefined
  /** Tokens as they were booked: under which moment, how many. */
  moment = 0
  booked = 0
  until = 0
  row: SlotRow | undefined = undefined
  place = -1

  constructor({ setting, entity }: AppliedLimit, counter: Counter) {
    this.setting = setting
    this.entity = entity
    this.counter = counter
  }
}

/** What one request holds: of each of its limits, in their order. */
export type Holding = readonly Seat[]

/** The limit that says no, or undefined. */
export interface Shortage {
  readonly applied: AppliedLimit
  readonly kind: LimitKind
  /** Undefined where time alone does not help. */
  readonly waitMs: number | undefined
}

export interface CounterOptions {
  /** Entities told apart by each limit. */
  readonly maxEntities?: number | undefined
  /** Milliseconds after which a slot counts as lost, unless the request says that it may last longer. */
  readonly leaseMs: number
}

/** What a request asks of its limits. */
export interface Demand {
  /** Upper bound of what is known: the prompt, and answers with a cap. Reserved until it is settled. */
  readonly tokens: number
  /** Tokens that are only guessed: reserved as far as the limit goes. */
  readonly atMost?: number | undefined
  /** Answers without a cap: each limit has its own idea of them, `answerTokens`. */
  readonly openAnswers?: number | undefined
  /** The longest that the request may last, in milliseconds. */
  readonly lastsMs?: number | undefined
}

/** The counts behind all limits. Checking and booking is one synchronous step; entities are bounded. */
export class Counters {
  readonly #options: CounterOptions
  readonly #counters = new Map<string, Counter>()
  /** Settings are frozen parts of snapshots: a short way from each to its counter. */
  readonly #ways = new WeakMap<LimitSettings, Counter>()
  /** What keys and teams bring along: counted in one table for all of them, because there may be very many. */
  readonly #groups = new Map<string, Counter>()

  constructor(options: CounterOptions) {
    this.#options = options
  }

  /** Books a request on all limits and returns what it holds, or says which limit has no room; then nothing is booked. */
  book(applied: readonly AppliedLimit[], demand: Demand, now: number): Holding | Shortage {
    // Of its length from the start: a list that grows takes room for many more, and this one stays as long as its request.
    const seats = new Array<Seat>(applied.length)
    let worst: Shortage | undefined
    for (let i = 0; i < applied.length; i++) {
      const seat = this.#seatOf(applied[i]!)
      seats[i] = seat
      const shortage = this.#place(seat, demand, now)
      if (shortage && (worst === undefined || weightOf(shortage) > weightOf(worst))) worst = shortage
    }
    if (worst) return worst
    const until = Math.ceil(now + Math.max(this.#options.leaseMs, demand.lastsMs ?? 0))
    for (const seat of seats) this.#take(seat, until, now)
    return seats
  }

  /** The limit that has no room for the request: of several the one that takes longest, so that coming back then is not in vain. */
  check(applied: readonly AppliedLimit[], demand: Demand, now: number): Shortage | undefined {
    let worst: Shortage | undefined
    for (const one of applied) {
      const shortage = this.#place(this.#seatOf(one), demand, now)
      if (shortage && (worst === undefined || weightOf(shortage) > weightOf(worst))) worst = shortage
    }
    return worst
  }

  /** Less than was reserved is given back where it was booked; more is booked now. To be called once. */
  settle(holding: Holding, used: number, now: number): void {
    for (const seat of holding) {
      const { setting, entity, counter, booked, tokens } = seat
      if (setting.tokens === undefined || used === booked) continue
      if (used < booked) tokens!.reduce(seat.moment, booked - used)
      else {
        // Not on the log that it began on: that may have been forgotten while the request ran.
        const table = counter.tokens
        table.claim(table.findAgain(tokens, entity, now), entity).add(now, used - booked)
      }
    }
  }

  /** False when there was nothing to give back. */
  release(holding: Holding): boolean {
    let some = false
    for (const seat of holding) if (seat.counter.slots.free(seat)) some = true
    return some
  }

  stateOf({ setting, entity }: AppliedLimit, kind: LimitKind, now: number): LimitState {
    const limit = setting[kind] ?? 0
    const { slots, ...logs } = this.#of(setting)
    const log = kind === 'concurrency' ? undefined : logs[kind].find(entity, now)
    const used = kind === 'concurrency' ? slots.used(slots.find(entity), limit, now) : (log?.sum ?? 0)
    return {
      name: setting.name,
      kind,
      scope: scopeName(setting.per),
      limit,
      remaining: Math.max(0, limit - used),
      resetMs: log?.waitForEmpty(now) ?? 0,
      windowMs: setting.window,
    }
  }

  /** The `x-ratelimit-*` lines of what is held: of each kind, the limit of which the smallest share is left. */
  lines(holding: Holding, now: number): string {
    return this.#tightest(holding, 'requests', now) + this.#tightest(holding, 'tokens', now)
  }

  /** The same for a request that holds nothing. */
  linesOf(applied: readonly AppliedLimit[], now: number): string {
    return this.lines(
      applied.map((one) => this.#seatOf(one)),
      now,
    )
  }

  #tightest(holding: Holding, kind: 'requests' | 'tokens', now: number): string {
    let limit = 0
    let remaining = 0
    let log: SlidingLog | undefined
    let isAny = false
    for (const seat of holding) {
      const { setting, entity, counter } = seat
      const most = kind === 'requests' ? setting.requests : setting.tokens
      if (most === undefined) continue
      const found =
        kind === 'requests'
          ? counter.requests.findAgain(seat.requests, entity, now)
          : counter.tokens.findAgain(seat.tokens, entity, now)
      const left = Math.max(0, most - (found === undefined ? 0 : found.sum))
      if (isAny && left * limit >= remaining * most) continue
      isAny = true
      limit = most
      remaining = left
      log = found
    }
    return isAny ? limitLines(kind, limit, remaining, log === undefined ? 0 : log.waitForEmpty(now)) : ''
  }

  prune(inUse: readonly LimitSettings[], now: number): void {
    const kept = new Set(inUse.map(identityOf))
    for (const [id, { requests, tokens, slots }] of this.#counters) {
      requests.sweep(now)
      tokens.sweep(now)
      // Requests in flight go on holding their slots: a limit that is taken out and put back must still know of them.
      if (!kept.has(id) && slots.size === 0) this.#counters.delete(id)
    }
    for (const { requests, tokens } of this.#groups.values()) {
      requests.sweep(now)
      tokens.sweep(now)
    }
  }

  get entities(): number {
    let sum = 0
    for (const counters of [this.#counters, this.#groups])
      for (const { requests, tokens, slots } of counters.values()) sum += requests.size + tokens.size + slots.size
    return sum
  }

  #seatOf(one: AppliedLimit): Seat {
    return new Seat(one, this.#of(one.setting))
  }

  /** Finds where a limit counts the request, and says whether there is room. */
  #place(seat: Seat, demand: Demand, now: number): Shortage | undefined {
    const { setting, entity, counter } = seat
    const { requests, tokens: most, concurrency } = setting
    let worst: Shortage | undefined
    if (requests !== undefined) {
      const log = counter.requests.find(entity, now)
      seat.requests = log
      if ((log === undefined ? 0 : log.sum) + 1 > requests)
        worst = { applied: seat, kind: 'requests', waitMs: log?.waitFor(requests - 1, now) }
    }
    if (most !== undefined) {
      const tokens = tokensFor(setting, demand)
      const log = counter.tokens.find(entity, now)
      seat.tokens = log
      seat.booked = tokens
      if (tokens > 0 && (log === undefined ? 0 : log.sum) + tokens > most) {
        const waitMs = tokens > most ? undefined : log?.waitFor(most - tokens, now)
        const shortage: Shortage = { applied: seat, kind: 'tokens', waitMs }
        if (worst === undefined || weightOf(shortage) > weightOf(worst)) worst = shortage
      }
    }
    if (worst) return worst
    // Last, because it cannot say when to come back.
    if (concurrency !== undefined) {
      const { slots } = counter
      seat.row = slots.find(entity)
      if (slots.used(seat.row, concurrency, now) >= concurrency)
        return { applied: seat, kind: 'concurrency', waitMs: undefined }
    }
    return undefined
  }

  /** Counts the request where `#place`, at this same moment, has found room. */
  #take(seat: Seat, until: number, now: number): void {
    const { setting, entity, counter } = seat
    if (setting.requests !== undefined) {
      seat.requests = counter.requests.claim(seat.requests, entity)
      seat.requests.add(now, 1)
    }
    if (setting.tokens !== undefined) {
      seat.tokens = counter.tokens.claim(seat.tokens, entity)
      if (seat.booked > 0) seat.moment = seat.tokens.add(now, seat.booked)
    }
    if (setting.concurrency !== undefined) {
      seat.until = until
      counter.slots.take(entity, seat)
    }
  }

  #of(settings: LimitSettings): Counter {
    if (settings.group !== undefined)
      return this.#groups.get(settings.group) ?? this.#add(this.#groups, settings.group, settings)
    let counter = this.#ways.get(settings)
    if (counter) return counter
    const id = identityOf(settings)
    counter = this.#counters.get(id) ?? this.#add(this.#counters, id, settings)
    this.#ways.set(settings, counter)
    return counter
  }

  #add(to: Map<string, Counter>, id: string, { window }: LimitSettings): Counter {
    const shape = shapeOf(window)
    const { maxEntities } = this.#options
    const counter = {
      requests: new LogTable(shape, maxEntities),
      tokens: new LogTable(shape, maxEntities),
      slots: new SlotTable(),
    }
    to.set(id, counter)
    return counter
  }
}

/** What is the same limit: its numbers may change at any time; another window or another scope is another count. */
export const identityOf = ({ name, per, only, window }: LimitSettings): string =>
  JSON.stringify([name, per, Object.entries(only).sort(), window])

/** Never beats later, later beats now; slots, of which nobody knows when they come free, weigh least. */
const weightOf = ({ kind, waitMs }: Shortage): number =>
  waitMs ?? (kind === 'concurrency' ? -1 : Number.POSITIVE_INFINITY)

/** What a limit reserves. What is only guessed never makes a request too large by itself: at most all there is. */
function tokensFor({ tokens: limit = 0, answerTokens }: LimitSettings, demand: Demand): number {
  const { tokens, atMost = 0, openAnswers = 0 } = demand
  const guessed = atMost + openAnswers * answerTokens
  return guessed === 0 ? tokens : Math.max(tokens, Math.min(limit, tokens + guessed))
}
