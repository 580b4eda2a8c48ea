// The percentage toggle: whatever a route's canary was before, now it has this share. Called within a turn of the rollouts.
import { defaults } from '../../config/defaults.ts'
import { assignBy, policyFor } from '../../config/rolloutSettings.ts'
import type { ArmSpec, RolloutDefinition, RolloutOrigin } from '../../config/rolloutTypes.ts'
import type { UnitKind } from '../../rollouts/index.ts'
import { isRunning } from '../../rollouts/machine.ts'
import type { Live } from './live.ts'
import { RolloutProblem } from './problem.ts'
import type { Rollouts } from './rollouts.ts'

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
}

/** A toggle's name, so that the same route always has the same. */
export const toggleName = (route: string): string => `canary:${route}`

/** @throws RolloutProblem, RolloutConflict; LedgerError */
export async function toggle(rollouts: Rollouts, wish: ToggleWish): Promise<Live> {
  const { percent, actor, reason, force } = wish
  const route = rollouts.route(wish.route)
  const ppm = Math.round(percent * 10_000)
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
  const unit = wish.unit ?? running?.definition.assign.unit ?? last?.definition.assign.unit
  const isSame = (live: Live): boolean =>
    sameArm(live.definition.canary, canary) && live.definition.assign.unit === unit
  if (running && isSame(running)) {
    const stops = ppm === 0 && running.definition.course.open
    return rollouts.change(running, { ...command, verb: stops ? 'stop' : 'set-weight' })
  }
  if (running && running.name !== toggleName(route.name) && !force)
    throw new RolloutProblem(
      'conflict',
      `The rollout '${running.name}' moves this route to another target. Abort it first, or use force.`,
    )
  if (last && isSame(last) && !isRunning(last.state)) {
    const { phase } = last.state
    if (phase === 'completed' && last.holds(route) && percent === 100) return last
    if (phase === 'completed' && last.holds(route)) await rollouts.change(last, { ...command, verb: 'undo' })
    if (last.state.phase !== 'completed') {
      if (ppm === 0) return last
      return rollouts.change(last, { ...command, verb: last.state.phase === 'rolled_back' ? 'retry' : 'start' })
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
  rollouts.requireArms(definition)
  if (running) await rollouts.change(running, { verb: 'stop', cause: 'superseded', reason: 'another canary', actor })
  const made = await rollouts.make(definition, { actor, origin: wish.origin ?? 'toggle', reason })
  return ppm === 0 ? made : rollouts.change(made, { ...command, verb: 'start' })
}

/** The share of everything that runs. @returns those that it has changed */
export async function toggleAll(rollouts: Rollouts, percent: number, actor: string, reason: string): Promise<Live[]> {
  const changed: Live[] = []
  for (const live of rollouts.list().filter((one) => isRunning(one.state))) {
    const ppm = Math.round(percent * 10_000)
    const verb = live.definition.course.open && ppm === 0 ? 'stop' : 'set-weight'
    changed.push(await rollouts.change(live, { verb, cause: 'operator', reason, ppm, actor }))
  }
  return changed
}

export const sameArm = (a: ArmSpec, b: ArmSpec): boolean => JSON.stringify(a) === JSON.stringify(b)
