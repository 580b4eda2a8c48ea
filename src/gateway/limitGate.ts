// Holds a request against its limits: finds those that concern it, takes room on all of them or waits for it, and gives it back.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiKey, Route, Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import type { Blocks } from '../state/limits/blocks.ts'
import type { AppliedLimit, Lease, LimitAsk, LimitRefusal, LimitState, Limits } from '../state/limits/limit.ts'
import { retryAfterSeconds } from '../state/limits/limitHeaders.ts'
import { explainRefusal } from '../state/limits/limits.ts'
import { addApplied, type ScopeFacts } from '../state/scope.ts'
import { outputTokens, promptTokens, type Rates } from './bill.ts'
import { type Call, ClientGone, userOf } from './call.ts'
import { blockedBy } from './door.ts'
import { modelFor } from './headers.ts'

export interface LimitGateParts {
  readonly limits: Limits
  readonly blocks: Blocks
  rates(snapshot: Snapshot): Rates
  /** The client as limits count it: from `addressKey`, behind the trusted proxies. */
  addressOf(req: IncomingMessage): string
  /** The installation's hash of an end user's id. */
  hashUser(user: string): string
  /** Told of each request that was refused. */
  refused(refusal: LimitRefusal): void
  /** Told of each block that held a user back; returns what it was told. */
  turnedAway(refusal: Refusal): Refusal
}

/** Who asks, for requests that are no chat. */
export interface Caller {
  readonly snapshot: Snapshot
  readonly key: ApiKey | undefined
  readonly route?: Route | undefined
  /** The end user's id, unhashed. */
  readonly user?: string | undefined
  readonly req: IncomingMessage
}

/** What of a caller limits look at. */
type Asker = Pick<Caller, 'snapshot' | 'key' | 'route' | 'req'>

/** A lease, or only its headers together with what is told the client. */
export type Entry = { readonly lease: Lease; readonly refusal?: Refusal | undefined }

export interface LimitGate {
  /**
   * Refuses a large body before it is read, where its key or address has no request left in any case: reading costs more than refusing.
   * @throws Refusal `rate_limit_exceeded`
   */
  screen(call: Call): void
  /**
   * Takes room for a chat request whose route is known, and puts the lease on the call. A promise where it has to wait for its turn.
   * @throws Refusal `rate_limit_exceeded`, `blocked`; ClientGone when the client did not wait
   */
  admit(call: Call): Promise<void> | undefined
  /** Whether the user of a chat request is kept out. @throws Refusal `blocked` */
  meet(call: Call): void
  /** The same for a request that asks no model; undefined = no limit concerns it. */
  enter(caller: Caller, res: ServerResponse): Promise<Entry> | Entry | undefined
  /** What a caller has left, without counting anything. */
  states(caller: Caller): LimitState[]
}

/** The limits as requests meet them. */
export function createLimitGate(parts: LimitGateParts): LimitGate {
  const { limits, blocks } = parts

  /** Undefined where nothing is configured that could concern the request: then nobody pays for limits. */
  function appliedTo(asker: Asker, user: string | undefined): AppliedLimit[] | undefined {
    const { snapshot, key, route } = asker
    const team = key?.team === undefined ? undefined : snapshot.teams.get(key.team)?.limits
    if (
      snapshot.limits.length === 0 &&
      key?.limits === undefined &&
      team === undefined &&
      (route === undefined || route.limits.length === 0)
    )
      return undefined
    const applied: AppliedLimit[] = []
    const facts = new AskerFacts(asker, user, parts)
    addApplied(applied, snapshot.limits, facts)
    if (key?.limits) addApplied(applied, key.limits, facts)
    if (team) addApplied(applied, team, facts)
    if (route) addApplied(applied, route.limits, facts)
    return applied.length > 0 ? applied : undefined
  }

  function judged(verdict: Awaited<ReturnType<Limits['admit']>>, applied: readonly AppliedLimit[]): Entry {
    if (verdict.ok) return verdict
    // Whoever gave up was not refused.
    if (verdict.refusal.reason !== 'aborted') parts.refused(verdict.refusal)
    return { lease: linesOnly(limits, applied), refusal: refusalOf(verdict.refusal) }
  }

  function meet(call: Call): void {
    if (!blocks.holds('user')) return
    const user = userOf(call)
    const block = user === undefined ? undefined : blocks.find('user', parts.hashUser(user))
    if (block) throw parts.turnedAway(blockedBy(block))
  }

  /** What was decided while the client left is given back by whoever ends the call. */
  function take(call: Call, { lease, refusal }: Entry): void {
    call.lease = lease
    if (call.gone) throw new ClientGone()
    if (refusal) throw refusal
  }

  return {
    screen(call) {
      if (Number(call.req.headers['content-length']) <= SMALL) return
      const applied = appliedTo(call, userOf(call))
      // Where it might wait for its turn its body may as well come meanwhile.
      if (applied === undefined || applied.some(({ setting }) => setting.queueMs > 0)) return
      const lack = limits.check(applied)
      if (lack?.kind === 'requests') take(call, judged({ ok: false, refusal: lack }, applied))
    },
    meet,
    admit(call) {
      meet(call)
      const user = userOf(call)
      const applied = appliedTo(call, user)
      if (applied === undefined) return undefined
      const verdict = limits.admit(applied, new CallAsk(call, applied, parts))
      if (!(verdict instanceof Promise)) {
        take(call, judged(verdict, applied))
        return undefined
      }
      const since = performance.now()
      return verdict.then((decided) => {
        call.onGone = undefined
        call.queuedMs = performance.now() - since
        take(call, judged(decided, applied))
      })
    },
    enter(caller, res) {
      const applied = appliedTo(caller, caller.user)
      if (applied === undefined) return undefined
      const verdict = limits.admit(applied, {
        tokens: 0,
        flow: flowOf(caller, parts),
        waits(giveUp) {
          res.once('close', giveUp)
          if (res.destroyed) giveUp()
        },
      })
      return verdict instanceof Promise ? verdict.then((decided) => judged(decided, applied)) : judged(verdict, applied)
    },
    states: (caller) => limits.states(appliedTo(caller, caller.user) ?? []),
  }
}

/** Corrects what was reserved to what all attempts used. Call when their bills are made. */
export function settleLimits(call: Call): void {
  if (call.lease === undefined) return
  let used = 0
  for (const { bill } of call.attempts) if (bill) used += promptTokens(bill.usage) + outputTokens(bill.usage)
  call.lease.settle(used)
}

/** Whom flows in a queue belong to: a key is one flow, whoever has none is told apart by address. */
const flowOf = ({ key, req }: Asker, parts: LimitGateParts): string => key?.name ?? parts.addressOf(req)

/** Names of a request as limits know them. Addresses and hashes are looked up when a limit asks for them. */
class AskerFacts implements ScopeFacts {
  readonly key: string | undefined
  readonly team: string | undefined
  readonly route: string | undefined
  readonly #req: IncomingMessage
  readonly #name: string | undefined
  readonly #parts: LimitGateParts
  #ip: string | undefined
  #user: string | undefined

  constructor({ key, route, req }: Asker, user: string | undefined, parts: LimitGateParts) {
    this.key = key?.name
    this.team = key?.team
    this.route = route?.name
    this.#req = req
    this.#name = user
    this.#parts = parts
  }

  get ip(): string {
    this.#ip ??= this.#parts.addressOf(this.#req)
    return this.#ip
  }

  get user(): string | undefined {
    if (this.#user === undefined && this.#name !== undefined) this.#user = this.#parts.hashUser(this.#name)
    return this.#user
  }
}

/** Bytes of a body that is read before anything is asked: most are smaller. */
const SMALL = 64 * 1024

/** Milliseconds beyond the route's own deadline after which a slot that nobody gave back counts as lost. */
const GRACE = 60_000

const asksTokens = ({ setting }: AppliedLimit): boolean => setting.tokens !== undefined

/** What a chat request asks of its limits. A class, because one is made for every request. */
class CallAsk implements LimitAsk {
  readonly tokens: number
  readonly atMost: number | undefined
  readonly openAnswers: number | undefined
  readonly lastsMs: number
  readonly #call: Call
  readonly #parts: LimitGateParts

  /**
   * The prompt by its bytes, as many for each token as this model's prompts have had lately, and the answers' caps. Media are bytes that
   * are no text, whose tokens nobody knows before: they are reserved as far as there is room.
   */
  constructor(call: Call, applied: readonly AppliedLimit[], parts: LimitGateParts) {
    this.#call = call
    this.#parts = parts
    this.lastsMs = call.route!.timeouts.total + GRACE
    this.tokens = 0
    if (!applied.some(asksTokens)) return
    const { ask } = call.inspected!
    const [target] = call.route!.targets
    const model = target ? modelFor(target, call) : ask.model
    const prompt = parts.rates(call.snapshot).tokens.estimate(model, ask.bytes, 'prompt')
    const answers = ask.maxTokens === undefined ? 0 : ask.maxTokens * ask.n
    const hasMedia = ask.media.images + ask.media.audio + ask.media.files > 0
    this.tokens = hasMedia ? answers : prompt + answers
    this.atMost = hasMedia ? prompt : undefined
    this.openAnswers = ask.maxTokens === undefined ? ask.n : undefined
  }

  get flow(): string {
    return flowOf(this.#call, this.#parts)
  }

  waits(giveUp: () => void): void {
    this.#call.onGone = giveUp
    if (this.#call.gone) giveUp()
  }
}

const linesOnly = (limits: Limits, applied: readonly AppliedLimit[]): Lease => ({
  settle() {},
  release() {},
  lines: () => limits.lines(applied),
})

/** What the client is told: which limit, whose, how much of it is used, when to come back. */
function refusalOf(refusal: LimitRefusal): Refusal {
  const { name, kind, scope, entity, limit, remaining, windowMs, resetMs, retryAfterMs, reason } = refusal
  const never = reason === 'too_large'
  return new Refusal('rate_limit_exceeded', explainRefusal(refusal), null, {
    limit: name,
    scope,
    ...(entity === '' ? {} : { entity }),
    kind,
    allowed: limit,
    used: limit - remaining,
    window_seconds: kind === 'concurrency' ? null : windowMs / 1000,
    reset_seconds: kind === 'concurrency' ? null : Math.ceil(resetMs / 1000),
    retry_after_seconds: never ? null : retryAfterSeconds(retryAfterMs),
    reason,
  })
}
