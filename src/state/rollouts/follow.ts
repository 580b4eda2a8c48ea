// Takes up what the file and the environment say of rollouts. Called within a turn of the rollouts.
import { findArm } from '../../config/rolloutArm.ts'
import type { CanarySetting, RolloutDefinition } from '../../config/rolloutTypes.ts'
import type { Route, Snapshot } from '../../config/snapshot.ts'
import { isRunning } from '../../rollouts/machine.ts'
import { followsFile, isOfFile, type Live } from './live.ts'
import { RolloutProblem } from './problem.ts'
import type { Rollouts } from './rollouts.ts'
import { isBegunByFile, ppmOf, sameArm, toggle, toggleName } from './toggle.ts'

/** One that cannot be followed keeps no other from it. */
export async function followFile(rollouts: Rollouts, snapshot: Snapshot, told: (text: string) => void): Promise<void> {
  const tell = (what: string) => (error: unknown) => told(`${what}: ${(error as Error).message}`)
  for (const route of snapshot.routes.values()) tellLapsed(rollouts, route, told)
  for (const route of snapshot.routes.values())
    await followRoute(rollouts, route).catch(tell(`the canary of the route ${route.name}`))
  for (const definition of snapshot.rollouts.values())
    await followDefinition(rollouts, definition, told).catch(tell(`the rollout ${definition.name}`))
}

/**
 * What was completed holds as long as the route's own targets are the same. Who adds one of them takes it back with that, and has to be
 * told, unless the file asks the same model first by now.
 */
function tellLapsed({ traffic, snapshot }: Rollouts, route: Route, told: (text: string) => void): void {
  const last = traffic.of(route.name)?.promoted.at(-1)
  if (!last || last.holds(route)) return
  const { canary } = last.definition
  const arm = findArm(snapshot, route, canary, route.targets)
  if (!('missing' in arm) && arm[0]?.id === route.targets[0]?.id) return
  const text = `its own targets have changed, so that it asks these, and '${last.name}', which sent it to ${canary.targets[0]}, counts no more`
  told(`the route ${route.name}: ${text}`)
}

async function followRoute(rollouts: Rollouts, route: Route): Promise<void> {
  const stored = rollouts.find(toggleName(route.name))
  const { canary } = route
  const isOurs = isOfFile(stored?.origin)
  if (!canary) {
    if (!stored || !isOurs || !isRunning(stored.state) || !isBegunByFile(rollouts, stored)) return
    const reason = 'the file names no canary any more'
    await rollouts.change(stored, { verb: 'stop', cause: 'file', reason, actor: 'file' })
    return
  }
  const isNews =
    stored === undefined ||
    (isOurs && !sameArm(stored.definition.canary, canary.canary)) ||
    (followsFile(stored) && !says(canary, stored))
  if (!isNews || (canary.percent === 0 && stored === undefined)) return
  const running = rollouts.traffic.runningOn(route.name)
  // Also where that moves the route to the same target: its share is not the file's to set.
  if (running && running !== stored)
    throw new RolloutProblem(
      'conflict',
      `'${running.name}' moves it: what the ${canary.origin} says counts when that is over and the file is read again`,
    )
  await toggle(rollouts, {
    route: route.name,
    canary: canary.canary,
    percent: canary.percent,
    unit: canary.unit,
    reason: `the ${canary.origin} says so`,
    actor: canary.origin,
    origin: canary.origin,
  })
}

const says = ({ percent, unit }: CanarySetting, { state, definition }: Live): boolean =>
  ppmOf(percent) === state.weightPpm && unit === definition.assign.unit

/** Its draft, where the file says something new. What runs goes on as it was begun. */
async function followDefinition(
  rollouts: Rollouts,
  definition: RolloutDefinition,
  told: (text: string) => void,
): Promise<void> {
  const stored = rollouts.find(definition.name)
  if (stored && JSON.stringify(stored.definition) === JSON.stringify(definition)) return
  if (stored && isRunning(stored.state)) {
    const text = 'runs as it was begun: what the file says now counts when it is over and the file is read again'
    told(`the rollout ${definition.name} ${text}`)
    return
  }
  await rollouts.make(definition, { actor: 'file', origin: 'file', reason: 'the file says so' })
}
