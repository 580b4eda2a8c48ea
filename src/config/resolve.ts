// Finds the route for what a client sent as `model`, and lists what may be sent.
import { freezeDeep } from './freeze.ts'
import { nearestNames } from './nearest.ts'
import { isPattern } from './pattern.ts'
import { makeImplicitRoute } from './routeSettings.ts'
import type { Provider, Route, Snapshot } from './snapshot.ts'

export interface ModelEntry {
  /** What a client sends as `model`. */
  readonly id: string
  /** `turnout` for a route, the provider's name for a model of it. */
  readonly ownedBy: string
}

/** Longer names belong to nobody: a client may not make us keep, compare or forward them. */
const maxNameLength = 256
/**
 * No model is called so: such a name would stand in routes, targets, log and ledger, whose readers sit at terminals that take orders from
 * it, and a line break in it makes a line of its own.
 */
const control = /\p{Cc}/u
/** Implicit routes kept per snapshot. Their names come from clients, so there has to be an end. */
const maxImplicit = 1000
/** Names that a mistyped one is compared with. */
const maxCompared = 500

const implicitRoutes = new WeakMap<Snapshot, Map<string, Route>>()
const listings = new WeakMap<Snapshot, readonly ModelEntry[]>()

/**
 * The route of a model name: a route of exactly that name, else the most specific pattern, else (with `directModels`) an
 * implicit route for `provider/model` or a well-known bare name. Otherwise up to three names that are near.
 * @param isShown which names may be among those; all unless given
 */
export function resolveModel(
  snapshot: Snapshot,
  model: string,
  isShown: (name: string) => boolean = () => true,
): Route | { nearest: string[] } {
  const exact = snapshot.routes.get(model)
  if (exact && !isPattern(model)) return exact
  if (model.length <= maxNameLength && model !== '' && !control.test(model)) {
    const match = snapshot.patterns.find(({ pattern }) => pattern.test(model))
    if (match) return match.route
    const implicit = snapshot.directModels ? implicitRoute(snapshot, model) : undefined
    if (implicit) return implicit
  }
  return { nearest: nearestNames(model, namesToCompare(snapshot).filter(isShown)) }
}

/**
 * The route of exactly this name: a configured one, or an implicit one, which acts like it. A name with a star would be a pattern if it
 * were written down.
 */
export function routeNamed(snapshot: Snapshot, name: string): Route | undefined {
  const written = snapshot.routes.get(name)
  if (written || isPattern(name)) return written
  const route = resolveModel(snapshot, name)
  return 'nearest' in route || !route.implicit ? undefined : route
}

/** What `GET /v1/models` lists: routes that are no patterns and, with `directModels`, the known models of each provider. */
export function listModels(snapshot: Snapshot): readonly ModelEntry[] {
  const listed = listings.get(snapshot)
  if (listed) return listed
  const entries: ModelEntry[] = []
  for (const name of snapshot.routes.keys()) if (!isPattern(name)) entries.push({ id: name, ownedBy: 'turnout' })
  if (snapshot.directModels) {
    const routes = new Set(entries.map(({ id }) => id))
    for (const provider of snapshot.providers.values()) {
      for (const model of provider.kind.models ?? []) {
        const id = `${provider.name}/${model}`
        if (!routes.has(id)) entries.push({ id, ownedBy: provider.name })
      }
    }
  }
  const frozen = freezeDeep(entries)
  listings.set(snapshot, frozen)
  return frozen
}

function implicitRoute(snapshot: Snapshot, model: string): Route | undefined {
  let known = implicitRoutes.get(snapshot)
  if (!known) {
    known = new Map()
    implicitRoutes.set(snapshot, known)
  }
  const kept = known.get(model)
  if (kept) {
    // Back to the end: the first in line is the one that was not asked for the longest.
    known.delete(model)
    known.set(model, kept)
    return kept
  }
  const found = findProvider(snapshot.providers, model)
  if (!found) return undefined
  const route = freezeDeep(makeImplicitRoute(model, found.provider, found.model, snapshot))
  known.set(model, route)
  if (known.size > maxImplicit) known.delete(known.keys().next().value!)
  return route
}

/**
 * The provider of `provider/model` or of a well-known bare name. The prefix up to the first slash must be a provider's whole name:
 * `openai` never claims `openai-eu/…`.
 */
export function findProvider(
  providers: ReadonlyMap<string, Provider>,
  model: string,
): { provider: Provider; model: string } | undefined {
  const slash = model.indexOf('/')
  if (slash !== -1) {
    const provider = providers.get(model.slice(0, slash))
    const rest = model.slice(slash + 1)
    return provider && rest !== '' && rest !== '*' ? { provider, model: rest } : undefined
  }
  for (const provider of providers.values()) {
    const { modelPrefixes, models } = provider.kind
    if (!modelPrefixes) continue
    if (models?.includes(model) || modelPrefixes.some((prefix) => model.startsWith(prefix))) return { provider, model }
  }
  return undefined
}

function namesToCompare(snapshot: Snapshot): string[] {
  const names = listModels(snapshot).map(({ id }) => id)
  if (snapshot.directModels) {
    for (const { kind } of snapshot.providers.values()) if (kind.modelPrefixes) names.push(...(kind.models ?? []))
  }
  return [...new Set(names)].slice(0, maxCompared)
}
