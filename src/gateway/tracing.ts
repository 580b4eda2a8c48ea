// Traces of requests: which are kept, and what their spans say. Names and numbers only, never text of a prompt or an answer.
import { attemptId } from '../store/ledgerId.ts'
import type { TraceRow } from '../store/ledgerRow.ts'
import { spanOf, type TraceContext, writeTraceparent } from '../telemetry/trace/context.ts'
import type { Attribute, SpanExporter, SpanFacts } from '../telemetry/trace/exporter.ts'
import { names, providerName } from '../telemetry/trace/names.ts'
import { type Bill, outputTokens, promptTokens } from './bill.ts'
import { type Attempt, type Call, hasLeft, userOf } from './call.ts'
import { vendorName } from './foreignNames.ts'

/** Names and values of the headers that a call to an upstream carries on; none where traces are off, or where the provider's list has the client's own pass. */
export function traceHeaders(call: Call, attempt: number, passed: readonly string[]): string[] {
  const { trace } = call
  if (!trace || passed.includes('traceparent')) return []
  const headers = ['traceparent', writeTraceparent(trace, spanOf(attemptId(call.number, attempt)))]
  if (trace.state !== undefined && /^[\x20-\x7e]*$/.test(trace.state)) headers.push('tracestate', trace.state)
  return headers
}

/** What the database keeps of the trace; undefined when it is not kept. Errors and slow requests always are. */
export function keptTrace(call: Call, now: number): TraceRow | undefined {
  const { trace, startedAt } = call
  if (!trace || !(trace.sampled || wentWrong(call) || now - startedAt >= call.snapshot.trace.slow)) return undefined
  return {
    trace: trace.traceId,
    parent: trace.parent,
    sampled: trace.sampled,
    bodyMs: call.bodyAt === undefined ? undefined : call.bodyAt - startedAt,
    planMs: call.planAt === undefined ? undefined : call.planAt - startedAt,
  }
}

const wentWrong = ({ outcome, status }: Call): boolean =>
  outcome === 'failed' || outcome === 'partial' || outcome === undefined || status >= 500

/**
 * Hands a kept trace over. Its spans are made when the exporter has time; until then, which may be long where the collector is slow, it
 * holds names and numbers and nothing of the bodies.
 */
export function exportTrace(call: Call, now: number, exporter: SpanExporter, pseudonym: Pseudonym | undefined): void {
  // One for the request, and one for each attempt.
  if (call.trace) exporter.push(later(factsOf(call, call.trace, now), pseudonym), 1 + call.attempts.length)
}

type Pseudonym = (user: string) => string | undefined

/** Made here, where no call is in sight that it could hold. */
const later = (facts: TraceFacts, pseudonym: Pseudonym | undefined) => (): SpanFacts[] => spansOf(facts, pseudonym)

/** What spans say, taken out of a settled call. Times are milliseconds of the monotonic clock. */
interface TraceFacts extends Pick<Call, 'number' | 'id' | 'outcome' | 'startedAt' | 'firstTokenAt'> {
  readonly trace: TraceContext
  readonly endedAt: number
  /** Between the monotonic clock and the one of the day. Both are read now: `endedAt` may be long ago where many ended at once. */
  readonly offset: number
  readonly failed: boolean
  readonly user: string | undefined
  readonly route: string | undefined
  readonly key: string | undefined
  readonly team: string | undefined
  readonly dialect: string
  readonly stream: boolean | undefined
  readonly status: number | undefined
  readonly error: string | undefined
  readonly config: number
  readonly rollout: string | undefined
  readonly arm: string | undefined
  readonly attempts: readonly AttemptFacts[]
}

interface AttemptFacts
  extends Pick<
    Attempt,
    'n' | 'target' | 'model' | 'reason' | 'lane' | 'startedAt' | 'endedAt' | 'firstTokenAt' | 'status'
  > {
  readonly fault: string | undefined
  readonly served: string | undefined
  readonly reply: string | undefined
  readonly finish: string | undefined
  readonly bill: Bill | undefined
}

function factsOf(call: Call, trace: TraceContext, now: number): TraceFacts {
  const { error, key, assigned } = call
  return {
    number: call.number,
    id: call.id,
    outcome: call.outcome,
    startedAt: call.startedAt,
    firstTokenAt: call.firstTokenAt,
    trace,
    endedAt: now,
    offset: Date.now() - performance.now(),
    failed: wentWrong(call),
    user: userOf(call),
    route: call.route?.name,
    key: key?.name,
    team: key?.team,
    dialect: call.dialect.name,
    stream: call.inspected?.ask.stream,
    status: hasLeft(call) ? undefined : call.status,
    error: error === undefined ? undefined : 'kind' in error ? error.kind : error.code,
    config: call.snapshot.version,
    rollout: assigned?.live.name,
    arm: assigned?.arm,
    attempts: call.attempts.map(attemptFacts),
  }
}

function attemptFacts(attempt: Attempt): AttemptFacts {
  const { n, target, model, reason, lane, startedAt, endedAt, firstTokenAt, status, fault, facts, bill } = attempt
  return {
    n,
    target,
    model,
    reason,
    lane,
    startedAt,
    endedAt,
    firstTokenAt,
    status,
    // The fault itself may hold what the upstream said.
    fault: fault?.kind,
    served: facts?.model,
    reply: facts?.id,
    finish: facts?.finish,
    bill,
  }
}

function spansOf(facts: TraceFacts, pseudonym: Pseudonym | undefined): SpanFacts[] {
  const { trace, offset, user, endedAt } = facts
  const base = { traceId: trace.traceId, state: trace.state, sampled: trace.sampled }
  const root = spanOf(facts.number)
  const request: SpanFacts = {
    ...base,
    name: `chat ${facts.route ?? 'unknown'}`,
    kind: 'server',
    spanId: root,
    parent: trace.parent,
    start: facts.startedAt + offset,
    end: endedAt + offset,
    failed: facts.failed,
    attributes: {
      ...requestAttributes(facts),
      [names.user]: user === undefined ? undefined : pseudonym?.(user),
    },
  }
  const attempts = facts.attempts.map(
    (attempt): SpanFacts => ({
      ...base,
      name: `chat ${attempt.model}`,
      kind: 'client',
      spanId: spanOf(attemptId(facts.number, attempt.n)),
      parent: root,
      start: attempt.startedAt + offset,
      end: (attempt.endedAt ?? endedAt) + offset,
      failed: attempt.fault !== undefined,
      attributes: attemptAttributes(attempt),
    }),
  )
  return [request, ...attempts]
}

function requestAttributes(facts: TraceFacts): Record<string, Attribute | undefined> {
  return {
    [names.operation]: 'chat',
    [names.request]: facts.id,
    [names.route]: facts.route,
    [names.key]: facts.key,
    [names.team]: facts.team,
    [names.dialect]: facts.dialect,
    [names.stream]: facts.stream,
    [names.outcome]: facts.outcome ?? 'failed',
    [names.status]: facts.status,
    [names.errorType]: facts.error,
    [names.config]: facts.config,
    [names.rollout]: facts.rollout,
    [names.arm]: facts.arm,
    [names.firstToken]: facts.firstTokenAt === undefined ? undefined : facts.firstTokenAt - facts.startedAt,
  }
}

function attemptAttributes(attempt: AttemptFacts): Record<string, Attribute | undefined> {
  const { target, bill } = attempt
  const usage = bill?.usage
  return {
    [names.operation]: 'chat',
    [names.provider]: providerName(target.provider.kind.name),
    [names.requestModel]: attempt.model,
    [names.responseModel]: vendorName(attempt.served),
    [names.responseId]: vendorName(attempt.reply),
    [names.finishReasons]: attempt.finish === undefined ? undefined : [attempt.finish],
    [names.inputTokens]: usage && promptTokens(usage),
    [names.outputTokens]: usage && outputTokens(usage),
    [names.cacheReadTokens]: usage?.cacheRead,
    [names.cacheWriteTokens]: usage && usage.cacheWrite5m + usage.cacheWrite1h,
    [names.cost]: bill?.nanoUsd ?? undefined,
    [names.errorType]: attempt.fault,
    [names.status]: attempt.status,
    [names.serverAddress]: new URL(target.provider.origin).hostname,
    [names.target]: target.id,
    [names.lane]: attempt.lane,
    [names.attempt]: attempt.n,
    [names.reason]: attempt.reason,
    [names.firstToken]: attempt.firstTokenAt === undefined ? undefined : attempt.firstTokenAt - attempt.startedAt,
  }
}
