// Finds the targets of a rollout's arm in a snapshot: those that it names, with the limits that they have on its route.
import { defaults } from './defaults.ts'
import { findProvider } from './resolve.ts'
import type { ArmSpec } from './rolloutTypes.ts'
import { makeImplicitRoute } from './routeSettings.ts'
import type { Route, Snapshot, Target, Timeouts } from './snapshot.ts'

/** What an arm names and the configuration does not have. */
export interface MissingTarget {
  readonly missing: string
}

/** Best first, each once. An arm that names nothing is `base`, the route's own targets. */
export function findArm(
  snapshot: Snapshot,
  route: Route,
  { targets }: ArmSpec,
  base: readonly Target[],
): readonly Target[] | MissingTarget {
  if (targets.length === 0) return base
  const found = new Map<string, Target>()
  for (const ref of targets) {
    const named = findRef(snapshot, route, ref)
    if (!named) return { missing: ref }
    for (const target of named) if (!found.has(target.id)) found.set(target.id, target)
  }
  return [...found.values()]
}

function findRef(snapshot: Snapshot, route: Route, ref: string): readonly Target[] | undefined {
  if (ref.startsWith('route:')) return snapshot.routes.get(ref.slice('route:'.length))?.targets
  const own = route.targets.find(({ id }) => id === ref)
  if (own) return [own]
  const known = snapshot.targets.get(ref)
  if (known) return [{ ...known, timeouts: inherit(known.timeouts, route.timeouts) }]
  const found = ref.includes('/') ? findProvider(snapshot.providers, ref) : undefined
  if (!found) return undefined
  const [target] = makeImplicitRoute(ref, found.provider, found.model, snapshot).targets
  return [{ ...target!, timeouts: route.timeouts }]
}

/** As targets of a route: a limit that is not the target's own is the route's. */
function inherit(own: Timeouts, ofRoute: Timeouts): Timeouts {
  const timeouts = { ...own }
  for (const name of Object.keys(own) as (keyof Timeouts)[])
    if (own[name] === defaults.timeouts[name]) timeouts[name as 'connect'] = ofRoute[name]
  return timeouts
}
