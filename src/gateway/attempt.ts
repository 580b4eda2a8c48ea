// One attempt: the request as this target wants it, sent, and waited for until it is good or has failed.
import type { Target } from '../config/snapshot.ts'
import { UpstreamFault } from '../dialects/errors.ts'
import type { Turn } from '../state/turn.ts'
import type { AttemptReason, Estimate } from '../store/ledgerRow.ts'
import { armWatched, watchAbort } from './armEvents.ts'
import { costsNothing } from './bill.ts'
import type { Books } from './books.ts'
import type { BudgetGate } from './budgetGate.ts'
import { type Attempt, type Call, ClientGone, isAbandoned } from './call.ts'
import { Exchange } from './exchange.ts'
import { modelFor, requestHeaders } from './headers.ts'
import { laneFor } from './lanes.ts'
import type { Pools } from './pools.ts'
import { traceHeaders } from './tracing.ts'

/** A good reply: whole, or a stream that has begun well. */
export interface Good {
  attempt: Attempt
  exchange: Exchange
}

/** What trying a target takes. */
export interface Means {
  readonly turn: Turn
  readonly pools: Pools
  readonly books: Books
  /** Undefined where no budgets are kept. */
  readonly budgets: BudgetGate | undefined
  /** What the intent says that the attempt costs, should this process die before it ends. */
  worth(call: Call, attempt: Attempt): Estimate | undefined
}

/** @throws UpstreamFault, ClientGone; Refusal when the attempt cannot be recorded or translated */
export async function tryTarget(
  call: Call,
  target: Target,
  reason: AttemptReason,
  hops: number,
  means: Means,
): Promise<Good> {
  const { ask } = call.inspected!
  const route = call.route!
  const known = means.budgets?.ready(call)
  if (known) await known
  let { lane, outbound } = laneFor(call, target)
  const held = means.budgets?.hold(call, target, lane)
  if (held?.cap !== undefined) {
    try {
      ;({ lane, outbound } = laneFor(call, target, held.cap))
    } catch (error) {
      // A shorter answer may have no room for what a strict client insists on.
      means.budgets!.release(held)
      throw error
    }
  }
  const attempt: Attempt = {
    n: call.attempts.length + 1,
    target,
    model: modelFor(target, call),
    reason,
    lane: lane.name,
    losses: lane.losses,
    startedAt: performance.now(),
    endedAt: undefined,
    status: undefined,
    firstTokenAt: undefined,
    fault: undefined,
    facts: undefined,
    worth: undefined,
    held,
    sent: false,
    permit: undefined,
    heldBackMs: 0,
    bill: undefined,
  }
  try {
    attempt.worth = means.worth(call, attempt)
    const intended = means.books.intend(call, attempt)
    if (intended) await intended
  } catch (error) {
    means.budgets?.release(held)
    throw error
  }
  call.attempts.push(attempt)
  attempt.startedAt = performance.now()
  const exchange = new Exchange({
    lane: armWatched(call, attempt, lane, outbound),
    target,
    outbound,
    stream: ask.stream,
    timeouts: target.timeouts,
    commitAfter: route.commitAfter,
    maxReplyBytes: call.snapshot.server.maxReplyBytes,
    later: (judge) => means.turn.at('closing', judge),
  })
  // The route's limit is for the request with all its attempts, the target's own for this call: another target may be quicker.
  const requestLeft = Math.max(0, call.startedAt + route.timeouts.total - attempt.startedAt)
  const callLimit = target.timeouts.total
  const deadline = setTimeout(
    () => {
      const text =
        callLimit < requestLeft
          ? `The upstream took longer than ${callLimit} ms.`
          : `The request took longer than ${route.timeouts.total} ms.`
      exchange.expire(new UpstreamFault('total_timeout', text))
    },
    Math.min(requestLeft, callLimit),
  )
  const over = watchAbort(call, target, (fault) => exchange.fail(fault))
  try {
    const wire: Wire = [
      lane.path,
      lane.body,
      [
        ...requestHeaders(call.req, target, lane, ask.stream, hops),
        ...traceHeaders(call, attempt.n, target.provider.passHeaders),
      ],
    ]
    await waitForGood(call, attempt, exchange, means.pools, wire)
    return { attempt, exchange }
  } catch (error) {
    if (error instanceof UpstreamFault) attempt.fault = error
    throw error
  } finally {
    over?.()
    if (exchange.takenBack) attempt.sent = false
    attempt.status = exchange.status || undefined
    attempt.facts = exchange.facts
    attempt.endedAt = exchange.endedAt ?? performance.now()
    if (attempt.facts && attempt.facts.contentBytes > 0) attempt.firstTokenAt = attempt.endedAt
    call.upstreamMs += attempt.endedAt - attempt.startedAt
    if (held && attempt.fault && costsNothing(attempt)) {
      // Another target may need the room at once. First in the books: what is held and what is booked never exceed a limit together.
      means.books.free(call, attempt)
      means.budgets?.release(held)
    }
    if (isAbandoned(call)) exchange.abort()
    if (exchange.ended) clearTimeout(deadline)
    else exchange.deadline = deadline
  }
}

type Wire = [path: string, body: Buffer, headers: string[]]

function waitForGood(call: Call, attempt: Attempt, exchange: Exchange, pools: Pools, wire: Wire): Promise<void> {
  if (isAbandoned(call)) return Promise.reject(new ClientGone())
  // Its arm was taken back just now: it was never made.
  if (exchange.ended) return exchange.good
  attempt.sent = true
  const [path, body, headers] = wire
  const { target } = attempt
  const { provider } = target
  return new Promise((resolve, reject) => {
    call.onGone = () => {
      exchange.abort()
      reject(new ClientGone())
    }
    exchange.good.then(resolve, reject)
    const request = { path: provider.basePath + path, method: 'POST' as const, headers, body }
    exchange.takeBack = pools.dispatch(provider, target.timeouts.connect, request, exchange)
  })
}
