// The journey of one request, step by step.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'
import type { Dialect } from '../dialects/dialect.ts'
import { Refusal, UpstreamFault } from '../dialects/errors.ts'
import { refuseCrowd } from '../dialects/valueCount.ts'
import type { Repeats } from '../state/cache/repeats.ts'
import type { ResponseCache } from '../state/cache/responseCache.ts'
import type { Health } from '../state/health.ts'
import { createRetryBudget } from '../state/retryBudget.ts'
import { createSignatures } from '../state/signatures.ts'
import type { Turn } from '../state/turn.ts'
import type { HistogramRow } from '../telemetry/families.ts'
import { withModel } from './addressed.ts'
import type { Gatekeeper } from './admit.ts'
import { requireRoute } from './allow.ts'
import type { Assigning } from './arm.ts'
import { type Rates, worthOf } from './bill.ts'
import { readBody } from './body.ts'
import type { Books } from './books.ts'
import type { BudgetGate } from './budgetGate.ts'
import { type Caching, createCaching } from './cache.ts'
import { type Call, ClientGone, endGone, hasLeft, isBegun, openCall } from './call.ts'
import { firstAffordable } from './cheaperRoute.ts'
import { degrade } from './degrade.ts'
import type { Door } from './door.ts'
import { echo, wantsEcho } from './echo.ts'
import type { Survival } from './firstGood.ts'
import type { LimitGate } from './limitGate.ts'
import { makePlan, type Plan } from './plan.ts'
import type { Pools } from './pools.ts'
import { breakOff, refuse } from './refuse.ts'
import { relay } from './relay.ts'
import { routeOf } from './route.ts'
import { checkSwitches } from './switches.ts'

export interface Gateway {
  snapshot(): Snapshot
  readonly pools: Pools
  readonly gatekeeper: Gatekeeper
  readonly door: Door
  readonly limits: LimitGate
  readonly turn: Turn
  readonly books: Books
  readonly budgets: BudgetGate | undefined
  readonly health: Health
  /** Prices and token ratios of a snapshot. */
  rates(snapshot: Snapshot): Rates
  readonly cache: ResponseCache
  /** The installation's hash of an end user's id. */
  readonly hashUser?: ((user: string) => string) | undefined
  random(): number
  /** Moves traffic by percent; without it nothing does. */
  readonly assigning?: Assigning | undefined
  started(call: Call): void
  /** Where the gaps between the pieces of a route's streams are observed. */
  tokenGaps(route: string): HistogramRow
  /** Called exactly once a request, before the end of its reply is released; a promise holds the end back. */
  settled(call: Call): Promise<void> | undefined
  /** A fault of our own code. */
  crashed(error: unknown, call: Call): void
}

export type Handle = (
  req: IncomingMessage,
  res: ServerResponse,
  dialect: Dialect,
  doorHeaders: readonly string[],
  /** The model that the address names: it goes before the body's. */
  model?: string,
) => Promise<void>

/** The handler of chat requests. Each is answered and settled, exactly once, whatever happens to it. */
export function createHandle(gateway: Gateway): Handle {
  const settle = (call: Call): Promise<void> | undefined => {
    if (call.settled) return undefined
    call.settled = true
    return gateway.settled(call)
  }
  const signatures = createSignatures()
  const survival: Survival = {
    pools: gateway.pools,
    turn: gateway.turn,
    books: gateway.books,
    budgets: gateway.budgets,
    health: gateway.health,
    retryBudget: createRetryBudget(),
    random: gateway.random,
    worth: (call, attempt) => worthOf(call, attempt, gateway.rates(call.snapshot)),
  }
  /** The key that lets it in. Throws and rejects with what the door and the gatekeeper refuse with. */
  const keyOf = ({ req, snapshot }: Call) => gateway.door.enter(req, () => gateway.gatekeeper.admit(req, snapshot))
  const planFor = (call: Call): Plan => makePlan(call, gateway.random(), gateway.assigning)
  /** The rest of the journey of a call that has a plan. */
  const travel = async (call: Call, plan: Plan): Promise<void> => {
    const good = await firstAffordable(call, plan, survival, planFor)
    await relay(call, good, settle, gateway.tokenGaps(call.route!.name))
  }
  const end = (call: Call): void => {
    call.onGone = undefined
    call.cache?.flight?.fail()
    call.lease?.release()
    // Nobody waits for the record of a request that had no reply; its failures are the ledger's to report.
    settle(call)?.catch(() => {})
  }
  const caching = createCaching({
    cache: gateway.cache,
    settle,
    random: gateway.random,
    now: Date.now,
    nextId: () => gateway.books.nextId(),
    hashUser: gateway.hashUser,
    async travel(call, plan) {
      gateway.started(call)
      try {
        await travel(call, plan)
      } catch (error) {
        await conclude(call, error, gateway, settle)
      } finally {
        end(call)
      }
    },
  })
  return async (req, res, dialect, doorHeaders, model) => {
    const call = openCall(req, res, {
      number: gateway.books.nextId(),
      now: performance.now(),
      snapshot: gateway.snapshot(),
      dialect,
      doorHeaders,
    })
    gateway.started(call)
    try {
      const key = keyOf(call)
      call.key = key instanceof Promise ? await key : key
      call.admitted = true
      call.signatures = signatures.of(call.key?.name ?? '')
      gateway.limits.screen(call)
      const { maxBodyBytes, maxJsonDepth, maxJsonValues } = call.snapshot.server
      const askedAt = performance.now()
      let read: Buffer
      try {
        read = await readBody(req, maxBodyBytes, call)
      } finally {
        call.idleMs = performance.now() - askedAt
      }
      refuseCrowd(read, maxJsonValues)
      const body = model === undefined ? read : withModel(read, model, maxJsonDepth)
      call.bodyAt = performance.now()
      await gateway.turn.reached('opening')
      if (call.gone) throw new ClientGone()
      inspect(call, body, gateway.cache.repeats)
      checkSwitches(req.headers)
      const queued = gateway.limits.admit(call)
      if (queued) {
        await queued
        // Meanwhile its address, its key or its user may have been kept out, or its key changed.
        const stopped = gateway.door.stop(req)
        if (stopped) throw stopped
        call.key = await keyOf(call)
        gateway.limits.meet(call)
        requireRoute(call.key, call.inspected!.ask.model, call.route!)
      }
      const plan = planFor(call)
      call.planAt = performance.now()
      if (wantsEcho(call)) return echo(call, plan)
      if (call.route!.cache !== undefined) {
        // Counted as what it is: once it is answered, all but its client would know it as well.
        gateway.books.check()
        const served = caching.serve(call, plan)
        if (served !== false && (await served)) return
      }
      await travel(call, plan)
    } catch (error) {
      if (await isRescued(call, error, caching)) return
      await conclude(call, error, gateway, settle)
    } finally {
      end(call)
    }
  }
}

/** Exported for its timing. */
export function inspect(call: Call, body: Buffer, repeats: Repeats): void {
  const { server } = call.snapshot
  const { inbound } = call.dialect
  call.repeat = repeats.find(call, body)
  call.inspected =
    call.repeat?.inspected ?? inbound!.inspect(body, { maxDepth: server.maxJsonDepth, maxMessages: server.maxMessages })
  const { model } = call.inspected.ask
  call.route = routeOf(call.snapshot, model, call.key)
  requireRoute(call.key, model, call.route)
  inbound!.checkHistory(call.inspected.wire, server.maxJsonValues, call.route.toolArguments === 'pass')
}

/** A stale answer in place of a failure. @throws nothing: what goes wrong with it is not what went wrong */
async function isRescued(call: Call, error: unknown, caching: Caching): Promise<boolean> {
  if (call.cache?.fallback === undefined || call.gone || call.res.headersSent) return false
  if (!(error instanceof Refusal || error instanceof UpstreamFault) || !isNobodysButOurs(error)) return false
  return caching.rescue(call).catch(() => false)
}

async function conclude(
  call: Call,
  error: unknown,
  gateway: Gateway,
  settle: (call: Call) => Promise<void> | undefined,
): Promise<void> {
  if (error instanceof ClientGone || call.gone) endGone(call)
  else endFailed(call, whyUnrecorded(call, error, gateway) ?? error, gateway)
  if (call.background || hasLeft(call)) return
  const cause = call.error!
  try {
    await settle(call)
  } catch (unrecorded) {
    if (!(unrecorded instanceof Refusal)) throw unrecorded
    return refuse(call, unrecorded)
  }
  if (isDegraded(call, cause)) degrade(call)
  else if (call.cutBy && isBegun(call)) breakOff(call, cause)
  else refuse(call, cause)
}

/** What is refused before any call would be told with another status than it was counted and logged with, where no row of it can be kept. */
function whyUnrecorded({ admitted, attempts }: Call, error: unknown, { books }: Gateway): unknown {
  if (!admitted || attempts.length > 0 || !(error instanceof Refusal)) return undefined
  try {
    books.check()
  } catch (refusal) {
    return refusal
  }
  return undefined
}

function endFailed(call: Call, error: unknown, gateway: Gateway): void {
  let cause: Refusal | UpstreamFault
  if (error instanceof Refusal || error instanceof UpstreamFault) cause = error
  else {
    gateway.crashed(error, call)
    cause = new Refusal('internal_error', 'The gateway failed while it handled this request.')
  }
  call.error = cause
  call.outcome = cause instanceof Refusal ? 'refused' : 'failed'
  call.status = isDegraded(call, cause) ? 200 : cause instanceof Refusal ? cause.status : cause.clientStatus
}

const isDegraded = ({ route }: Call, cause: Refusal | UpstreamFault): boolean =>
  route?.onAllFailed === 'message' && isNobodysButOurs(cause)

/** Failures that the client can do nothing about: its own bad request stays an error. */
function isNobodysButOurs(cause: Refusal | UpstreamFault): boolean {
  return cause instanceof UpstreamFault ? cause.rule.scope !== 'request' : cause.code === 'no_target'
}
