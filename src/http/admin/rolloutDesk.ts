// The control plane's way to rollouts: where they are, and how what is wrong with a wish is told.
import * as z from 'zod'
import { resolveModel } from '../../config/resolve.ts'
import type { ChainedEvent } from '../../config/rolloutTypes.ts'
import { Refusal } from '../../dialects/errors.ts'
import { formatUsd } from '../../pricing/decimal.ts'
import { isRunning, RolloutConflict } from '../../rollouts/machine.ts'
import { knownOf } from '../../state/rollouts/history.ts'
import type { Live } from '../../state/rollouts/live.ts'
import { RolloutProblem } from '../../state/rollouts/problem.ts'
import { usedOf } from '../../state/rollouts/purse.ts'
import { stableOf } from '../../state/rollouts/reach.ts'
import type { Rollouts } from '../../state/rollouts/rollouts.ts'
import { canaryOf } from '../../state/rollouts/toggle.ts'
import { isIdle, percentOf } from '../../state/rollouts/view.ts'
import { LedgerError } from '../../store/ledgerRow.ts'
import type { eventShape, rolloutShape, standing } from './rolloutShapes.ts'
import type { AdminDeps, JsonAnswer } from './route.ts'
import type { Shown } from './shape.ts'

export const reasonField = z.string().trim().min(1).max(500)

/** @throws Refusal `not_available` in a gateway without a database */
export function rolloutsOf({ rollouts }: AdminDeps): Rollouts {
  if (rollouts) return rollouts
  throw new Refusal('not_available', 'This gateway has no database: it cannot move traffic by percent.')
}

/** The rollout of that name; the name of a route stands for what moves it. @throws Refusal `not_found` */
export function findRollout(name: string, deps: AdminDeps): Live {
  const rollouts = rolloutsOf(deps)
  const found = rollouts.find(name)
  if (found) return found
  const route = resolveModel(deps.snapshot(), name)
  const moving = 'nearest' in route || route.name !== name ? undefined : canaryOf(rollouts, name)
  if (moving) return moving
  throw new Refusal('not_found', `There is no rollout '${name.slice(0, 128)}'.`, 'name')
}

/** All of them: for `/rollouts` and for `/canary`. */
export const presentAll = (deps: AdminDeps) =>
  rolloutsOf(deps)
    .list()
    .map((live) => presentRollout(live, deps))

/** One of them in full. */
export function answerOf(live: Live, deps: AdminDeps): JsonAnswer<Shown<typeof rolloutShape>> {
  const json = {
    object: 'rollout',
    ...presentRollout(live, deps),
    plan: presentSteps(live),
    ...presentBudget(live),
    evidence: knownOf(live, () => rolloutsOf(deps).events(live)),
  }
  return { json, headers: [['etag', `"${live.state.revision}"`]] as const }
}

/** How far its budget is used up, where it has one. */
function presentBudget(live: Live): Pick<Shown<typeof rolloutShape>, 'budget'> {
  const used = usedOf(live)
  if (!used) return {}
  const { canaryNanoUsd, exposedUnits, spentNanoUsd, exposed } = used
  return {
    budget: {
      spent_usd: formatUsd(spentNanoUsd),
      canary_usd: canaryNanoUsd === undefined ? null : formatUsd(canaryNanoUsd),
      exposed,
      exposed_units: exposedUnits ?? null,
    },
  }
}

/** Runs a wish. @throws Refusal for whatever is wrong with it */
export async function withRollouts<Result>(deps: AdminDeps, work: (rollouts: Rollouts) => Promise<Result>) {
  const rollouts = rolloutsOf(deps)
  try {
    return await work(rollouts)
  } catch (error) {
    throw refusalOf(error)
  }
}

const codes = {
  unknown: 'not_found',
  conflict: 'rollout_conflict',
  invalid: 'invalid_value',
  stale: 'precondition_failed',
  unstored: 'ledger_unavailable',
} as const

function refusalOf(error: unknown): unknown {
  if (error instanceof RolloutConflict) return new Refusal('rollout_conflict', error.message)
  if (error instanceof RolloutProblem) return new Refusal(codes[error.kind], error.message, error.field ?? null)
  if (error instanceof LedgerError)
    return new Refusal('ledger_unavailable', 'The change could not be stored, and was not made.')
  return error
}

/** Where a rollout stands. */
export function presentRollout(live: Live, deps: AdminDeps): Shown<typeof standing> {
  const { definition, state } = live
  return {
    name: live.name,
    route: definition.route,
    stable: stableOf(rolloutsOf(deps), live),
    canary: definition.canary.targets,
    phase: state.phase,
    percent: percentOf(state.weightPpm),
    revision: state.revision,
    attempt: state.attempt,
    step: state.step,
    steps: definition.course.steps.length,
    unit: definition.assign.unit,
    cause: state.cause,
    reason: state.reason,
    updated_at: new Date(state.updatedAt).toISOString(),
    idle: isRunning(state) || state.phase === 'completed' ? (isIdle(live, rolloutsOf(deps)) ?? null) : null,
  }
}

/** Its way, as it was configured. Durations in milliseconds. */
function presentSteps({ definition }: Live): Shown<typeof rolloutShape>['plan'] {
  return definition.course.steps.map((step) =>
    step.kind === 'weight'
      ? { set_weight: percentOf(step.ppm) }
      : {
          pause: {
            duration_ms: step.duration,
            min_requests: step.minRequests,
            advance: step.advance,
            approval: step.approval,
            max_wait_ms: step.maxWait ?? null,
          },
        },
  )
}

export function presentEvent({
  at,
  weightPpm,
  prevHash,
  from,
  ...event
}: ChainedEvent): Omit<Shown<typeof eventShape>, 'rollout_id'> {
  return {
    ...event,
    at: new Date(at).toISOString(),
    from: from === '' ? null : from,
    percent: percentOf(weightPpm),
    prev_hash: prevHash,
  }
}
