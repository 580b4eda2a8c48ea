// Traces of requests: which are kept, and what their spans say. Names and numbers only, never text of a prompt or an answer.
import { attemptId } from '../store/ledgerId.ts'
import type { TraceRow } from '../store/ledgerRow.ts'
import { spanOf, type TraceContext, writeTraceparent } from '../telemetry/trace/context.ts'
import type { Attribute, SpanExporter, SpanFacts } from '../telemetry/trace/exporter.ts'
import { names, providerName } from '../telemetry/trace/names.ts'
import { outputTokens, promptTokens } from './bill.ts'
import { type Attempt, type Call, userOf } from './call.ts'
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

/** Hands the spans of a kept trace over. They are made when the exporter has time: a settled call does not change any more. */
export function exportTrace(
  call: Call,
  now: number,
  exporter: SpanExporter,
  pseudonym: ((user: string) => string | undefined) | undefined,
): void {
  const { trace } = call
  if (!trace) return
  // The clock of the spans is monotonic, from the moment at which this request is told.
  const offset = Date.now() - now
  exporter.push(() => spansOf(call, trace, now, offset, pseudonym))
}

function spansOf(
  call: Call,
  trace: TraceContext,
  now: number,
  offset: number,
  pseudonym: ((user: string) => string | undefined) | undefined,
): SpanFacts[] {
  const base = { traceId: trace.traceId, state: trace.state, sampled: trace.sampled }
  const root = spanOf(call.number)
  const user = userOf(call)
  const request: SpanFacts = {
    ...base,
    name: `chat ${call.route?.name ?? 'unknown'}`,
    kind: 'server',
    spanId: root,
    parent: trace.parent,
    start: call.startedAt + offset,
    end: now + offset,
    failed: wentWrong(call),
    attributes: {
      ...requestAttributes(call),
      [names.user]: user === undefined ? undefined : pseudonym?.(user),
    },
  }
  const attempts = call.attempts.map(
    (attempt): SpanFacts => ({
      ...base,
      name: `chat ${attempt.model}`,
      kind: 'client',
      spanId: spanOf(attemptId(call.number, attempt.n)),
      parent: root,
      start: attempt.startedAt + offset,
      end: (attempt.endedAt ?? now) + offset,
      failed: attempt.fault !== undefined,
      attributes: attemptAttributes(attempt),
    }),
  )
  return [request, ...attempts]
}

function requestAttributes(call: Call): Record<string, Attribute | undefined> {
  const { error } = call
  return {
    [names.operation]: 'chat',
    [names.request]: call.id,
    [names.route]: call.route?.name,
    [names.key]: call.key?.name,
    [names.team]: call.key?.team,
    [names.dialect]: call.dialect.name,
    [names.stream]: call.inspected?.ask.stream,
    [names.outcome]: call.outcome ?? 'failed',
    [names.status]: call.gone ? undefined : call.status,
    [names.errorType]: error === undefined ? undefined : 'kind' in error ? error.kind : error.code,
    [names.config]: call.snapshot.version,
    [names.rollout]: call.assigned?.live.name,
    [names.arm]: call.assigned?.arm,
    [names.firstToken]: call.firstTokenAt === undefined ? undefined : call.firstTokenAt - call.startedAt,
  }
}

function attemptAttributes(attempt: Attempt): Record<string, Attribute | undefined> {
  const { target, facts, fault, bill } = attempt
  const usage = bill?.usage
  return {
    [names.operation]: 'chat',
    [names.provider]: providerName(target.provider.kind.name),
    [names.requestModel]: attempt.model,
    [names.responseModel]: vendorName(facts?.model),
    [names.responseId]: vendorName(facts?.id),
    [names.finishReasons]: facts?.finish === undefined ? undefined : [facts.finish],
    [names.inputTokens]: usage && promptTokens(usage),
    [names.outputTokens]: usage && outputTokens(usage),
    [names.cacheReadTokens]: usage?.cacheRead,
    [names.cacheWriteTokens]: usage && usage.cacheWrite5m + usage.cacheWrite1h,
    [names.cost]: bill?.nanoUsd ?? undefined,
    [names.errorType]: fault?.kind,
    [names.status]: attempt.status,
    [names.serverAddress]: new URL(target.provider.origin).hostname,
    [names.target]: target.id,
    [names.lane]: attempt.lane,
    [names.attempt]: attempt.n,
    [names.reason]: attempt.reason,
    [names.firstToken]: attempt.firstTokenAt === undefined ? undefined : attempt.firstTokenAt - attempt.startedAt,
  }
}
