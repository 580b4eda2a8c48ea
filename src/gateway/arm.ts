// Assigns a request to an arm of the rollout that moves its route, if one does, and says whom it then asks.
import type { Route, Target } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { drawBucket, type EvidenceRecord, type Opening, type Ticket, type UnitId, unitOf } from '../rollouts/index.ts'
import type { Arms, Live } from '../state/rollouts/live.ts'
import { baseOf, isReachable, type Moved, type Traffic } from '../state/rollouts/traffic.ts'
import type { Trial } from '../state/rollouts/trial.ts'
import { isListed } from './allow.ts'
import type { Call } from './call.ts'
import { mayServe } from './clientModels.ts'

/** What assigning takes. */
export interface Assigning {
  readonly traffic: Traffic
  /** The installation's hash of a unit, or of how a conversation begins: neither must be in the ledger, nor to be found by trying. */
  hashUnit(unit: string | Opening, apiKey: string | undefined): string
  /** Uniform in [0, 1): for requests that are each a unit of their own. */
  random(): number
}

/** A request's place in a rollout, fixed for all its attempts. */
export interface Assigned {
  readonly live: Live
  /** Whose targets the arms are: a request that is sent on to another route is not moved there, whatever that asks. */
  readonly route: Route
  /** As of its assignment. */
  readonly revision: number
  readonly attempt: number
  readonly label: string
  readonly arm: 'stable' | 'canary'
  /** Chance with which the canary gets a request like this one. */
  readonly propensityPpm: number
  /** `hash`: randomised, and so evidence. The others are not: asked for by an operator, or tied to the stable arm by its key. */
  readonly assignment: 'hash' | 'override' | 'pinned'
  /** What stays together; undefined where each request is alone. */
  readonly unit: UnitId | undefined
  /** Place among the requests of the rollout, in the order of assignment. */
  readonly arrival: number
  readonly arms: Arms
  /** Who is asked first; set when the plan is made. */
  first: Target
  /** Calls that were made before, on a route whose budget sent the request on: the first attempt comes after them. */
  readonly attemptsBefore: number
  /** Our own refusal of what could not be said to the first target, or `withdrawn` where it was taken away before it was asked. */
  refusal: string | undefined
  /** No more the canary's: an abort has sent it to the stable side, or it takes one of the route's ways out. */
  released: boolean
  /** The attempt that it belongs to. */
  readonly trial: Trial
  /** What it was drawn by; undefined where it was not drawn. */
  readonly bucket: number | undefined
  /** Its place in the evidence; undefined for what is none. */
  ticket: Ticket | undefined
  /** When a whole reply was there, Unix milliseconds; 0 before, and for streams. */
  beganAt: number
  /** What it has added, once it is settled. */
  record: EvidenceRecord | undefined
  /** Id of the request. */
  readonly number: number
  /** Among those under way; below 0 = it has been settled, or adds nothing. */
  place: number
}

/** Header by which an operator chooses the arm of one request. */
const ARM_HEADER = 'x-turnout-arm'

/** What a route asks when something moves it. */
export interface Course {
  /** The route's own targets, or those of what was promoted in their place. */
  readonly base: readonly Target[]
  readonly assigned: Assigned | undefined
}

/** @throws Refusal `permission_denied` for an arm that the client may not choose */
export function assign(call: Call, moved: Moved, assigning: Assigning): Course {
  const route = call.route!
  const base = moved.promoted.length === 0 ? route.targets : baseOf(call.snapshot, route, moved.promoted)
  const { running } = moved
  const wanted = wantedArm(call)
  // One row a request: what a rollout of the route that it came from has learnt of it stands there.
  if (!running || call.assigned) return { base, assigned: undefined }
  const arms = running.arms(call.snapshot, route, base)
  if (!isReachable(arms)) return { base, assigned: undefined }
  return { base, assigned: place(call, running, arms, wanted, assigning) }
}

function place(
  call: Call,
  live: Live,
  arms: Arms,
  wanted: 'stable' | 'canary' | undefined,
  assigning: Assigning,
): Assigned {
  const { state, definition, threshold, weightPpm } = live
  let bucket: number | undefined
  let arm: 'stable' | 'canary' = 'stable'
  let assignment: Assigned['assignment'] = 'hash'
  let unit: UnitId | undefined
  if (wanted !== undefined) {
    arm = wanted
    assignment = 'override'
  } else if (isPinned(call, definition.excludeKeys, arms)) assignment = 'pinned'
  else {
    unit = definition.assign.unit === 'request' ? undefined : findUnit(call, live, assigning)
    bucket = unit?.high ?? drawBucket(assigning.random())
    arm = bucket < threshold ? 'canary' : 'stable'
  }
  const assigned: Assigned = {
    live,
    route: call.route!,
    revision: state.revision,
    attempt: state.attempt,
    label: live.label(arm),
    arm,
    propensityPpm: weightPpm,
    assignment,
    unit,
    arrival: ++live.arrivals,
    arms,
    first: arm === 'canary' ? arms.canary[0]! : arms.stable[0]!,
    attemptsBefore: call.attempts.length,
    refusal: undefined,
    released: false,
    trial: live.trial!,
    bucket,
    ticket: undefined,
    beganAt: 0,
    record: undefined,
    number: call.number,
    place: -1,
  }
  if (!isCachesFirst(call)) becomeEvidence(call, assigned)
  return assigned
}

/** Whether the cache is asked before anybody else: it says then which requests are evidence. No cache is asked on a cheaper route. */
const isCachesFirst = ({ route, degradedFrom }: Call): boolean =>
  route!.cache !== undefined && degradedFrom === undefined

/** Takes a request that was drawn into the evidence. Call in the turn in which it was assigned. */
export function becomeEvidence(call: Call, assigned: Assigned): void {
  const { trial, bucket, propensityPpm: weightPpm, unit } = assigned
  // At no weight there is nothing to be learnt; and what was folded already stays as it is.
  if (bucket === undefined || weightPpm === 0 || call.number < trial.foldedTo) return
  const whole = !call.inspected!.ask.stream
  assigned.ticket = trial.evidence.admit({ now: Date.now(), bucket, weightPpm, unit, whole })
  trial.underway.push(assigned)
}

function findUnit(call: Call, { definition, units }: Live, assigning: Assigning): UnitId | undefined {
  const { unit, sources } = definition.assign
  const facts = { headers: call.req.headers, wire: call.inspected!.wire, apiKey: call.key?.name }
  // Whom a signed token names is known, and cannot be another one with each request as what a header or the body says.
  const found = (unit === 'user' ? call.key?.user : undefined) ?? unitOf(sources, facts)
  return found === undefined ? undefined : units.idOf(assigning.hashUnit(found, facts.apiKey))
}

/**
 * Keys that are excluded, or may not use both arms for this request, stay on the stable one, and are no evidence: their requests are not assigned by chance. Judged before
 * the unit is looked at, so that it is the same for both arms.
 */
function isPinned(call: Call, excluded: readonly string[], { canary, stable }: Arms): boolean {
  const { key } = call
  if (key && excluded.length > 0 && isListed(excluded, key.name)) return true
  return key?.models !== undefined && !(mayServe(call, canary[0]!) && mayServe(call, stable[0]!))
}

/** Otherwise whoever likes could pick the dear model. */
function wantedArm({ req, key, snapshot }: Call): 'stable' | 'canary' | undefined {
  const wanted = req.headers[ARM_HEADER]
  if (wanted === undefined) return undefined
  if (wanted !== 'stable' && wanted !== 'canary')
    throw new Refusal('invalid_value', `The header '${ARM_HEADER}' takes 'stable' or 'canary'.`)
  const isLocal = snapshot.keys.size === 0 && key === undefined
  if (isLocal || key?.role === 'operator' || key?.role === 'admin') return wanted
  throw new Refusal('permission_denied', `The header '${ARM_HEADER}' needs a key with the role 'operator'.`)
}

/** Whether an attempt was made on the arm itself, and not on who helps out behind it. */
export const isOfArm = ({ arm, arms }: Assigned, target: Target): boolean =>
  arms[arm].some(({ id }) => id === target.id)
