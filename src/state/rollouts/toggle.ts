// The percentage toggle: whatever a route's canary was before, now it has this share. Called within a turn of the rollouts.
import { defaults } from '../../config/defaults.ts'
import { assignBy, policyFor } from '../../config/rolloutSettings.ts'
import type { ArmSpec, CommandKey, RolloutDefinition, RolloutOrigin } from '../../config/rolloutTypes.ts'
import type { UnitKind } from '../../rollouts/index.ts'
import { isRunning } from '../../rollouts/machine.ts'
import { followsFile, isOfFile, type Live } from './live.ts'
import { RolloutProblem, requireSeen, type Seen } from './problem.ts'
import { requireArms, requireNotAborted } from './reach.ts'
import type { Rollouts } from './rollouts.ts'
import { specHashOf } from './spec.ts'

export interface ToggleWish {
  readonly route: string
  /** What gets the percentage; undefined = what got it last. */
  readonly canary: ArmSpec | undefined
  readonly percent: number
  readonly unit?: UnitKind | undefined
  readonly force?: boolean | undefined
  readonly reason: string
  readonly actor: string
  readonly origin?: RolloutOrigin | undefined
  /** Only if the route's canary is as it was seen. */
  readonly seen?: Seen | undefined
  /** Remembered with the last of the changes that it takes: as long as one is missing, the command is not done. */
  readonly key?: CommandKey | undefined
}

/** A toggle's name, so that the same route always has the same. */
export const toggleName = (route: string): string => `canary:${route}`

/** What moves a route now, or did so by percent before. */
export const canaryOf = (rollouts: Rollouts, route: string): Live | undefined =>
  rollouts.traffic.runningOn(route) ?? rollouts.find(toggleName(route))

/** Not where it had ended, and an operator has begun it again: that has nothing to do with what the file names. */
export const isBegunByFile = (rollouts: Rollouts, live: Live): boolean =>
  isOfFile(rollouts.events(live).find(({ revision }) => revision === live.state.attemptRevision)?.cause)

/** @throws RolloutProblem, RolloutConflict; LedgerError */
export async function toggle(rollouts: Rollouts, wish: ToggleWish): Promise<Live> {
  const { percent, actor, reason, force, key } = wish
  const route = rollouts.route(wish.route)
  requireSeen(`The canary of '${route.name}'`, canaryOf(rollouts, route.name), wish.seen)
  const ppm = ppmOf(percent)
  const command = {
    cause: wish.origin === undefined ? 'operator' : (wish.origin as 'file'),
    reason,
    ppm,
    actor,
    force,
  } as const
  const running = rollouts.traffic.runningOn(route.name)
  const last = rollouts.find(toggleName(route.name))
  const canary = wish.canary ?? running?.definition.canary ?? last?.definition.canary ?? route.canary?.canary
  if (!canary)
    throw new RolloutProblem('invalid', `The route '${route.name}' has no canary yet: name a target.`, 'target')
  // Of a rollout with a name of its own only its canary's share is set: for another canary its unit means nothing.
  const like = running && sameArm(running.definition.canary, canary) ? running : last
  const unit = wish.unit ?? like?.definition.assign.unit
  const isSame = (live: Live): boolean =>
    sameArm(live.definition.canary, canary) && live.definition.assign.unit === unit
  if (running && isSame(running)) {
    const stops = ppm === 0 && running.definition.course.open
    return rollouts.change(running, { ...command, key, verb: stops ? 'stop' : 'set-weight' })
  }
  if (running && running.name !== toggleName(route.name) && !force)
    throw new RolloutProblem(
      'conflict',
      `The rollout '${running.name}' moves this route to another target. Abort it first, or use force.`,
    )
  // The file's own word ends it: as long as nothing came in its place, because that cannot begin or was never stored, it counts again where it is repeated.
  const cause = wish.origin === undefined ? 'superseded' : command.cause
  const end = async (): Promise<void> => {
    if (running) await rollouts.change(running, { verb: 'stop', cause, reason: 'another canary', actor })
  }
  if (last && isSame(last) && !isRunning(last.state)) {
    const { phase } = last.state
    const holds = phase === 'completed' && last.holds(route)
    // What is started ends what else runs by itself.
    if (holds ? ppm === 0 || percent === 100 : ppm === 0 && phase !== 'completed') await end()
    if (holds && percent === 100) return last
    if (holds) await rollouts.change(last, { ...command, verb: 'undo', key: ppm === 0 ? key : undefined })
    if (last.state.phase !== 'completed') {
      // Nothing moves, but from now on it is an operator who wants it so.
      if (ppm === 0 && wish.origin === undefined && followsFile(last))
        return rollouts.change(last, { ...command, key, verb: 'stop' })
      if (ppm === 0) return last
      return rollouts.change(last, { ...command, key, verb: last.state.phase === 'rolled_back' ? 'retry' : 'start' })
    }
  }
  const kind = unit ?? route.canary?.unit ?? defaults.rollouts.unit
  const definition: RolloutDefinition = {
    name: toggleName(route.name),
    route: route.name,
    stable: { targets: [] },
    canary,
    assign: assignBy(kind),
    course: { steps: [], open: true },
    policy: policyFor(kind),
    excludeKeys: [],
    inFlight: 'redispatch',
    notify: [],
  }
  // What the file began and names no longer ends in any case; what an operator began is ended by nothing that cannot begin.
  const isOver = wish.origin !== undefined && running !== undefined && isBegunByFile(rollouts, running)
  if (isOver) await end()
  requireArms(rollouts, definition)
  if (ppm > 0 && !force && wish.origin === undefined) requireNotAborted(rollouts, specHashOf(definition))
  if (!isOver) await end()
  const by = { actor, origin: wish.origin ?? 'toggle', reason, key: ppm === 0 ? key : undefined } as const
  const made = await rollouts.make(definition, by)
  return ppm === 0 ? made : rollouts.change(made, { ...command, key, verb: 'start' })
}

export interface ToggleAllWish {
  readonly percent: number
  readonly actor: string
  readonly reason: string
  /** Only if all rollouts together are at the revision that was seen. */
  readonly seen?: Seen | undefined
  /** As of `ToggleWish`, with the answer for the names of those that are changed. */
  readonly key?: CommandKey | undefined
  readonly answer: (changed: readonly string[], revision: number) => unknown
}

/** The share of everything that runs. @returns the names of those that it has changed. @throws as `toggle` */
export async function toggleAll(rollouts: Rollouts, wish: ToggleAllWish): Promise<string[]> {
  const { percent, actor, reason, seen, key } = wish
  const { revision } = rollouts
  requireSeen('Everything together', { id: 0, state: { revision } }, seen)
  const running = rollouts.list().filter((one) => isRunning(one.state))
  const changed: string[] = []
  const ppm = ppmOf(percent)
  for (const [at, live] of running.entries()) {
    // Its traffic is back already by an abort, perhaps since the one before was set: that keeps nobody from setting the others.
    if (live.halted) continue
    changed.push(live.name)
    const verb = live.definition.course.open && ppm === 0 ? 'stop' : 'set-weight'
    const isLast = running.slice(at + 1).every(({ halted }) => halted)
    const last = key && isLast ? { ...key, reply: wish.answer([...changed], revision + changed.length) } : undefined
    await rollouts.change(live, { verb, cause: 'operator', reason, ppm, actor, key: last })
  }
  return changed
}

/** Parts per million of a percentage. */
export const ppmOf = (percent: number): number => Math.round(percent * 10_000)

export const sameArm = (a: ArmSpec, b: ArmSpec): boolean => JSON.stringify(a) === JSON.stringify(b)
