// One request on its journey: what is known of it so far. Everything a step learns is put here; nothing is global.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiKey, Route, Snapshot, Target } from '../config/snapshot.ts'
import type { Chat, Loss } from '../dialects/chat.ts'
import type { Dialect, Inspected, ReplyFacts, SignatureStore } from '../dialects/dialect.ts'
import { Refusal, UpstreamFault } from '../dialects/errors.ts'
import type { Permit } from '../state/breaker.ts'
import type { Repeat } from '../state/cache/repeats.ts'
import type { Lease } from '../state/limits/limit.ts'
import { printId } from '../store/ledgerId.ts'
import type { AttemptReason, Estimate } from '../store/ledgerRow.ts'
import { beginTrace, type TraceContext } from '../telemetry/trace/context.ts'
import type { Assigned } from './arm.ts'
import type { Bill } from './bill.ts'
import type { Held } from './budgetGate.ts'
import type { CacheTurn } from './cacheTurn.ts'
import { LinedResponse } from './linedResponse.ts'
import { says } from './switches.ts'

/** How a request ended. `partial`: content was sent, then the upstream failed. */
export type Outcome = 'ok' | 'refused' | 'failed' | 'partial' | 'client_disconnected'

/** One upstream call, as it will stand in the ledger. Times are milliseconds of the monotonic clock. */
export interface Attempt {
  /** 1 for the first of its request. */
  readonly n: number
  readonly target: Target
  /** The model asked of the provider. */
  readonly model: string
  readonly reason: AttemptReason
  readonly lane: 'identity' | 'hub'
  readonly losses: readonly Loss[]
  startedAt: number
  endedAt: number | undefined
  /** Bytes may have reached the upstream. */
  sent: boolean
  status: number | undefined
  /** When it first showed something generated. */
  firstTokenAt: number | undefined
  fault: UpstreamFault | undefined
  facts: ReplyFacts | undefined
  /** What is booked if this process dies before the attempt is settled. */
  worth: Estimate | undefined
  /** What it holds of its budgets. */
  held: Held | undefined
  /** The breaker's permit, once the attempt was judged good: what fails later counts apart. */
  permit: Permit | undefined
  /** Milliseconds in which its stream had to wait for the client to take what had come. */
  heldBackMs: number
  /** Set when the request is settled. */
  bill: Bill | undefined
}

export interface Call {
  /** The ledger's id of the request, and the same as clients see it. */
  readonly number: number
  readonly id: string
  readonly startedAt: number
  /** Taken once: a swap of the configuration cannot touch a request in flight. */
  readonly snapshot: Snapshot
  readonly dialect: Dialect
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** Headers that the door wants on the reply (CORS). */
  readonly doorHeaders: readonly string[]
  /** Made by ourselves: its reply goes to nobody. */
  readonly background: boolean
  /** Passed the door: from here on the request is recorded. */
  admitted: boolean
  /** Undefined where traces are off. */
  trace: TraceContext | undefined
  /** When the body had been read, and when it was decided whom to ask. */
  bodyAt: number | undefined
  planAt: number | undefined
  key: ApiKey | undefined
  inspected: Inspected | undefined
  /** The same request, as the cache knows it from before. */
  repeat: Repeat | undefined
  route: Route | undefined
  /** Its place in the rollout that moves the route, if one does. */
  assigned: Assigned | undefined
  /** The route that was asked for, where a budget sent the request down to another. */
  degradedFrom: string | undefined
  /** Calls that were made before that. */
  attemptsBefore: number
  /** The route that a budget without room names in its own place. */
  cheaperRoute: string | undefined
  /** What vendors must get back although clients cannot carry it. */
  signatures: SignatureStore | undefined
  /** The request in the hub's words, decoded for the first target that needs it. */
  chat: Chat | undefined
  readonly attempts: Attempt[]
  /** What the response cache has to do with it, on routes that have one. */
  cache: CacheTurn | undefined
  /** What it holds of its limits, once one concerns it. */
  lease: Lease | undefined
  /** Milliseconds spent waiting for its turn, and for upstreams. */
  queuedMs: number
  upstreamMs: number
  /** Milliseconds in which there was nothing to do: the client's body was on its way, or the time for a retry had not come. */
  idleMs: number
  /** When the first generated content went to the client. */
  firstTokenAt: number | undefined
  /** Nobody waits for it any more although the reply is not complete: its client went away, or it was cut off. */
  gone: boolean
  /** Why we cut it off; its client may still be there to be told. */
  cutBy: Refusal | undefined
  /** Why a target before the first one that was asked was not asked. */
  passedOver: 'breaker_open' | 'refused' | undefined
  /** Called once when the client goes away; set by whoever holds the upstream at the moment. */
  onGone: (() => void) | undefined
  /** The cause of a reply that is not a success. */
  error: Refusal | UpstreamFault | undefined
  status: number
  outcome: Outcome | undefined
  /** Counted and handed to the ledger: that happens once. */
  settled: boolean
}

/** Thrown through the journey when the call is gone: nobody waits for a reply. */
export class ClientGone extends Error {
  constructor() {
    super('The client closed the connection.')
    this.name = 'ClientGone'
  }
}

interface Opening {
  number: number
  now: number
  snapshot: Snapshot
  dialect: Dialect
  doorHeaders: readonly string[]
}

/** The call of a request that has just come: nothing of it is known but its headers. */
export function openCall(req: IncomingMessage, res: ServerResponse, from: Opening): Call {
  const call = blankCall(req, res, from)
  res.on('close', () => {
    if (!res.writableFinished) leave(call)
  })
  if (res instanceof LinedResponse) res.cutOff = (why) => cutOff(call, why)
  return call
}

/** Ends a call in the middle, and has its client told why. One whose reply is on record goes its way. */
export function cutOff(call: Call, why: Refusal): void {
  if (call.gone || call.settled) return
  call.cutBy = why
  leave(call)
}

/** Why a stop cuts off what has not come to its end in time. */
export const shuttingDown = (): Refusal =>
  new Refusal('shutting_down', 'The gateway is shutting down, and has no time left for this request.')

/** Nobody waits for its reply any more: its client has left, or we end. */
function leave(call: Call): void {
  if (call.gone) return
  call.gone = true
  call.cache?.flight?.leaderLeft()
  // What goes on without its client goes on for others, and each of them holds a slot of its own.
  call.lease?.release()
  if (isAbandoned(call)) call.onGone?.()
}

/** A call of our own for what another one asked, whose client has its answer already. Nobody reads what comes of it. */
export function openTwin(of: Call, number: number): Call {
  const { req, res, snapshot, dialect } = of
  const call = blankCall(req, res, { number, now: performance.now(), snapshot, dialect, doorHeaders: [] })
  const { key, inspected, route, signatures, chat } = of
  return Object.assign(call, { admitted: true, background: true, key, inspected, route, signatures, chat })
}

function blankCall(req: IncomingMessage, res: ServerResponse, from: Opening): Call {
  const { snapshot } = from
  return {
    number: from.number,
    id: printId(from.number),
    startedAt: from.now,
    snapshot,
    dialect: from.dialect,
    req,
    res,
    doorHeaders: from.doorHeaders,
    background: false,
    admitted: false,
    trace: snapshot.trace.enabled ? beginTrace(from.number, req.headers, snapshot.trace.sample) : undefined,
    bodyAt: undefined,
    planAt: undefined,
    key: undefined,
    inspected: undefined,
    repeat: undefined,
    route: undefined,
    assigned: undefined,
    degradedFrom: undefined,
    attemptsBefore: 0,
    cheaperRoute: undefined,
    signatures: undefined,
    chat: undefined,
    attempts: [],
    lease: undefined,
    queuedMs: 0,
    cache: undefined,
    upstreamMs: 0,
    idleMs: 0,
    firstTokenAt: undefined,
    gone: false,
    cutBy: undefined,
    passedOver: undefined,
    onGone: undefined,
    error: undefined,
    status: 0,
    outcome: undefined,
    settled: false,
  }
}

/** Milliseconds of a request that were Turnout's own work, as of `now`. */
export const overheadOf = (call: Call, now: number): number =>
  now - call.startedAt - call.queuedMs - call.upstreamMs - call.idleMs

/** As of its end. Of a stream nobody knows: while it runs, both sides wait for each other. */
export const ownTimeOf = (call: Call, now: number): number | undefined =>
  call.inspected?.ask.stream ? undefined : overheadOf(call, now)

/** What the books say of a call that is gone. */
export function endGone(call: Call): void {
  const { cutBy } = call
  call.gone = true
  if (cutBy === undefined) {
    call.outcome = 'client_disconnected'
    call.status = 499
    return
  }
  call.error = cutBy
  call.outcome = isBegun(call) ? 'partial' : 'refused'
  if (call.outcome === 'refused') call.status = cutBy.status
}

/** Whose words the client gets: of one that failed they are told also where another after it did not take the request. Else the last one's. */
export const speakerOf = ({ attempts, error }: Call): Attempt | undefined =>
  (error instanceof UpstreamFault ? attempts.find(({ fault }) => fault === error) : undefined) ?? attempts.at(-1)

/** Its reply is on the way: another one cannot take its place. */
export const isBegun = (call: Call): boolean => !call.background && call.res.headersSent

/** The client went away by itself before the reply was complete. */
export const hasLeft = (call: Call): boolean => call.gone && call.cutBy === undefined

/** Somebody reads the reply. */
export const isHeard = (call: Call): boolean => !call.gone && !call.background

/** Nobody waits for its answer any more: neither its client nor others that asked the same. */
export const isAbandoned = (call: Call): boolean => call.gone && call.cache?.flight?.wanted !== true

/** The client wants the cost in the reply's usage, and so the usage of a stream too. */
export const asksForCost = (call: Call): boolean => says(call.req.headers, 'x-turnout-usage', 'cost')

/**
 * The end user of a request: what a signed token says of its user stands; what the body says is the client's own word. Books, budgets,
 * limits and traces count the same one.
 */
export const userOf = ({ key, inspected }: Pick<Call, 'key' | 'inspected'>): string | undefined =>
  key?.user ?? inspected?.ask.user
