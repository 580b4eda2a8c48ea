// The limits of this process: admits, or lets a request wait for its turn in a fair and bounded queue, or refuses.

import type { LimitSettings } from '../../config/limitTypes.ts'
import { entityName } from '../scope.ts'
import { Counters, type Demand, type Holding, identityOf, type Shortage } from './counters.ts'
import { FairQueue } from './fairQueue.ts'
import type {
  AppliedLimit,
  Lease,
  LimitAsk,
  LimitKind,
  LimitRefusal,
  LimitState,
  Limits,
  LimitVerdict,
} from './limit.ts'

export interface LimitOptions {
  /** Milliseconds of a clock that never goes back; default: the monotonic one. */
  readonly now?: (() => number) | undefined
  /** Runs something later and returns how to call it off; default: a timer. */
  readonly later?: ((ms: number, run: () => void) => () => void) | undefined
  readonly maxEntities?: number | undefined
  /** Requests that wait at a time, in all queues together. */
  readonly maxWaiting?: number | undefined
  /** Milliseconds after which a slot that was not given back counts as lost, unless the request may last longer. */
  readonly leaseMs?: number | undefined
}

interface Waiter {
  applied: readonly AppliedLimit[]
  readonly demand: Demand
  readonly flow: string
  queue: Queue
  readonly done: (verdict: LimitVerdict) => void
}

interface Queue {
  readonly id: string
  readonly waiters: FairQueue<Waiter>
  cancelWake: (() => void) | undefined
}

interface Desk {
  settle(holding: Holding, tokens: number): void
  release(holding: Holding): void
  lines(holding: Holding): string
}

/** A class, because one is made for every request. */
class HeldLease implements Lease {
  readonly #holding: Holding
  readonly #desk: Desk
  #settled = false

  constructor(holding: Holding, desk: Desk) {
    this.#holding = holding
    this.#desk = desk
  }

  settle(tokens: number): void {
    if (this.#settled) return
    this.#settled = true
    this.#desk.settle(this.#holding, tokens)
  }

  release(): void {
    this.#desk.release(this.#holding)
  }

  lines(): string {
    return this.#desk.lines(this.#holding)
  }
}

const kinds: readonly LimitKind[] = ['requests', 'tokens', 'concurrency']

/** Everything is in memory and happens in one turn of the event loop: between check and booking there is nothing. */
export function createLimits(options: LimitOptions = {}): Limits {
  const { now = () => performance.now(), later = startTimer, maxWaiting = 10_000, leaseMs = 2 * 3_600_000 } = options
  const counters = new Counters({ maxEntities: options.maxEntities, leaseMs })
  const queues = new Map<string, Queue>()
  let waiting = 0
  let closed = false

  /** What leases do with what they hold. */
  const desk: Desk = {
    settle(holding, tokens) {
      counters.settle(holding, tokens, now())
      if (waiting > 0) wakeAll(holding, 'tokens')
    },
    release(holding) {
      if (counters.release(holding) && waiting > 0) wakeAll(holding, 'concurrency')
    },
    lines: (holding) => counters.lines(holding, now()),
  }
  const leaseOf = (holding: Holding): Lease => new HeldLease(holding, desk)

  function statesOf(applied: readonly AppliedLimit[]): LimitState[] {
    const at = now()
    return applied.flatMap((one) =>
      kinds.filter((kind) => one.setting[kind] !== undefined).map((kind) => counters.stateOf(one, kind, at)),
    )
  }

  function refusalOf({ applied, kind, waitMs }: Shortage, reason: LimitRefusal['reason']): LimitRefusal {
    const state = counters.stateOf(applied, kind, now())
    const never = kind === 'tokens' && waitMs === undefined
    return {
      ...state,
      entity: entityName(applied.entity),
      retryAfterMs: waitMs,
      reason: never && reason === 'limit' ? 'too_large' : reason,
    }
  }

  /** Nobody may overtake those who wait for the same thing. */
  function queuedShortage(applied: readonly AppliedLimit[]): Shortage | undefined {
    for (const one of applied) {
      for (const kind of kinds) {
        if (one.setting[kind] === undefined) continue
        const queue = queues.get(queueId(one, kind))
        if (queue) return { applied: one, kind, waitMs: undefined }
      }
    }
    return undefined
  }

  /** Puts it in line, or says why not. `left`: how long it would wait, in milliseconds. */
  function enqueue(waiter: Waiter, shortage: Shortage, left: number): LimitRefusal | undefined {
    const { queueSize } = shortage.applied.setting
    const id = queueId(shortage.applied, shortage.kind)
    const queue = queues.get(id) ?? { id, waiters: new FairQueue<Waiter>(), cancelWake: undefined }
    if (left <= 0 || (shortage.waitMs ?? 0) > left) return refusalOf(shortage, 'limit')
    if (queue.waiters.size >= queueSize || waiting >= maxWaiting) return refusalOf(shortage, 'queue_full')
    queues.set(id, queue)
    queue.waiters.push(waiter.flow, waiter)
    waiter.queue = queue
    waiting++
    if (queue.waiters.size === 1) wakeIn(queue, shortage.waitMs)
    return undefined
  }

  function leave(waiter: Waiter): void {
    const { queue } = waiter
    const wasFirst = queue.waiters.first === waiter
    if (!queue.waiters.remove(waiter.flow, waiter)) return
    waiting--
    // The next one may need less than the first did.
    if (wasFirst) wake(queue)
    else dropIfEmpty(queue)
  }

  function dropIfEmpty(queue: Queue): void {
    if (queue.waiters.size > 0) return
    queue.cancelWake?.()
    queues.delete(queue.id)
  }

  function wakeIn(queue: Queue, ms: number | undefined): void {
    queue.cancelWake?.()
    queue.cancelWake = ms === undefined ? undefined : later(ms, () => wake(queue))
  }

  function wakeAll(applied: readonly AppliedLimit[], kind: LimitKind): void {
    for (const one of applied) {
      const queue = queues.get(queueId(one, kind))
      if (queue) wake(queue)
    }
  }

  /** Lets in all whose turn has come, in turn, up to the first for whom there is no room. */
  function wake(queue: Queue): void {
    for (let tries = queue.waiters.size; tries > 0; tries--) {
      const waiter = queue.waiters.first
      if (!waiter) break
      const got = counters.book(waiter.applied, waiter.demand, now())
      if ('kind' in got && queueId(got.applied, got.kind) === queue.id) {
        wakeIn(queue, got.waitMs)
        return
      }
      queue.waiters.shift()
      waiting--
      if (!('kind' in got)) waiter.done({ ok: true, lease: leaseOf(got) })
      else {
        // What it waited for is there, but another limit has run out meanwhile. Its deadline stays the one it had.
        const refusal = enqueue(waiter, got, got.applied.setting.queueMs)
        if (refusal) waiter.done({ ok: false, refusal })
      }
    }
    dropIfEmpty(queue)
  }

  /** Those who wait go by the limits of another configuration, and may have room at once. */
  function renew(inUse: readonly LimitSettings[]): void {
    const settings = new Map(inUse.map((setting) => [identityOf(setting), setting]))
    for (const queue of [...queues.values()]) {
      for (const waiter of queue.waiters) {
        waiter.applied = waiter.applied.flatMap((one) => {
          if (one.setting.group !== undefined) return [one]
          const setting = settings.get(identityOf(one.setting))
          return setting ? [{ setting, entity: one.entity }] : []
        })
      }
      wake(queue)
    }
  }

  function wait(
    applied: readonly AppliedLimit[],
    ask: LimitAsk,
    shortage: Shortage,
  ): LimitVerdict | Promise<LimitVerdict> {
    const { queueMs } = shortage.applied.setting
    let finish: (verdict: LimitVerdict) => void = () => {}
    const waiter: Waiter = {
      applied,
      demand: ask,
      flow: ask.flow ?? '',
      queue: undefined as unknown as Queue,
      done: (verdict) => finish(verdict),
    }
    const refusal = enqueue(waiter, shortage, queueMs)
    if (refusal) return { ok: false, refusal }
    return new Promise((resolve) => {
      const giveUp = (reason: LimitRefusal['reason']): void => {
        if (done) return
        leave(waiter)
        const fresh = counters.check(waiter.applied, ask, now()) ?? { ...shortage, waitMs: undefined }
        finish({ ok: false, refusal: refusalOf(fresh, reason) })
      }
      let done = false
      const cancelDeadline = later(queueMs, () => giveUp('waited'))
      finish = (verdict) => {
        done = true
        cancelDeadline()
        resolve(verdict)
      }
      ask.waits?.(() => giveUp('aborted'))
    })
  }

  return {
    admit(applied, ask) {
      const waitedFor = waiting > 0 ? queuedShortage(applied) : undefined
      const got = waitedFor ?? counters.book(applied, ask, now())
      if (!('kind' in got)) return { ok: true, lease: leaseOf(got) }
      const tooLarge = got.kind === 'tokens' && got.waitMs === undefined && !waitedFor
      if (got.applied.setting.queueMs > 0 && !tooLarge && !closed) return wait(applied, ask, got)
      return { ok: false, refusal: refusalOf(got, 'limit') }
    },
    check(applied) {
      const shortage = counters.check(applied, { tokens: 0 }, now())
      return shortage && refusalOf(shortage, 'limit')
    },
    states: statesOf,
    lines: (applied) => counters.linesOf(applied, now()),
    prune(inUse) {
      counters.prune(inUse, now())
      if (waiting > 0) renew(inUse)
    },
    get size() {
      return { entities: counters.entities, waiting }
    },
    close() {
      closed = true
      for (const queue of [...queues.values()]) {
        for (let waiter = queue.waiters.shift(); waiter; waiter = queue.waiters.shift()) {
          waiting--
          const [first] = waiter.applied
          const shortage: Shortage = { applied: first!, kind: kindsOf(first!)[0] ?? 'requests', waitMs: undefined }
          waiter.done({ ok: false, refusal: refusalOf(shortage, 'aborted') })
        }
        dropIfEmpty(queue)
      }
    },
  }
}

const kindsOf = ({ setting }: AppliedLimit): LimitKind[] => kinds.filter((kind) => setting[kind] !== undefined)

const queueId = ({ setting, entity }: AppliedLimit, kind: LimitKind): string => `${kind} ${setting.name}\0${entity}`

function startTimer(ms: number, run: () => void): () => void {
  // A timer may fire a fraction of a millisecond early, and would then find nothing new.
  const timer = setTimeout(run, Math.ceil(ms) + 1)
  return () => clearTimeout(timer)
}

/** One sentence for the client. */
export function explainRefusal({ kind, scope, limit, windowMs, reason, retryAfterMs }: LimitRefusal): string {
  const unit = { requests: 'requests', tokens: 'tokens', concurrency: 'requests at a time' }[kind]
  const span = kind === 'concurrency' ? '' : ` in ${windowMs / 1000} s`
  const told = `Rate limit reached: ${limit} ${unit}${span} for this ${scope === 'everything' ? 'gateway' : scope}.`
  if (reason === 'too_large') return `${told} This request alone may use more tokens than that.`
  if (reason === 'queue_full') return `${told} Too many requests wait already.`
  return retryAfterMs === undefined ? told : `${told} Try again in ${Math.ceil(retryAfterMs / 1000)} s.`
}
