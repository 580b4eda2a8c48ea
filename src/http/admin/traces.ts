// GET /admin/traces and /admin/traces/{id}: what happened in a request, step by step.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import { parseId } from '../../store/ledgerId.ts'
import type { TracedRequest } from '../../store/traceRead.ts'
import { requestIn } from '../../telemetry/trace/context.ts'
import { attemptShape, presentAttempt, presentRequest, requestFields } from './present.ts'
import { withLedger } from './reading.ts'
import { number, whole } from './requests.ts'
import { defineRoute } from './route.ts'
import { listed, named, word } from './shape.ts'

const statusWords = 'expected ok, error, or the status of an HTTP reply'

const query = z.strictObject({
  hours: whole(1, 876_000),
  route: z.string().min(1).max(512).optional(),
  status: z.union([z.enum(['ok', 'error'], { error: statusWords }), number(0, 999, statusWords)]).optional(),
  limit: whole(1, 1000),
  before: z
    .string()
    .transform((id) => parseId(id))
    .refine((id) => id !== undefined, { error: 'expected the `next_before` of the page before' })
    .optional(),
})

const summary = {
  trace_id: z.string(),
  parent_span_id: z.string().nullable(),
  sampled: z.boolean(),
  ...requestFields,
}
const step = z.object({ name: z.string(), start_ms: z.number(), end_ms: z.number().nullable() })
const detail = named('TracedRequest', { ...summary, steps: z.array(step), attempts: z.array(attemptShape) })

export const listTraces = defineRoute({
  method: 'GET',
  path: '/traces',
  role: 'viewer',
  summary: 'Traces, newest first: of the last `hours` (24), with a `status` (ok, error, or a number), of a `route`.',
  query,
  reply: listed('TraceList', named('TraceSummary', summary), {
    has_more: z.boolean(),
    next_before: z.string().nullable(),
  }),
  async answer({ query: { hours = 24, status, route, limit = 50, before }, deps, gone }) {
    const { rows, next } = await withLedger({ deps, gone }, ({ reader }) =>
      reader.traces({
        from: Date.now() - hours * 3_600_000,
        route,
        ok: typeof status === 'string' ? status === 'ok' : undefined,
        status: typeof status === 'number' ? status : undefined,
        before,
        limit,
      }),
    )
    const data = rows.map(summaryOf)
    return {
      json: {
        object: 'list',
        data,
        has_more: next !== undefined,
        next_before: next === undefined ? null : data.at(-1)!.id,
      },
    }
  },
})

export const showTrace = defineRoute({
  method: 'GET',
  path: '/traces/:id',
  role: 'viewer',
  summary: 'One trace by its id or that of a request, with its steps and upstream calls on one line of time.',
  reply: named('Trace', { object: word('trace'), trace_id: z.string(), requests: z.array(detail) }),
  async answer({ params, deps, gone }) {
    const id = params.id!
    const request = parseId(id)
    if (request === undefined && !/^[0-9a-f]{32}$/.test(id))
      throw new Refusal(
        'invalid_value',
        "'id': expected a trace of 32 hex digits, or a request such as req_0123456789a.",
        'id',
      )
    const ask = request === undefined ? { trace: id, request: requestIn(id) } : { request }
    const rows = await withLedger({ deps, gone }, ({ reader }) => reader.trace(ask))
    const [first] = rows
    if (!first) throw new Refusal('not_found', 'There is no such trace: it was not kept, or not any more.', 'id')
    return { json: { object: 'trace', trace_id: first.trace.trace, requests: rows.map(detailOf) } }
  },
})

const milliseconds = (us: number | null): number | null => (us === null ? null : us / 1000)

function summaryOf({ trace, request }: TracedRequest) {
  return {
    trace_id: trace.trace,
    parent_span_id: trace.parent,
    sampled: trace.sampled === 1,
    ...presentRequest(request),
  }
}

function detailOf(row: TracedRequest) {
  return { ...summaryOf(row), steps: stepsOf(row), attempts: row.attempts.map(presentAttempt) }
}

/** What the time of a request went into, in milliseconds from its arrival; gaps between calls are waits before the next one. */
function stepsOf({ trace, request, attempts }: TracedRequest) {
  const end = milliseconds(request.latency_us)
  const steps: { name: string; start_ms: number; end_ms: number | null }[] = []
  const body = milliseconds(trace.body_us)
  const plan = milliseconds(trace.plan_us)
  steps.push({ name: 'receive', start_ms: 0, end_ms: body ?? end })
  if (body !== null) steps.push({ name: 'admit and plan', start_ms: body, end_ms: plan ?? end })
  let at = plan
  for (const { n, target, reason, started_us, latency_us } of attempts) {
    const start = milliseconds(started_us) ?? at ?? 0
    if (at !== null && start - at > 0.5) steps.push({ name: n === 1 ? 'record' : 'wait', start_ms: at, end_ms: start })
    at = start + (milliseconds(latency_us) ?? 0)
    steps.push({ name: `call ${n}: ${target} (${reason})`, start_ms: start, end_ms: at })
  }
  if (at !== null && end !== null && attempts.length > 0)
    steps.push({ name: 'settle', start_ms: at, end_ms: Math.max(at, end) })
  return steps
}
