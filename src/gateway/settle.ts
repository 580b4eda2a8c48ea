// The last step of the journey: what happened is counted and written down, exactly once.
import type { Snapshot } from '../config/snapshot.ts'
import type { Usage } from '../dialects/chat.ts'
import { Refusal, UpstreamFault } from '../dialects/errors.ts'
import { lossLabel } from '../dialects/loss.ts'
import type { Health } from '../state/health.ts'
import type { Turn } from '../state/turn.ts'
import type { Latencies } from '../telemetry/latency.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { SpanExporter } from '../telemetry/trace/exporter.ts'
import { armEnded, armSpent } from './armEvents.ts'
import { billOf, outputTokens, promptTokens, type Rates } from './bill.ts'
import type { Books } from './books.ts'
import type { BudgetGate } from './budgetGate.ts'
import type { CacheTurn } from './cacheTurn.ts'
import { type Attempt, type Call, endGone, hasLeft, ownTimeOf, speakerOf, userOf } from './call.ts'
import { vendorName } from './foreignNames.ts'
import { settleLimits } from './limitGate.ts'
import { createTally } from './tally.ts'
import { exportTrace, keptTrace } from './tracing.ts'
import { createUnpriced } from './unpriced.ts'
import { verdictOf } from './verdict.ts'

export interface Witnesses {
  readonly turn: Turn
  readonly metrics: Metrics
  readonly latencies: Pick<Latencies, 'observe'>
  readonly log: Log
  readonly books: Books
  readonly budgets: BudgetGate | undefined
  readonly health: Health
  /** Prices and token ratios of a snapshot. */
  rates(snapshot: Snapshot): Rates
  /** Told of each request that could be answered out of the cache. */
  cached(route: string, turn: CacheTurn): void
  /** Told of each call when its bills are made. */
  readonly watched?: ((call: Call) => void) | undefined
  /** A fault of our own code. */
  crashed(error: unknown, call: Call): void
  /** Told of each request that a rollout assigned. */
  assigned?(rollout: string, arm: string, assignment: string): void
  /** The client's address, where the operator wants it in the log. */
  readonly address?: (call: Call) => string | undefined
  /** Where spans of kept traces go. */
  readonly exporter?: SpanExporter | undefined
  /** Another name for an end user, where the operator wants one in the log. */
  readonly pseudonym?: (user: string) => string | undefined
}

/** @param now when the call was over, by `performance.now()` */
type Step = (call: Call, now: number) => void

interface Ending {
  readonly call: Call
  readonly now: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Returns the settling of one call; a promise means that the end of the reply has to wait for it. It rejects with what the books reject with.
 *
 * Calls that are over in the same turn of the event loop are settled together, each step for all of them.
 */
export function createSettle(witnesses: Witnesses): (call: Call) => Promise<void> | undefined {
  const { turn, books, crashed } = witnesses
  const steps = stepsOf(witnesses)
  let endings: Ending[] = []

  function settleAll(): void {
    const these = endings
    endings = []
    for (const step of steps) {
      for (const { call, now } of these) {
        try {
          step(call, now)
        } catch (error) {
          // Whatever could not be told of it: it is written down.
          crashed(error, call)
        }
      }
    }
    for (const { call, now, resolve, reject } of these) {
      try {
        const recorded = books.settle(call, now)
        if (recorded) recorded.then(resolve, reject)
        else resolve()
      } catch (error) {
        // Told here, because nobody waits for the record of a call that had no reply.
        crashed(error, call)
        reject(error)
      }
    }
  }

  return (call) => {
    const now = performance.now()
    if (!call.admitted) {
      for (const step of steps) step(call, now)
      return undefined
    }
    return new Promise((resolve, reject) => {
      if (endings.push({ call, now, resolve, reject }) === 1) turn.at('settling', settleAll)
    })
  }
}

function stepsOf(witnesses: Witnesses): readonly Step[] {
  const { metrics, health, budgets, latencies, exporter, pseudonym } = witnesses
  const tally = createTally(metrics)
  const unpriced = createUnpriced(witnesses.log)
  return [
    (call) => {
      // The end of a reply is sent after this: whoever has left by now does not get it, and what was made for others was sent to nobody.
      if (call.gone) endGone(call)
      const rates = witnesses.rates(call.snapshot)
      for (const attempt of call.attempts) {
        attempt.bill = billOf(call, attempt, rates)
        if (attempt.bill.nanoUsd === null) unpriced(attempt)
      }
    },
    ({ attempts }) => {
      for (const { target, startedAt, endedAt } of attempts)
        if (endedAt !== undefined) latencies.observe(target.id, endedAt - startedAt)
    },
    settleLimits,
    (call) => {
      budgets?.settle(call)
      blameLate(call, health)
    },
    (call, now) => count(call, now, metrics),
    tally,
    (call) => {
      if (call.cache) witnesses.cached(call.route!.name, call.cache)
      const { assigned } = call
      if (!assigned) return
      armSpent(call)
      armEnded(call)
      witnesses.assigned?.(assigned.live.name, assigned.arm, assigned.assignment)
    },
    (call, now) => note(call, now, witnesses),
    (call, now) => {
      if (exporter && call.admitted && keptTrace(call, now)) exportTrace(call, now, exporter, pseudonym)
      witnesses.watched?.(call)
    },
  ]
}

/** A stream that breaks after its commit point: the permit was handed back with "good" then, the fault counts by itself. */
function blameLate(call: Call, health: Health): void {
  const attempt = call.attempts.at(-1)
  if (!attempt?.permit || !attempt.fault) return
  const verdict = verdictOf(call, attempt, attempt.fault)
  health.settle(attempt.target.id, { probe: false, generation: attempt.permit.generation }, verdict, attempt.fault.kind)
}

function count(call: Call, now: number, metrics: Metrics): void {
  const { attempts } = call
  for (const attempt of attempts) {
    metrics.attemptEnded({
      target: attempt.target.id,
      outcome: outcomeOf(attempt, call),
      durationMs: (attempt.endedAt ?? now) - attempt.startedAt,
      usage: attempt.bill?.usage,
      nanoUsd: attempt.bill?.nanoUsd,
      dropped: attempt.losses.length > 0 ? new Set(attempt.losses.map(lossLabel)) : undefined,
    })
  }
  const stream = call.inspected?.ask.stream ?? false
  metrics.requestEnded({
    route: call.route?.name ?? '',
    target: speakerOf(call)?.target.id ?? '',
    status: hasLeft(call) ? 0 : call.status,
    outcome: call.outcome ?? 'failed',
    durationMs: now - call.startedAt,
    firstTokenMs: stream ? firstTokenMs(call) : undefined,
    overheadMs: ownTimeOf(call, now),
    stream,
    background: call.background,
  })
}

function outcomeOf(attempt: Attempt, call: Call) {
  if (attempt.fault) return attempt.fault.kind
  // One that came to its end for others, or for the cache, was not cut off by the client that left.
  return call.gone && attempt.facts?.finish === undefined ? 'cancelled' : 'ok'
}

function firstTokenMs(call: Call): number | undefined {
  return call.firstTokenAt === undefined ? undefined : call.firstTokenAt - call.startedAt
}

function note(call: Call, now: number, { log, address, pseudonym }: Witnesses): void {
  const attempt = speakerOf(call)
  const facts = attempt?.facts
  const ask = call.inspected?.ask
  const user = userOf(call)
  log.request({
    id: call.id,
    route: call.route?.name ?? '',
    model: ask?.model,
    target: attempt?.target.id,
    provider: attempt?.target.provider.name,
    servedModel: vendorName(facts?.model),
    dialect: call.dialect.name,
    lane: attempt?.lane,
    stream: ask?.stream,
    status: call.status,
    outcome: call.outcome ?? 'failed',
    fault: attempt ? attempt.fault?.kind : faultOf(call),
    queuedMs: call.queuedMs > 0 ? rounded(call.queuedMs) : undefined,
    limit: limitOf(call),
    refusal: call.error instanceof Refusal ? call.error.code : undefined,
    attempts: call.attempts.length,
    cache: call.cache?.status,
    durationMs: rounded(now - call.startedAt),
    firstTokenMs: rounded(firstTokenMs(call)),
    overheadMs: rounded(ownTimeOf(call, now)),
    inputTokens: tokensOf(call, promptTokens),
    outputTokens: tokensOf(call, outputTokens),
    costNanoUsd: costOf(call) ?? undefined,
    finish: facts?.finish,
    config: call.snapshot.version,
    key: call.key?.name,
    rollout: call.assigned?.live.name,
    arm: call.assigned?.arm,
    address: address?.(call),
    user: user === undefined ? undefined : pseudonym?.(user),
    trace: call.trace?.traceId,
  })
}

/** What broke the call of another request that it shared. */
function faultOf({ error }: Call): string | undefined {
  return error instanceof UpstreamFault ? error.kind : undefined
}

/** Of all attempts, as the cost is and the ledger's row. */
function tokensOf(call: Call, count: (usage: Usage) => number): number | undefined {
  let sum: number | undefined
  for (const { bill } of call.attempts) if (bill) sum = (sum ?? 0) + count(bill.usage)
  return sum
}

/** The limit that the request was refused by. */
function limitOf({ error }: Call): string | undefined {
  if (!(error instanceof Refusal) || error.code !== 'rate_limit_exceeded') return undefined
  return error.metadata?.limit as string | undefined
}

/** Cost of all attempts in nano-USD; null when one of them has no known price. */
export function costOf(call: Call): number | null {
  let sum = 0
  for (const { bill } of call.attempts) {
    if (bill === undefined || bill.nanoUsd === null) return null
    sum += bill.nanoUsd
  }
  return sum
}

/** Microseconds are enough. */
function rounded<T extends number | undefined>(ms: T): T {
  return (ms === undefined ? undefined : Math.round(ms * 1000) / 1000) as T
}
