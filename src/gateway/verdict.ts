// What the fault of an attempt says about its target, for the breaker.
import type { FaultKind, UpstreamFault } from '../dialects/errors.ts'
import { asObject } from '../dialects/field.ts'
import type { Verdict } from '../state/breaker.ts'
import type { Attempt, Call } from './call.ts'

/** Whether the fault counts against the target. Faults of the client and of this gateway do not. */
export function verdictOf(call: Call, attempt: Attempt, fault: UpstreamFault): Verdict {
  if (fault.kind === 'model_not_found' && isClientsChoice(call, attempt)) return 'none'
  if (fault.kind === 'total_timeout' && isLateComer(call, attempt)) return 'none'
  if (lacksRoom.has(fault.kind) && wantsSpareRoom(call, attempt)) return 'none'
  // Too large for the account's minute: smaller ones pass as ever.
  if (fault.kind === 'rate_limited' && fault.status === 413) return 'none'
  if (isHeldBack(attempt, fault)) return 'none'
  // Its time went by in our own line for a socket: the target has never heard of it.
  if ((fault.kind === 'total_timeout' || fault.kind === 'first_token_timeout') && !attempt.sent) return 'none'
  return fault.rule.breaker
}

/** Where the client chose the model, one that does not exist is its own mistake and says nothing about the target. */
const isClientsChoice = ({ route }: Call, { target }: Attempt): boolean => route!.implicit || target.model === '*'

const lacksRoom: ReadonlySet<FaultKind> = new Set(['rate_limited', 'overloaded'])

/**
 * The client asks for the tier that has what the others leave, and is turned away where they leave nothing (OpenAI with 429, Groq with 498):
 * the target is well for all who pay for their place. Where its `params` choose the tier (`serviceTier` is Gemini's), or it could not be told
 * of one, all its requests are alike.
 */
const wantsSpareRoom = ({ inspected }: Call, { target: { params }, losses }: Attempt): boolean =>
  asObject(inspected!.wire)?.service_tier === 'flex' &&
  (params?.service_tier ?? params?.serviceTier) === undefined &&
  !losses.some(({ param }) => param === 'service_tier')

/**
 * The request's time ran out, and most of it before this target was asked: the client's body came slowly, it waited for its turn, other
 * targets were silent. Five such requests would shut a target that is well, for everybody.
 */
function isLateComer({ startedAt, route }: Call, attempt: Attempt): boolean {
  const before = attempt.startedAt - startedAt
  const took = (attempt.endedAt ?? performance.now()) - attempt.startedAt
  return before > took && route!.timeouts.total - before < attempt.target.timeouts.total
}

/** The time of a stream ran out while its client took little of it: most of what the target took it was made to wait. */
export function isHeldBack({ heldBackMs, startedAt, endedAt }: Attempt, fault: UpstreamFault): boolean {
  return fault.kind === 'total_timeout' && heldBackMs * 2 > (endedAt ?? performance.now()) - startedAt
}
