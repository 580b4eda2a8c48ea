// Puts another target first in a route, in the document itself, so that history and diffs show it.
import { isAlias, isMap } from 'yaml'
import { detach } from './anchors.ts'
import { likelyName } from './nearest.ts'
import { isPattern } from './pattern.ts'
import { findProvider, routeNamed } from './resolve.ts'
import type { Snapshot } from './snapshot.ts'
import { parseWritten } from './writtenDocument.ts'

/** A wish that cannot be met. The message may go to the client. */
export class PrimaryError extends Error {
  readonly kind: 'unknown_route' | 'unknown_provider' | 'invalid'

  constructor(kind: PrimaryError['kind'], message: string) {
    super(message)
    this.name = 'PrimaryError'
    this.kind = kind
  }
}

export interface Primary {
  readonly route: string
  /** As it is written in a list of targets. */
  readonly ref: string
  /** What is probably not meant. */
  readonly warning: string | undefined
}

/**
 * What a model id means for a route: the id of a target, `provider/model`, a well-known name; a name that nobody knows is taken for a
 * model of the provider that is first now. Without a route: `default`, else the first that is no pattern.
 * @throws PrimaryError
 */
export function choosePrimary(snapshot: Snapshot, routeName: string | undefined, model: string): Primary {
  const route = findRoute(snapshot, routeName)
  const made = (ref: string, warning?: string): Primary => ({ route: route.name, ref, warning })
  if (!/^[^\s\p{Cc}]{1,384}$/u.test(model) || model.startsWith('route:') || model.endsWith('/') || model.includes('${'))
    throw new PrimaryError('invalid', 'A model id is up to 384 characters without spaces: `provider/model`.')
  if (snapshot.targets.has(model)) return made(model)
  if (model.includes('/')) {
    const found = findProvider(snapshot.providers, model)
    if (found) return made(model, unlisted(found.provider.kind.models, found.model))
    const prefix = model.slice(0, model.indexOf('/'))
    const meant = likelyName(prefix, snapshot.providers.keys())
    const hint = meant ? `Did you mean '${meant}'?` : `Configured: ${[...snapshot.providers.keys()].join(', ')}.`
    throw new PrimaryError('unknown_provider', `There is no provider '${prefix}'. ${hint}`)
  }
  const current = route.targets[0]!.provider
  const owner = current.kind.models?.includes(model) ? current : findProvider(snapshot.providers, model)?.provider
  if (owner) return made(`${owner.name}/${model}`, unlisted(owner.kind.models, model))
  return made(`${current.name}/${model}`, `nobody knows the model '${model}': it is asked of ${current.name}`)
}

function unlisted(models: readonly string[] | undefined, model: string): string | undefined {
  return models === undefined || models.includes(model) ? undefined : `'${model}' is none of the models that are known`
}

function findRoute(snapshot: Snapshot, name: string | undefined) {
  const wanted = name ?? 'default'
  const found = snapshot.routes.get(wanted)
  if (found) return found
  if (name === undefined) {
    const first = [...snapshot.routes.values()].find((route) => !isPattern(route.name))
    if (first) return first
    throw new PrimaryError('unknown_route', 'No route is configured whose first target could be set.')
  }
  const unwritten = routeNamed(snapshot, name)
  if (unwritten) return unwritten
  const meant = likelyName(name, snapshot.routes.keys())
  throw new PrimaryError('unknown_route', `There is no route '${name}'.${meant ? ` Did you mean '${meant}'?` : ''}`)
}

/**
 * The document with each route's new first target; what was first before comes next, so that there is something to fall back to.
 * `routeOf` tells what a route that is not in the document, because the environment describes it, or nobody does, would say there.
 */
export function withPrimaries(
  document: string,
  primaries: Readonly<Record<string, string>>,
  routeOf: (route: string) => unknown,
): string {
  const entries = Object.entries(primaries)
  if (entries.length === 0) return document
  const { yaml, unshield } = parseWritten(document)
  let changed = false
  if (!isMap(yaml.contents)) yaml.contents = yaml.createNode({}) as never
  if (!isMap(yaml.getIn(['routes'], true))) yaml.setIn(['routes'], yaml.createNode(yaml.toJS().routes ?? {}))
  const routes = ((yaml.toJS() as { routes?: Record<string, unknown> } | null)?.routes ?? {}) as Record<string, unknown>
  for (const [name, ref] of entries) {
    const written = Object.hasOwn(routes, name) ? routes[name] : routeOf(name)
    // A document that says so already stays as it is, to the letter.
    if (firstOf(written) === ref) continue
    changed = true
    const path = ['routes', name]
    detach(yaml, yaml.getIn(path, true))
    if (typeof written === 'object' && written !== null && !Array.isArray(written)) {
      const targets = inFront(ref, (written as { targets?: unknown }).targets)
      const node = yaml.getIn(path, true)
      if (isMap(node) && !isAlias(node)) yaml.setIn([...path, 'targets'], targets)
      else yaml.setIn(path, { ...written, targets })
    } else {
      yaml.setIn(path, inFront(ref, written))
    }
  }
  return changed ? unshield(yaml.toString({ lineWidth: 0 })) : document
}

const inFront = (ref: string, targets: unknown): unknown[] => [
  ref,
  ...(Array.isArray(targets) ? targets : [targets]).filter((other) => other !== undefined && other !== ref),
]

function firstOf(written: unknown): unknown {
  if (Array.isArray(written)) return written[0]
  return typeof written === 'object' && written !== null ? firstOf((written as { targets?: unknown }).targets) : written
}
