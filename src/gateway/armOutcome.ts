// What came of a request's first attempt on its arm: whatever retries, fallbacks and breakers made of the request later does not count.
import type { UpstreamFault } from '../dialects/errors.ts'
import { breakerOpen } from '../rollouts/index.ts'
import { formatUnit } from '../rollouts/unitTable.ts'
import type { RolloutFacts } from '../store/ledgerRow.ts'
import { isOfArm } from './arm.ts'
import type { Attempt, Call } from './call.ts'

/** Beside these: kinds of fault, and codes of our own refusals where the arm could not be told the request. */
export type FirstAttempt = 'ok' | 'none' | 'cancelled' | 'unavailable' | (string & {})

/**
 * `unavailable`: the arm was not asked, because its first target's breaker was open, or all that it has is switched off. `none`: nobody was asked.
 * `cancelled`: the client left, or we cut it off, before anything good came.
 */
function firstAttemptOf(call: Call): FirstAttempt {
  const assigned = call.assigned!
  const { attemptsBefore } = assigned
  const attempt = call.attempts[attemptsBefore]
  // Told already: who answers in the end, perhaps another route or the cache, changes nothing in it.
  const fault = assigned.ticket?.fault
  if (fault !== undefined) return fault === breakerOpen ? 'unavailable' : fault
  if (assigned.refusal !== undefined) return assigned.refusal
  if (!attempt) return call.error && 'code' in call.error && call.error.code === 'no_target' ? 'unavailable' : 'none'
  if (attempt.target.id !== assigned.first.id) return 'unavailable'
  if (attempt.fault) return firstFaultOf(attempt.fault)
  return call.attempts.length === attemptsBefore + 1 && call.gone && !isGood(attempt) ? 'cancelled' : 'ok'
}

/** Vendors' words for a parameter that their model does not take: the client's own mistake elsewhere, and the canary's here. */
const unsupported = new Set(['unsupported_parameter', 'unsupported_value'])

/** What a fault of a first attempt is called, in the evidence and in its row: a decision is recomputed from the rows. */
export const firstFaultOf = ({ kind, code }: UpstreamFault): string =>
  kind === 'bad_request' && code !== undefined && unsupported.has(code) ? 'unsupported_parameter' : kind

/** Judged good at its commit point. */
const isGood = ({ permit }: Attempt): boolean => permit !== undefined

/** The columns of the ledger. */
export function rolloutFacts(call: Call): RolloutFacts | undefined {
  const { assigned } = call
  if (!assigned) return undefined
  const last = call.attempts.at(-1)
  const { record } = assigned
  const { live, revision, attempt, arm, propensityPpm, assignment, released } = assigned
  const served = last && (arm === 'canary' && !released && isOfArm(assigned, last.target) ? 'canary' : 'stable')
  return {
    case: live.cases.textOf({
      rollout: live.name,
      rolloutId: live.id,
      attempt,
      revision,
      arm,
      propensityPpm,
      assignment,
      firstAttemptClass: firstAttemptOf(call),
      servedArm: served,
      seen: record?.seen,
      badMask: record?.bad ?? 0,
    }),
    unit: assigned.unit && formatUnit(assigned.unit),
    arrivalSeq: assigned.arrival,
    epoch: record?.epoch,
    shares: record?.shares,
  }
}
