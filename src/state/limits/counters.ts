// Counts requests, tokens and slots of all limits in memory: checks a request against all of them, and books it on all or none.
import type { LimitSettings } from '../../config/limitTypes.ts'
import { scopeName } from '../scope.ts'
import { type SlidingLog, shapeOf } from '../slidingLog.ts'
import type { AppliedLimit, LimitKind, LimitState } from './limit.ts'
import { LogTable } from './logTable.ts'
import { SlotTable } from './slots.ts'

interface Counter {
  readonly requests: LogTable
  readonly tokens: LogTable
  readonly slots: SlotTable<Holding>
}

/** Tokens as they were booked: for whom, where, under which moment, how many. */
interface Booking {
  readonly applied: AppliedLimit
  readonly log: SlidingLog
  readonly moment: number
  readonly tokens: number
}

/** What one request holds. */
export interface Holding {
  readonly until: number
  readonly applied: readonly AppliedLimit[]
  bookings: Booking[] | undefined
  hasSlots: boolean
}

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
    const shortage = this.check(applied, demand, now)
    if (shortage) return shortage
    const holding: Holding = {
      until: now + Math.max(this.#options.leaseMs, demand.lastsMs ?? 0),
      applied,
      bookings: undefined,
      hasSlots: false,
    }
    for (const one of applied) {
      const { setting, entity } = one
      const counter = this.#of(setting)
      if (setting.requests !== undefined) counter.requests.take(entity, now).add(now, 1)
      if (setting.tokens !== undefined) {
        const tokens = tokensFor(setting, demand)
        const log = counter.tokens.take(entity, now)
        holding.bookings ??= []
        holding.bookings.push({ applied: one, log, moment: tokens > 0 ? log.add(now, tokens) : 0, tokens })
      }
      if (setting.concurrency !== undefined) {
        counter.slots.take(entity, holding)
        holding.hasSlots = true
      }
    }
    return holding
  }

  /** The limit that has no room for the request: of several the one that takes longest, so that coming back then is not in vain. */
  check(applied: readonly AppliedLimit[], demand: Demand, now: number): Shortage | undefined {
    let worst: Shortage | undefined
    for (const one of applied) {
      const shortage = this.#shortageOf(one, demand, now)
      if (shortage && (worst === undefined || weightOf(shortage) > weightOf(worst))) worst = shortage
    }
    return worst
  }

  /** Less than was reserved is given back where it was booked; more is booked now. */
  settle(holding: Holding, used: number, now: number): void {
    for (const { applied, log, moment, tokens } of holding.bookings ?? []) {
      if (used < tokens) log.reduce(moment, tokens - used)
      // Not on the log that it began on: that may have been forgotten while the request ran.
      else if (used > tokens)
        this.#of(applied.setting)
          .tokens.take(applied.entity, now)
          .add(now, used - tokens)
    }
    holding.bookings = undefined
  }

  /** False when there was nothing to give back. */
  release(holding: Holding): boolean {
    if (!holding.hasSlots) return false
    holding.hasSlots = false
    for (const { setting, entity } of holding.applied) this.#of(setting).slots.free(entity, holding)
    return true
  }

  stateOf({ setting, entity }: AppliedLimit, kind: LimitKind, now: number): LimitState {
    const limit = setting[kind] ?? 0
    const counter = this.#of(setting)
    const log = kind === 'concurrency' ? undefined : counter[kind].find(entity, now)
    const used = kind === 'concurrency' ? counter.slots.used(entity, limit, now) : (log?.sum ?? 0)
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

  /** The limit of a kind of which the smallest share is left. */
  tightest(applied: readonly AppliedLimit[], kind: 'requests' | 'tokens', now: number): LimitState | undefined {
    let found: LimitState | undefined
    for (const one of applied) {
      if (one.setting[kind] === undefined) continue
      const state = this.stateOf(one, kind, now)
      if (!found || state.remaining * found.limit < found.remaining * state.limit) found = state
    }
    return found
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

  #shortageOf(applied: AppliedLimit, demand: Demand, now: number): Shortage | undefined {
    const { setting, entity } = applied
    const counter = this.#of(setting)
    const { concurrency, requests } = setting
    if (requests !== undefined) {
      const log = counter.requests.find(entity, now)
      if ((log?.sum ?? 0) + 1 > requests) return { applied, kind: 'requests', waitMs: log?.waitFor(requests - 1, now) }
    }
    if (setting.tokens !== undefined) {
      const tokens = tokensFor(setting, demand)
      const log = tokens > 0 ? counter.tokens.find(entity, now) : undefined
      if (tokens > 0 && (log?.sum ?? 0) + tokens > setting.tokens) {
        const waitMs = tokens > setting.tokens ? undefined : log?.waitFor(setting.tokens - tokens, now)
        return { applied, kind: 'tokens', waitMs }
      }
    }
    // Last, because it cannot say when to come back.
    if (concurrency !== undefined && counter.slots.used(entity, concurrency, now) >= concurrency)
      return { applied, kind: 'concurrency', waitMs: undefined }
    return undefined
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
      slots: new SlotTable<Holding>(),
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
