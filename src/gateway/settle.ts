// The last step of the journey: what happened is counted and written down, exactly once.
import type { Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { lossLabel } from '../dialects/loss.ts'
import type { Health } from '../state/health.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { SpanExporter } from '../telemetry/trace/exporter.ts'
import { armEnded, armSpent } from './armEvents.ts'
import { billOf, outputTokens, promptTokens, type Rates } from './bill.ts'
import type { Books } from './books.ts'
import type { BudgetGate } from './budgetGate.ts'
import { type Attempt, type Call, overheadOf, userOf } from './call.ts'
import { vendorName } from './foreignNames.ts'
import { createTally } from './tally.ts'
import { exportTrace, keptTrace } from './tracing.ts'

export interface Witnesses {
  readonly metrics: Metrics
  readonly log: Log
  readonly books: Books
  readonly budgets: BudgetGate | undefined
  readonly health: Health
  /** Prices and token ratios of a snapshot. */
  rates(snapshot: Snapshot): Rates
  /** Told of each request that a rollout assigned. */
  assigned?(rollout: string, arm: string, assignment: string): void
  /** The client's address, where the operator wants it in the log. */
  readonly address?: (call: Call) => string | undefined
  /** Where spans of kept traces go. */
  readonly exporter?: SpanExporter | undefined
  /** Another name for an end user, where the operator wants one in the log. */
  readonly pseudonym?: (user: string) => string | undefined
}

/** Returns the settling of one call; a promise means that the end of the reply has to wait for it. */
export function createSettle(witnesses: Witnesses): (call: Call) => Promise<void> | undefined {
  const tally = createTally(witnesses.metrics)
  return (call) => {
    const now = performance.now()
    const rates = witnesses.rates(call.snapshot)
    for (const attempt of call.attempts) attempt.bill = billOf(call, attempt, rates)
    witnesses.budgets?.settle(call)
    blameLate(call, witnesses.health)
    count(call, now, witnesses.metrics)
    tally(call)
    const { assigned } = call
    if (assigned) {
      armSpent(call)
      armEnded(call)
    }
    if (assigned) witnesses.assigned?.(assigned.live.name, assigned.arm, assigned.assignment)
    note(call, now, witnesses)
    if (witnesses.exporter && call.admitted && keptTrace(call, now))
      exportTrace(call, now, witnesses.exporter, witnesses.pseudonym)
    return witnesses.books.settle(call, now)
  }
}

/** A stream that breaks after its commit point: the permit was handed back with "good" then, the fault counts by itself. */
function blameLate(call: Call, health: Health): void {
  const attempt = call.attempts.at(-1)
  if (!attempt?.permit || !attempt.fault) return
  const verdict = attempt.fault.rule.breaker
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
    target: attempts.at(-1)?.target.id ?? '',
    status: call.gone ? 0 : call.status,
    outcome: call.outcome ?? 'failed',
    durationMs: now - call.startedAt,
    firstTokenMs: stream ? firstTokenMs(call) : undefined,
    overheadMs: stream ? undefined : overheadOf(call, now),
    stream,
  })
}

function outcomeOf(attempt: Attempt, call: Call) {
  if (attempt.fault) return attempt.fault.kind
  return call.outcome === 'client_disconnected' ? 'cancelled' : 'ok'
}

function firstTokenMs(call: Call): number | undefined {
  return call.firstTokenAt === undefined ? undefined : call.firstTokenAt - call.startedAt
}

function note(call: Call, now: number, { log, address, pseudonym }: Witnesses): void {
  const attempt = call.attempts.at(-1)
  const facts = attempt?.facts
  const bill = attempt?.bill
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
    fault: attempt?.fault?.kind,
    queuedMs: call.queuedMs > 0 ? rounded(call.queuedMs) : undefined,
    limit: limitOf(call),
    refusal: call.error && 'code' in call.error && call.outcome === 'refused' ? call.error.code : undefined,
    attempts: call.attempts.length,
    cache: call.cache?.status,
    durationMs: rounded(now - call.startedAt),
    firstTokenMs: rounded(firstTokenMs(call)),
    overheadMs: ask?.stream ? undefined : rounded(overheadOf(call, now)),
    inputTokens: bill && promptTokens(bill.usage),
    outputTokens: bill && outputTokens(bill.usage),
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
