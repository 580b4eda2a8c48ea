// Tells the evidence of a rollout what becomes of a request's first attempt on its arm. Nothing else of the request counts.
import type { Target } from '../config/snapshot.ts'
import { hasHubLane, type Outbound } from '../dialects/dialect.ts'
import { type FaultKind, UpstreamFault } from '../dialects/errors.ts'
import { badEvents, breakerOpen } from '../rollouts/index.ts'
import { type Assigned, isOfArm } from './arm.ts'
import { firstFaultOf } from './armOutcome.ts'
import { type Attempt, type Call, hasLeft } from './call.ts'
import { jsonWanted, watchJson } from './jsonWatch.ts'
import type { Lane } from './lane.ts'
import { isHeldBack } from './verdict.ts'

const failed = badEvents.first_attempt_error.bit
const throttled = badEvents.rate_limited.bit
const refused = badEvents.refused.bit
/**
 * A model of the other arm may take what is too long for this one, against its vendor's policy, or asks for what it does not know: of equal
 * arms both turn as much away, clients' own mistakes included.
 */
const turnedAway: ReadonlySet<string> = new Set([
  'context_window',
  'content_policy',
  'bad_request',
] satisfies FaultKind[])

/**
 * The breaker of the arm's first target is open: else a dead canary would hide behind its breaker.
 * @param heir who is asked next, where somebody has switched the target off: as long as the arm has one, the arm is that
 */
export function armPassedOver(call: Call, target: Target, heir: Target | undefined): void {
  const assigned = firstOf(call, target)
  if (!assigned) return
  if (heir && isOfArm(assigned, heir)) assigned.first = heir
  else fail(assigned, breakerOpen)
}

/**
 * The arm's first target could not be told the request, or not be paid for: how much of a budget is left says something of who spends it,
 * and a dearer canary would fail for its price.
 */
export function armRefused(call: Call, target: Target, code: string): void {
  const assigned = firstOf(call, target)
  if (!assigned) return
  assigned.refusal = code
  if (code === 'budget_exceeded') leave(assigned)
  else fail(assigned, code)
}

/** The lane of an attempt that is about to be made; one that also sees whether JSON comes where a guard looks at that. */
export function armWatched(call: Call, { target, n }: Attempt, lane: Lane, outbound: Outbound): Lane {
  const assigned = firstOf(call, target)
  if (!assigned?.ticket || !assigned.trial.seesJson || !isFirst(assigned, n) || !hasHubLane(outbound)) return lane
  const wanted = jsonWanted(call, target)
  return wanted ? watchJson(lane, outbound, wanted) : lane
}

/** The first attempt has shown something good. */
export function armBegan(call: Call, { target, n, startedAt, endedAt }: Attempt): void {
  const assigned = firstOf(call, target)
  if (!assigned?.ticket || !isFirst(assigned, n)) return
  const now = Date.now()
  // A whole reply has no first token, how long it takes is its latency; and it is over in this turn: `armEnded` tells both.
  if (!call.inspected!.ask.stream) {
    assigned.beganAt = now
    return
  }
  assigned.trial.evidence.begin(assigned.ticket, now, endedAt! - startedAt)
  assigned.live.look()
}

/** The first attempt failed before anything good came. */
export function armFailed(call: Call, target: Target, fault: UpstreamFault): void {
  const assigned = firstOf(call, target)
  if (!assigned?.ticket || !isFirst(assigned, call.attempts.length)) return
  const kind = firstFaultOf(fault)
  if (fault.rule.bad || kind !== fault.kind) fail(assigned, kind, kind === 'rate_limited' ? throttled : 0)
  else leave(assigned, turnedAway.has(kind) ? refused : 0)
}

/**
 * Answered without a call of its own, or by another route: no exposure, and nothing to be waited for. What was seen of its arm before that (a
 * first attempt in vain, an open breaker, no first byte for too long) has counted: then the request stays the rollout's, for evidence
 * that has no row is gone with a restart, and nobody can recompute what was decided by it.
 */
export function armLeft(call: Call): void {
  const { assigned } = call
  if (assigned?.ticket) {
    const { ticket, trial, live } = assigned
    trial.evidence.leave(ticket, Date.now())
    live.look()
    if (ticket.isLearnt || ticket.seen !== 0) return
    trial.underway.remove(assigned)
  }
  call.assigned = undefined
}

/** What a request of the canary has cost, for rollouts with a budget. Call when its bills are made, before `armEnded`. */
export function armSpent({ assigned, attempts }: Call): void {
  if (assigned?.arm !== 'canary' || !assigned.live.definition.budget) return
  for (const { bill } of attempts) if (bill?.nanoUsd) assigned.live.purse.add(assigned.attempt, bill.nanoUsd)
}

/** The request is settled: what its row adds to the evidence. Call after its bills are made, and right before the row is handed over. */
export function armEnded(call: Call): void {
  const { assigned } = call
  if (!assigned?.ticket) return
  const { ticket, trial, beganAt } = assigned
  if (beganAt > 0) trial.evidence.begin(ticket, beganAt, undefined)
  trial.evidence.end(ticket, Date.now(), endingOf(call, assigned))
  assigned.record = trial.evidence.recordOf(ticket)
  trial.underway.remove(assigned)
  assigned.live.look()
}

function endingOf(call: Call, { first, attemptsBefore }: Assigned) {
  const attempt = call.attempts[attemptsBefore]
  if (attempt?.target.id !== first.id) return { bits: hasLeft(call) ? badEvents.client_abort.bit : 0 }
  const { facts, fault, bill, held, startedAt, endedAt } = attempt
  let bits = 0
  if (hasLeft(call)) bits |= badEvents.client_abort.bit
  if (fault && isHeldBack(attempt, fault)) return { bits }
  if (fault && attempt.permit) bits |= badEvents.late_error.bit
  // Cut by what is left of a budget, which says something of who spends it: the dearer arm is cut sooner.
  if (facts?.finish === 'length' && held?.cap !== undefined) return { bits }
  if (facts?.finish === 'length') bits |= badEvents.truncated.bit
  if (facts?.finish === 'content_filter') bits |= badEvents.refused.bit
  if (facts?.finish === 'stop' && facts.contentBytes === 0) bits |= badEvents.empty.bit
  if (facts?.invalidJson && !fault) bits |= badEvents.invalid_json.bit
  return {
    bits,
    latency: endedAt === undefined ? undefined : endedAt - startedAt,
    cost: bill?.nanoUsd ?? undefined,
    output_tokens: bill && bill.usage.output + bill.usage.reasoning + bill.usage.audioOut,
  }
}

function fail(assigned: Assigned, kind: string, more = 0): void {
  if (!assigned.ticket) return
  assigned.trial.evidence.fail(assigned.ticket, Date.now(), failed | more, kind)
  assigned.live.look()
}

/** Nothing is learnt of it, but for these bad events. */
function leave({ ticket, trial, live }: Assigned, bits = 0): void {
  if (!ticket) return
  trial.evidence.leave(ticket, Date.now(), bits)
  live.look()
}

/** Undefined also where a cheaper route answers: what its targets do is none of the rollout's. */
const movedBy = ({ assigned, route }: Call): Assigned | undefined => (assigned?.route === route ? assigned : undefined)

/** @param n of the attempt, from 1 */
const isFirst = ({ attemptsBefore }: Assigned, n: number): boolean => n === attemptsBefore + 1

const firstOf = (call: Call, target: Target): Assigned | undefined => {
  const assigned = movedBy(call)
  return assigned?.first.id === target.id ? assigned : undefined
}

/** Whether an abort takes this target away from the request. */
export const isTakenAway = (call: Call, target: Target): boolean =>
  isCanarys(call, target) && call.assigned!.live.withdraws

/** What a request meets whose canary was taken away from it. */
export const withdrawal = (): UpstreamFault =>
  new UpstreamFault('withdrawn', 'The rollout was aborted before anything came.')

/**
 * From now on it is the stable side's: who is behind the canary on both sides, or where nothing else may be tried, too. Nothing is learnt
 * of it but what it has shown before.
 */
export function armWithdrawn({ assigned, attempts }: Call): void {
  assigned!.released = true
  if (attempts.length === assigned!.attemptsBefore) assigned!.refusal = 'withdrawn'
  leave(assigned!)
}

/** Whether what it says of the request says nothing of the others: where only the canary turns it away, stable may take it. */
export function isCanarys(call: Call, target: Target): boolean {
  const assigned = movedBy(call)
  return assigned?.arm === 'canary' && !assigned.released && isOfArm(assigned, target)
}

/**
 * Lets an abort of the rollout take a request back from the canary as long as it waits for its first byte.
 * @returns to be called when the wait is over
 */
export function watchAbort(
  call: Call,
  target: Target,
  withdraw: (fault: UpstreamFault) => void,
): (() => void) | undefined {
  if (!isCanarys(call, target)) return undefined
  const { pending } = call.assigned!.trial
  const take = (): void => withdraw(withdrawal())
  const over = pending.add(take)
  // It was aborted between the request's assignment and now.
  if (isTakenAway(call, target)) take()
  return over
}
