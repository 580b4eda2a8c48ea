// Spells out the targets of a route: shorthand, and the targets of other routes that it names.
import { likelyName } from './nearest.ts'
import type { Path, Report } from './problem.ts'
import type { RouteSettings, TimeoutSettings } from './schema.ts'

/** `route:NAME` in a list of targets stands for all targets of that route. */
export const routePrefix = 'route:'

/** One target of a chain. */
export interface Link {
  readonly ref: string
  /** Where the route's own list says so; for targets of another route that is the reference to it. */
  readonly at: Path
  /** Time limits of the other route that it comes from, the outermost first. */
  readonly limits: readonly TimeoutSettings[]
  /** Named by the list itself, not through another route. */
  readonly direct: boolean
}

export interface ChainParts {
  /** The route that the chain belongs to. */
  readonly name: string
  readonly routes: Readonly<Record<string, RouteSettings>>
  /** Names of all routes, faulty ones included. */
  readonly routeNames: readonly string[]
  readonly report: Report
}

/**
 * The targets of a list in order, each once: the first mention counts. Tells of doubles that the list itself names, of routes that do
 * not exist and of routes that lead back to this one; what is wrong inside of another route is told of there.
 */
export function flattenChain(list: readonly string[], listPath: (index: number) => Path, parts: ChainParts): Link[] {
  const links = new Map<string, Link>()
  list.forEach((ref, index) => {
    const at = listPath(index)
    if (list.indexOf(ref) !== index) parts.report(at, `"${ref}" is already in this route`)
    else follow(ref, { at, limits: [], direct: true }, [parts.name], parts, links)
  })
  return [...links.values()]
}

/** Where each of a route's targets is written, whichever way the route is. */
export function spellOut(settings: RouteSettings, path: Path) {
  if (typeof settings === 'string') return { list: [settings], listPath: (_: number): Path => path }
  if (Array.isArray(settings)) return { list: settings, listPath: (index: number): Path => [...path, index] }
  return { list: settings.targets, listPath: (index: number): Path => [...path, 'targets', index] }
}

function follow(
  ref: string,
  from: Omit<Link, 'ref'>,
  through: readonly string[],
  parts: ChainParts,
  links: Map<string, Link>,
): void {
  if (!ref.startsWith(routePrefix)) {
    if (!links.has(ref)) links.set(ref, { ref, ...from })
    return
  }
  const name = ref.slice(routePrefix.length)
  if (through.includes(name)) {
    // A ring that this route leads into but is no part of is told of by those that are.
    if (name === parts.name) parts.report(from.at, `goes in circles: ${[...through, name].join(' → ')}`)
    return
  }
  const settings = Object.hasOwn(parts.routes, name) ? parts.routes[name] : undefined
  if (settings === undefined) {
    if (!from.direct || parts.routeNames.includes(name)) return
    const meant = likelyName(name, parts.routeNames)
    parts.report(from.at, `no route "${name}"${meant === undefined ? '' : `; did you mean "${meant}"?`}`)
    return
  }
  const { list } = spellOut(settings, [])
  const own = typeof settings === 'string' || Array.isArray(settings) ? undefined : settings.timeouts
  const limits = own === undefined ? from.limits : [...from.limits, own]
  for (const inner of list) follow(inner, { at: from.at, limits, direct: false }, [...through, name], parts, links)
}
