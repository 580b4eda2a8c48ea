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

/** Tokens as they were booked: where, under which moment. */
interface Booking {
  readonly log: SlidingLog
  readonly moment: number
}

/** What one request holds. */
export interface Holding {
  readonly until: number
  readonly applied: readonly AppliedLimit[]
  tokens: number
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
  /** Milliseconds after which a slot counts as lost. Longer than any request. */
  readonly leaseMs: number
}

export class Counters {
  readonly #options: CounterOptions
  readonly #counters = new Map<string, Counter>()
  /** Settings are frozen parts of snapshots: a short way from each to its counter. */
  readonly #ways = new WeakMap<LimitSettings, Counter>()

  constructor(options: CounterOptions) {
    this.#options = options
  }

  /** Books a request on all limits and returns what it holds, or says which limit has no room; then nothing is booked. */
  book(applied: readonly AppliedLimit[], tokens: number, now: number): Holding | Shortage {
    const shortage = this.check(applied, tokens, now)
    if (shortage) return shortage
    const holding: Holding = {
      until: now + this.#options.leaseMs,
      applied,
      tokens,
      bookings: undefined,
      hasSlots: false,
    }
    for (const { setting, entity } of applied) {
      const counter = this.#of(setting)
      if (setting.requests !== undefined) counter.requests.take(entity, now).add(now, 1)
      if (setting.tokens !== undefined && tokens > 0) {
        const log = counter.tokens.take(entity, now)
        holding.bookings ??= []
        holding.bookings.push({ log, moment: log.add(now, tokens) })
      }
      if (setting.concurrency !== undefined) {
        counter.slots.take(entity, holding)
        holding.hasSlots = true
      }
    }
    return holding
  }

  /** The first limit that has no room for the request. */
  check(applied: readonly AppliedLimit[], tokens: number, now: number): Shortage | undefined {
    for (const one of applied) {
      const shortage = this.#shortageOf(one, tokens, now)
      if (shortage) return shortage
    }
    return undefined
  }

  /** Less than was reserved is given back where it was booked; more is booked now. */
  settle(holding: Holding, tokens: number, now: number): void {
    const spare = holding.tokens - tokens
    for (const { log, moment } of holding.bookings ?? []) {
      if (spare > 0) log.reduce(moment, spare)
      else if (spare < 0) log.add(now, -spare)
    }
    holding.tokens = tokens
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

  prune(inUse: readonly LimitSettings[], now: number): void {
    const kept = new Set(inUse.map(identityOf))
    for (const [id, { requests, tokens }] of this.#counters) {
      if (!kept.has(id)) this.#counters.delete(id)
      requests.sweep(now)
      tokens.sweep(now)
    }
  }

  get entities(): number {
    let sum = 0
    for (const { requests, tokens, slots } of this.#counters.values()) sum += requests.size + tokens.size + slots.size
    return sum
  }

  #shortageOf(applied: AppliedLimit, tokens: number, now: number): Shortage | undefined {
    const { setting, entity } = applied
    const counter = this.#of(setting)
    const { concurrency, requests } = setting
    if (requests !== undefined) {
      const log = counter.requests.find(entity, now)
      if ((log?.sum ?? 0) + 1 > requests) return { applied, kind: 'requests', waitMs: log?.waitFor(requests - 1, now) }
    }
    if (setting.tokens !== undefined && tokens > 0) {
      const log = counter.tokens.find(entity, now)
      if ((log?.sum ?? 0) + tokens > setting.tokens) {
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
    const known = this.#ways.get(settings)
    if (known) return known
    const id = identityOf(settings)
    let counter = this.#counters.get(id)
    if (!counter) {
      const shape = shapeOf(settings.window)
      const { maxEntities } = this.#options
      counter = {
        requests: new LogTable(shape, maxEntities),
        tokens: new LogTable(shape, maxEntities),
        slots: new SlotTable(),
      }
      this.#counters.set(id, counter)
    }
    this.#ways.set(settings, counter)
    return counter
  }
}

/** What is the same limit: its numbers may change at any time; another window or another scope is another count. */
const identityOf = ({ name, per, only, window }: LimitSettings): string =>
  JSON.stringify([name, per, Object.entries(only).sort(), window])
