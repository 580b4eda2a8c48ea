// What a definition and a name reach: whether there is anything to move, and may be, and which rollout an `undo` is of.
import { resolveModel } from '../../config/resolve.ts'
import type { RolloutDefinition, StoredRollout } from '../../config/rolloutTypes.ts'
import type { Route } from '../../config/snapshot.ts'
import {
  type Command,
  draftState,
  isRunning,
  RolloutConflict,
  requirePhase,
  type State,
} from '../../rollouts/machine.ts'
import { Live } from './live.ts'
import { RolloutProblem, requireSeen, type Seen } from './problem.ts'
import type { Rollouts } from './rollouts.ts'
import { baseOf, isReachable, isSame } from './traffic.ts'

/** @throws RolloutProblem when an arm names what the configuration does not have, or both arms ask the same */
export function requireArms(rollouts: Rollouts, definition: RolloutDefinition): void {
  const { snapshot, traffic } = rollouts
  const route = rollouts.route(definition.route)
  const base = baseOf(snapshot, route, traffic.of(route.name)?.promoted ?? [])
  const arms = new Live({ definition, seed: '', state: draftState(0) } as StoredRollout).arms(snapshot, route, base)
  if (!isReachable(arms))
    throw new RolloutProblem('invalid', `There is no target '${arms.missing.slice(0, 128)}'.`, 'target')
  if (isSame(arms)) throw new RolloutProblem('invalid', 'Both arms are the same: there is nothing to move.', 'target')
}

/**
 * Who goes on by hand is told when that would move nothing: completed, it would have everything as soon as its target is there again.
 * @throws RolloutConflict
 */
export function requireReach(rollouts: Rollouts, live: Live, verb: 'promote' | 'approve'): void {
  requirePhase(live.state, verb)
  const route = routeOf(rollouts, live)
  const missing = route && live.missing(rollouts.snapshot, route)
  if (!route) throw new RolloutConflict(`The configuration has no route '${live.definition.route}': it moves nothing.`)
  if (missing !== undefined)
    throw new RolloutConflict(`The configuration has no target '${missing}': it moves nothing.`)
}

/** @throws RolloutConflict where the same arms were aborted by what was seen of them */
export function requireNotAborted({ chains }: Rollouts, specHash: string): void {
  const aborted = chains.abortOf(specHash)
  if (!aborted) return
  throw new RolloutConflict(
    `These arms were aborted at ${new Date(aborted.at).toISOString()} (${aborted.reason}). To try them again all the same, use force.`,
  )
}

/** Which rollout of that name a wish is of, and the wish as that one is told it. @throws RolloutProblem */
export function aim<Wish extends Pick<Command, 'verb'> & { toRevision?: number | undefined; seen?: Seen | undefined }>(
  rollouts: Rollouts,
  name: string,
  wish: Wish,
): { live: Live; wish: Wish } {
  const named = rollouts.find(name)
  if (!named) throw new RolloutProblem('unknown', `There is no rollout '${name.slice(0, 128)}'.`, 'name')
  const live = wish.verb === 'undo' && wish.toRevision === undefined ? undoneBy(rollouts, named) : named
  if (live === named) return { live, wish }
  // What was looked at is what has the name: of what lies beneath it no revision is shown.
  requireSeen(`'${name}'`, named, wish.seen)
  return { live, wish: { ...wish, seen: undefined } }
}

/**
 * What an `undo` of a name takes back: where a newer one of that name is not under way, the one before it that was completed and is still
 * what its route asks. It moves all of the traffic, and nothing else names it.
 */
function undoneBy(rollouts: Rollouts, named: Live): Live {
  if (isRunning(named.state) || named.state.phase === 'completed') return named
  const { promoted = [] } = rollouts.traffic.of(named.definition.route) ?? {}
  const held = promoted.findLast(({ name }) => name === named.name)
  const route = routeOf(rollouts, named)
  return route && held?.holds(route) ? held : named
}

/** What it stands against: as it was written, else what the route asks without it, which may be what was completed there before. */
export function stableOf(rollouts: Rollouts, live: Live): readonly string[] {
  const { stable, route: name } = live.definition
  if (stable.targets.length > 0) return stable.targets
  const route = routeOf(rollouts, live)
  if (!route) return []
  const { promoted = [] } = rollouts.traffic.of(name) ?? {}
  const at = promoted.indexOf(live)
  return baseOf(rollouts.snapshot, route, at === -1 ? promoted : promoted.slice(0, at)).map(({ id }) => id)
}

/** As the configuration has it; undefined where that has none of the name. */
export function routeOf({ snapshot }: Rollouts, { definition }: Live): Route | undefined {
  const found = resolveModel(snapshot, definition.route)
  return 'nearest' in found ? undefined : found
}

/** What is completed lies on top of what was completed before, also where the clock was set back meanwhile. */
export function onTop({ traffic }: Rollouts, { definition }: Live, state: State): State {
  const last = state.phase === 'completed' ? traffic.of(definition.route)?.promoted.at(-1) : undefined
  return last && last.state.updatedAt >= state.updatedAt ? { ...state, updatedAt: last.state.updatedAt + 1 } : state
}
