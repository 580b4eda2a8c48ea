// Makes targets and routes of their settings: shorthand spelled out, limits inherited, names looked up.
import { providerKinds } from '../providers/index.ts'
import { defaults } from './defaults.ts'
import { likelyName } from './nearest.ts'
import type { Path, Report } from './problem.ts'
import type { RouteSettings, TargetSettings, TimeoutSettings } from './schema.ts'
import type { Provider, Route, Target, Timeouts } from './snapshot.ts'

type Providers = ReadonlyMap<string, Provider>

/** What routes are built from. `plans` grows by the inline targets that routes name. */
export interface RouteParts {
  readonly plans: Map<string, TargetPlan>
  /** Ids under `targets:`, faulty ones included: those have been told of already. */
  readonly targetIds: readonly string[]
  readonly providers: Providers
  /** Names under `providers:`, faulty ones included. */
  readonly declared: readonly string[]
  readonly report: Report
}

/** Limits of the target itself, before anything is inherited: what a route may still fill in. */
export interface TargetPlan {
  readonly target: Target
  readonly own: TimeoutSettings | undefined
}

/** The targets under `targets:` by id. One whose provider is unknown is told of and left out. */
export function buildTargets(
  settings: Readonly<Record<string, TargetSettings>>,
  providers: Providers,
  declared: readonly string[],
  report: Report,
): Map<string, TargetPlan> {
  const plans = new Map<string, TargetPlan>()
  for (const [id, target] of Object.entries(settings)) {
    const provider = providers.get(target.provider)
    if (!provider) {
      // A provider that is there but faulty has been told of already.
      if (!declared.includes(target.provider)) {
        report(['targets', id, 'provider'], unknownProvider(target.provider, declared))
      }
      continue
    }
    plans.set(id, {
      own: target.timeouts,
      target: {
        ...makeTarget(id, provider, target.model, mergeTimeouts(target.timeouts)),
        params: target.params,
        ...(target.sunset === undefined ? {} : { sunset: target.sunset }),
      },
    })
  }
  return plans
}

/** A route with its targets, each with the limits: its own, then the route's, then the defaults. */
export function buildRoute(name: string, settings: RouteSettings, parts: RouteParts): Route | undefined {
  const path: Path = ['routes', name]
  const { list, listPath } = spellOut(settings, path)
  const block = typeof settings === 'string' || Array.isArray(settings) ? undefined : settings
  const targets: Target[] = []
  list.forEach((ref, index) => {
    const at = listPath(index)
    if (list.indexOf(ref) !== index) {
      parts.report(at, `"${ref}" is already in this route`)
      return
    }
    const plan = findPlan(ref, at, parts)
    if (plan) targets.push({ ...plan.target, timeouts: mergeTimeouts(block?.timeouts, plan.own) })
  })
  if (targets.length === 0) return undefined
  return makeRoute(name, targets, {
    timeouts: mergeTimeouts(block?.timeouts),
    commitAfter: block?.commitAfter ?? defaults.commitAfter,
    toolArguments: block?.toolArguments ?? defaults.toolArguments,
    usageCost: block?.usageCost ?? false,
  })
}

/** A route that nobody configured: one provider's model, with the defaults. */
export function makeImplicitRoute(name: string, provider: Provider, model: string): Route {
  const target = makeTarget(`${provider.name}/${model}`, provider, model, defaults.timeouts)
  return { ...makeRoute(name, [target], {}), implicit: true }
}

/** Where each of a route's targets is written, whichever way the route is. */
export function spellOut(settings: RouteSettings, path: Path) {
  if (typeof settings === 'string') return { list: [settings], listPath: (_: number): Path => path }
  if (Array.isArray(settings)) return { list: settings, listPath: (index: number): Path => [...path, index] }
  return { list: settings.targets, listPath: (index: number): Path => [...path, 'targets', index] }
}

function findPlan(ref: string, at: Path, parts: RouteParts): TargetPlan | undefined {
  const { plans, targetIds, providers, declared, report } = parts
  const known = plans.get(ref)
  if (known) return known
  if (targetIds.includes(ref)) return undefined
  const slash = ref.indexOf('/')
  const model = ref.slice(slash + 1)
  if (slash <= 0 || model === '') {
    const meant = likelyName(ref, targetIds)
    report(
      at,
      `no target "${ref}"; ${meant ? `did you mean "${meant}"?` : 'add it under `targets`, or write provider/model'}`,
    )
    return undefined
  }
  const provider = providers.get(ref.slice(0, slash))
  if (!provider) {
    const name = ref.slice(0, slash)
    if (!declared.includes(name)) report(at, unknownProvider(name, declared))
    return undefined
  }
  const plan = { target: makeTarget(ref, provider, model, defaults.timeouts), own: undefined }
  plans.set(ref, plan)
  return plan
}

function makeTarget(id: string, provider: Provider, model: string, timeouts: Timeouts): Target {
  const sunset = provider.kind.sunsets?.[model]
  return {
    id,
    provider,
    model,
    params: undefined,
    timeouts,
    breaker: defaults.breaker,
    ...(sunset === undefined ? {} : { sunset }),
  }
}

function makeRoute(
  name: string,
  targets: Target[],
  more: Partial<Pick<Route, 'timeouts' | 'commitAfter' | 'toolArguments' | 'usageCost'>>,
) {
  return {
    name,
    targets,
    policy: 'ordered' as const,
    timeouts: more.timeouts ?? defaults.timeouts,
    commitAfter: more.commitAfter ?? defaults.commitAfter,
    toolArguments: more.toolArguments ?? defaults.toolArguments,
    usageCost: more.usageCost ?? false,
    retries: defaults.retries,
    fallback: true,
    onContextWindow: [],
    onContentPolicy: [],
    onAllFailed: 'error' as const,
    failureMessage: defaults.failureMessage,
    clientModels: false,
    strict: false,
    implicit: false,
  } satisfies Route
}

/** Later layers win; what none of them says comes from the defaults. */
function mergeTimeouts(...layers: (TimeoutSettings | undefined)[]): Timeouts {
  const merged: { -readonly [Name in keyof Timeouts]: number } = { ...defaults.timeouts }
  for (const layer of layers) {
    for (const name of Object.keys(merged) as (keyof Timeouts)[]) merged[name] = layer?.[name] ?? merged[name]
  }
  return merged
}

function unknownProvider(name: string, declared: readonly string[]): string {
  const meant = likelyName(name, declared)
  if (meant) return `no provider "${name}"; did you mean "${meant}"?`
  return providerKinds.has(name)
    ? `provider "${name}" is not configured: add it under \`providers\``
    : `no provider "${name}"; configured: ${declared.join(', ') || 'none'}`
}
