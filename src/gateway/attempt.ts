// One attempt: the request as this target wants it, sent, and waited for until it is good or has failed.
import type { Target } from '../config/snapshot.ts'
import { UpstreamFault } from '../dialects/errors.ts'
import { type Attempt, type Call, ClientGone } from './call.ts'
import { Exchange } from './exchange.ts'
import { requestHeaders } from './headers.ts'
import { laneFor } from './lanes.ts'
import type { Pools } from './pools.ts'

/** A good reply: whole, or a stream that has begun well. */
export interface Good {
  attempt: Attempt
  exchange: Exchange
}

/** @throws UpstreamFault, ClientGone */
export async function tryTarget(call: Call, target: Target, hops: number, pools: Pools): Promise<Good> {
  const { ask } = call.inspected!
  const route = call.route!
  const { lane, outbound } = laneFor(call, target)
  const attempt: Attempt = {
    target,
    lane: lane.name,
    losses: lane.losses,
    startedAt: performance.now(),
    endedAt: undefined,
    status: undefined,
    fault: undefined,
    facts: undefined,
  }
  call.attempts.push(attempt)
  const exchange = new Exchange({
    lane,
    target,
    outbound,
    stream: ask.stream,
    timeouts: target.timeouts,
    commitAfter: route.commitAfter,
    maxReplyBytes: call.snapshot.server.maxReplyBytes,
  })
  const remaining = call.startedAt + route.timeouts.total - attempt.startedAt
  const deadline = setTimeout(
    () => {
      exchange.fail(new UpstreamFault('total_timeout', `The request took longer than ${route.timeouts.total} ms.`))
    },
    Math.max(0, remaining),
  )
  try {
    await waitForGood(call, target, exchange, pools, [
      lane.path,
      lane.body,
      requestHeaders(call.req, target, lane, ask.stream, hops),
    ])
    return { attempt, exchange }
  } catch (error) {
    if (error instanceof UpstreamFault) attempt.fault = error
    throw error
  } finally {
    attempt.status = exchange.status || undefined
    attempt.facts = exchange.facts
    attempt.endedAt = performance.now()
    call.upstreamMs += attempt.endedAt - attempt.startedAt
    if (exchange.ended || call.gone) clearTimeout(deadline)
    else exchange.deadline = deadline
  }
}

type Wire = [path: string, body: Buffer, headers: string[]]

function waitForGood(call: Call, target: Target, exchange: Exchange, pools: Pools, wire: Wire): Promise<void> {
  if (call.gone) return Promise.reject(new ClientGone())
  const [path, body, headers] = wire
  const { provider } = target
  return new Promise((resolve, reject) => {
    call.onGone = () => {
      exchange.abort()
      reject(new ClientGone())
    }
    exchange.good.then(resolve, reject)
    pools
      .of(provider.origin, target.timeouts.connect)
      .dispatch({ path: provider.basePath + path, method: 'POST', headers, body }, exchange)
  })
}
