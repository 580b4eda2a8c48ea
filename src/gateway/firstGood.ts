// The commit point: tries targets until one shows something good. Nothing has gone to the client before.
import type { Target } from '../config/snapshot.ts'
import { Refusal, UpstreamFault } from '../dialects/errors.ts'
import type { Permit } from '../state/breaker.ts'
import type { Health } from '../state/health.ts'
import type { RetryBudget } from '../state/retryBudget.ts'
import type { AttemptReason } from '../store/ledgerRow.ts'
import {
  armBegan,
  armFailed,
  armPassedOver,
  armRefused,
  armWithdrawn,
  isCanarys,
  isTakenAway,
  watchAbort,
  withdrawal,
} from './armEvents.ts'
import { type Good, type Means, tryTarget } from './attempt.ts'
import { backoff } from './backoff.ts'
import { type Call, ClientGone, isAbandoned } from './call.ts'
import { countHops } from './hops.ts'
import { type Plan, reachable, refusesFallback } from './plan.ts'
import { verdictOf } from './verdict.ts'

/** What surviving takes beside the means of a single attempt. */
export interface Survival extends Means {
  readonly health: Health
  readonly retryBudget: RetryBudget
  /** Uniform in [0, 1). */
  random(): number
}

/** The ledger has room for 63 attempts a request; a chain that long is a loop. */
const MAX_ATTEMPTS = 32

/** Milliseconds before the deadline of a request in which nobody else is dialled. Timers may fire a fraction early, too. */
const TOO_LATE = 5

/**
 * With a healthy target left the next one is tried at once; only the last is asked again, after a wait.
 * @throws UpstreamFault of the last attempt; Refusal when no target may be asked, with the time when one may; ClientGone
 */
export async function firstGood(call: Call, plan: Plan, survival: Survival): Promise<Good> {
  const { onContextWindow, onContentPolicy, onWithdrawn } = plan
  survival.retryBudget.earn(call.route!.name, call.route!.retries.budget)
  const hops = countHops(call.req, call.snapshot.server.maxHops)
  for (let targets = plan.targets; ; targets = onWithdrawn!) {
    try {
      return await tryChain(call, targets, hops, survival)
    } catch (error) {
      if (isWithdrawal(error) && onWithdrawn && !call.assigned!.released) {
        armWithdrawn(call)
        continue
      }
      const special =
        error instanceof UpstreamFault
          ? { context_window: onContextWindow, content_policy: onContentPolicy }[error.kind as string]
          : undefined
      if (special === undefined || special.length === 0 || isOnlyOne(call)) throw error
      // Who stands there helps out on both sides, the canary's model, too: an abort takes none of it away.
      if (call.assigned) call.assigned.released = true
      try {
        return await tryChain(call, special, hops, survival, true)
      } catch (last) {
        // A way out that the key may not take, or that does not take the request, is none: the client learns what is wrong with its request.
        throw isNoWayOut(last) ? error : last
      }
    }
  }
}

const isWithdrawal = (error: unknown): boolean => error instanceof UpstreamFault && error.kind === 'withdrawn'

const isNoWayOut = (error: unknown): boolean =>
  error instanceof UpstreamFault
    ? error.kind === 'bad_request'
    : error instanceof Refusal && error.code === 'model_not_allowed'

/** The client, the route or the provider of the target that turned the request away wants no other to be tried. */
const isOnlyOne = (call: Call): boolean =>
  refusesFallback(call) || !call.route!.fallback || !call.attempts.at(-1)!.target.provider.fallback

/** @param isWayOut none of them is the first choice */
async function tryChain(
  call: Call,
  chain: readonly Target[],
  hops: number,
  survival: Survival,
  isWayOut = false,
): Promise<Good> {
  const { health } = survival
  const targets = reachable(call, chain)
  const firstChoice = isWayOut ? undefined : targets.find((target) => !isCanarys(call, target))
  const deadline = call.startedAt + call.route!.timeouts.total
  let fault: UpstreamFault | undefined
  let refusal: Refusal | UpstreamFault | undefined
  for (let at = 0; at < targets.length && call.attempts.length < MAX_ATTEMPTS; at++) {
    const target = targets[at]!
    if (isTakenAway(call, target)) throw withdrawal()
    const permit = health.admit(target.id)
    if (!permit) {
      passOver(call, 'breaker_open')
      armPassedOver(call, target, health.stateOf(target.id) === 'disabled' ? targets[at + 1] : undefined)
      continue
    }
    const rest = targets.slice(at + 1)
    const isLast = () => !rest.some(({ id }) => health.wait([id]) === 0)
    try {
      return await persist(call, target, permit, isLast, hops, survival)
    } catch (error) {
      // Whoever comes behind the canary comes after what the stable side would ask first.
      if (isWithdrawal(error)) throw error
      if (error instanceof UpstreamFault && (error.rule.scope !== 'request' || isCanarys(call, target))) fault = error
      // What the first choice does not take is the client's mistake. What a second one does not may be the other model's.
      else if (error instanceof UpstreamFault && error.kind === 'bad_request' && target !== firstChoice) refusal = error
      // Another target may be able to take what this one cannot be told.
      else if (error instanceof Refusal && error.code !== 'ledger_unavailable') {
        refusal = error
        passOver(call, 'refused')
        armRefused(call, target, error.code)
      } else throw error
      if (performance.now() > deadline - TOO_LATE) break
    }
  }
  // Where some target was asked, what it said is the truth; that another could not be asked this is no fault of the client's.
  const last = fault ?? refusal
  if (last) throw last
  return lastResort(call, targets, hops, survival)
}

/** Of targets behind one that was asked, its fault is why they come into question. */
function passOver(call: Call, why: 'breaker_open' | 'refused'): void {
  if (isFirst(call)) call.passedOver ??= why
}

/**
 * Asks one target, and again after a wait where no other is left.
 * @param isLast asked when the target has failed: until then others may have been shut, or be well again
 */
async function persist(
  call: Call,
  target: Target,
  first: Permit,
  isLast: () => boolean,
  hops: number,
  survival: Survival,
): Promise<Good> {
  const { retries } = call.route!
  let permit: Permit | undefined = first
  for (let n = 1; ; n++) {
    try {
      return await tryWithPermit(call, target, permit, reasonOf(call, n), hops, survival)
    } catch (error) {
      if (!(error instanceof UpstreamFault) || error.rule.scope !== 'retry' || !isLast()) throw error
      if (n >= retries.attempts || call.attempts.length >= MAX_ATTEMPTS) throw error
      const wait = backoff(n, error, retries, survival.random())
      if (wait === undefined || performance.now() + wait > call.startedAt + call.route!.timeouts.total) throw error
      // Its breaker stays shut for longer, perhaps by this very fault: the client would wait for nothing.
      if (isShutFor(target.id, wait, survival.health)) throw error
      if (!survival.retryBudget.take(call.route!.name)) throw error
      await pause(call, target, wait)
      permit = survival.health.admit(target.id)
      if (!permit) throw error
    }
  }
}

/** One that is being probed may be well again by then. */
const isShutFor = (target: string, ms: number, health: Health): boolean =>
  health.stateOf(target) !== 'half_open' && health.wait([target]) > ms

function reasonOf(call: Call, n: number): AttemptReason {
  if (n > 1) return 'retry'
  return isFirst(call) ? 'first' : 'fallback'
}

/** Whether no target of the route has been asked yet. */
const isFirst = ({ attempts, attemptsBefore }: Call): boolean => attempts.length === attemptsBefore

/** Every breaker is open: one probe goes through, or the client is told when to come again. */
async function lastResort(call: Call, targets: readonly Target[], hops: number, survival: Survival): Promise<Good> {
  const found = survival.health.lastResort(targets.map(({ id }) => id))
  const target = found && targets.find(({ id }) => id === found.target)
  if (target) return tryWithPermit(call, target, found.permit, 'probe', hops, survival)
  const wait = survival.health.wait(targets.map(({ id }) => id))
  throw new Refusal('no_target', `No target of the route '${call.route!.name}' may be asked at the moment.`, null, {
    retry_after_seconds: Number.isFinite(wait) ? Math.max(1, Math.ceil(wait / 1000)) : null,
    targets: targets.map(({ id }) => ({ target: id, state: survival.health.stateOf(id) })),
  })
}

/** One attempt, and its verdict for the breaker: judged at the commit point. */
async function tryWithPermit(
  call: Call,
  target: Target,
  permit: Permit,
  reason: AttemptReason,
  hops: number,
  survival: Survival,
): Promise<Good> {
  try {
    const good = await tryTarget(call, target, reason, hops, survival)
    survival.health.settle(target.id, permit, 'good')
    good.attempt.permit = permit
    armBegan(call, good.attempt)
    return good
  } catch (error) {
    if (error instanceof UpstreamFault) {
      survival.health.settle(target.id, permit, verdictOf(call, call.attempts.at(-1)!, error), error.kind)
      armFailed(call, target, error)
    } else survival.health.settle(target.id, permit, 'none')
    throw error
  }
}

/** @throws ClientGone when the client does not wait as long; UpstreamFault when the target is taken away meanwhile */
function pause(call: Call, target: Target, ms: number): Promise<void> {
  if (isAbandoned(call)) return Promise.reject(new ClientGone())
  const since = performance.now()
  let timer: NodeJS.Timeout
  let over: (() => void) | undefined
  return new Promise<void>((resolve, reject) => {
    timer = setTimeout(resolve, ms)
    call.onGone = () => reject(new ClientGone())
    over = watchAbort(call, target, reject)
  }).finally(() => {
    clearTimeout(timer)
    over?.()
    call.idleMs += performance.now() - since
  })
}
