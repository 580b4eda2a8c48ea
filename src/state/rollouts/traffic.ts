// Which rollout moves a route: at most one that runs, on top of what was promoted before. One map, so that a request asks once.
import type { Route, Snapshot, Target } from '../../config/snapshot.ts'
import { isRunning } from '../../rollouts/machine.ts'
import type { Arms, Live } from './live.ts'

/** What a route's requests meet. */
export interface Moved {
  /** Runs now: assigns requests to its arms. */
  readonly running: Live | undefined
  /** Promoted, the latest last. */
  readonly promoted: readonly Live[]
}

/** An index of rollouts by route, rebuilt with each change and read with each request. */
export class Traffic {
  #routes: ReadonlyMap<string, Moved> | undefined

  /** Call whenever a rollout begins or ends. */
  rebuild(rollouts: Iterable<Live>): void {
    const routes = new Map<string, { running: Live | undefined; promoted: Live[] }>()
    const at = (route: string) => {
      const moved = routes.get(route) ?? { running: undefined, promoted: [] }
      routes.set(route, moved)
      return moved
    }
    for (const live of rollouts) {
      live.forgetArms()
      if (isRunning(live.state)) at(live.definition.route).running = live
      else if (live.state.phase === 'completed') at(live.definition.route).promoted.push(live)
    }
    for (const { promoted } of routes.values()) {
      promoted.sort((a, b) => a.state.updatedAt - b.state.updatedAt)
      for (const [at, live] of promoted.entries()) live.above = promoted[at + 1]
    }
    this.#routes = routes.size === 0 ? undefined : routes
  }

  /** Undefined for routes that nothing moves. */
  of(route: string): Moved | undefined {
    return this.#routes?.get(route)
  }

  runningOn(route: string): Live | undefined {
    return this.of(route)?.running
  }
}

/** The route's own targets, or those of what was promoted in their place. */
export function baseOf(snapshot: Snapshot, route: Route, promoted: readonly Live[]): readonly Target[] {
  let base = route.targets
  // As `holds` of each, in one go: this is done for each request.
  for (let at = promoted.findLastIndex((live) => !live.isOn(route)) + 1; at < promoted.length; at++) {
    const arms = promoted[at]!.arms(snapshot, route, base)
    if (!('missing' in arms)) base = arms.canaryFirst
  }
  return base
}

/**
 * Whom requests of a route may meet wherever its rollouts send them, best first, and while the bypass is on: a key that may use none of
 * these is refused.
 */
export function stableOf(snapshot: Snapshot, route: Route, moved: Moved | undefined): readonly Target[] {
  if (snapshot.bypass) return route.targets.slice(0, 1)
  if (!moved) return route.targets
  const base = baseOf(snapshot, route, moved.promoted)
  const arms = moved.running?.arms(snapshot, route, base)
  return arms && isReachable(arms) ? arms.stable : base
}

export const isReachable = (arms: Arms | { missing: string }): arms is Arms => !('missing' in arms)

/** Whether both arms ask the same, with those that help out: then there is nothing to move. */
export const isSame = (arms: Arms | { missing: string }): boolean =>
  isReachable(arms) && idsOf(arms.canaryFirst) === idsOf(arms.stable)

const idsOf = (targets: readonly Target[]): string => targets.map(({ id }) => id).join('\n')
