// Makes targets and routes of their settings: shorthand spelled out, limits inherited, names looked up.
import { providerKinds } from '../providers/index.ts'
import { sunsetOf } from '../providers/provider.ts'
import { buildRouteCache } from './cacheSettings.ts'
import { flattenChain, routePrefix, spellOut } from './chain.ts'
import { defaults } from './defaults.ts'
import { buildOwnRules } from './limitSettings.ts'
import { likelyName } from './nearest.ts'
import type { Path, Report } from './problem.ts'
import { buildCanary } from './rolloutSettings.ts'
import type { RouteSettings, TargetSettings, TimeoutSettings } from './schema.ts'
import type { BreakerSettings, Provider, RetrySettings, Route, Target, Timeouts } from './snapshot.ts'

type Providers = ReadonlyMap<string, Provider>

/** What routes are built from. `plans` grows by the inline targets that routes name. */
export interface RouteParts extends TargetParts {
  readonly plans: Map<string, TargetPlan>
  /** Ids under `targets:`, faulty ones included: those have been told of already. */
  readonly targetIds: readonly string[]
  /** Everything under `routes:`, for routes that name others. */
  readonly routes: Readonly<Record<string, RouteSettings>>
  readonly routeNames: readonly string[]
  readonly base: RouteBase
}

export interface TargetParts {
  readonly providers: Providers
  /** Names under `providers:`, faulty ones included. */
  readonly declared: readonly string[]
  /** For targets that say nothing else. */
  readonly breaker: BreakerSettings
  readonly report: Report
}

/** What holds for every route that does not say otherwise. */
export interface RouteBase {
  readonly retries: RetrySettings
  /** `false` cannot be taken back by a route. */
  readonly fallback: boolean
  /** Of canaries that do not say theirs. */
  readonly canaryPercent?: number | undefined
}

/** Limits of the target itself, before anything is inherited: what a route may still fill in. */
export interface TargetPlan {
  readonly target: Target
  readonly own: TimeoutSettings | undefined
}

/** The targets under `targets:` by id. One whose provider is unknown is told of and left out. */
export function buildTargets(
  settings: Readonly<Record<string, TargetSettings>>,
  parts: TargetParts,
): Map<string, TargetPlan> {
  const { providers, declared, report } = parts
  const plans = new Map<string, TargetPlan>()
  for (const [id, target] of Object.entries(settings)) {
    if (id.startsWith(routePrefix))
      report(['targets', id], `"${routePrefix}" names a route: call it something else`, 'key')
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
        ...makeTarget(
          id,
          provider,
          target.model,
          mergeTimeouts(target.timeouts),
          mergeOver(parts.breaker, target.breaker),
        ),
        params: target.params,
        ...(target.systemPrefix === undefined ? {} : { systemPrefix: target.systemPrefix }),
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
  const chain = (refs: readonly string[], pathOf: (index: number) => Path): Target[] =>
    flattenChain(refs, pathOf, { name, ...parts }).flatMap(({ ref, at, limits, direct }) => {
      const plan = findPlan(ref, at, direct ? parts : { ...parts, report: () => {} })
      return plan ? [{ ...plan.target, timeouts: mergeTimeouts(block?.timeouts, ...limits, plan.own) }] : []
    })
  const special = (key: 'onContextWindow' | 'onContentPolicy') =>
    chain(block?.[key] ?? [], (index) => [...path, key, index])
  const targets = chain(list, listPath)
  const onContextWindow = special('onContextWindow')
  const onContentPolicy = special('onContentPolicy')
  const canary = buildCanary(name, block?.canary, parts.base.canaryPercent)
  if (canary) chain(canary.canary.targets, () => [...path, 'canary', 'target'])
  if (targets.length === 0) return undefined
  return makeRoute(name, targets, {
    timeouts: mergeTimeouts(block?.timeouts),
    commitAfter: block?.commitAfter ?? defaults.commitAfter,
    toolArguments: block?.toolArguments ?? defaults.toolArguments,
    usageCost: block?.usageCost ?? false,
    retries: mergeOver(parts.base.retries, block?.retries),
    fallback: parts.base.fallback && (block?.fallback ?? true),
    onContextWindow,
    onContentPolicy,
    onAllFailed: block?.onAllFailed ?? 'error',
    failureMessage: block?.failureMessage ?? defaults.failureMessage,
    clientModels: block?.clientModels ?? false,
    strict: block?.strict ?? false,
    canary,
    cache: buildRouteCache(block?.cache),
    ...buildOwnRules(block ?? {}, { kind: 'route', name, path, routes: parts.routeNames }, parts.report),
  })
}

/** A route that nobody configured: one provider's model, with the defaults of the configuration. */
export function makeImplicitRoute(
  name: string,
  provider: Provider,
  model: string,
  base: { breaker: BreakerSettings; retries: RetrySettings },
): Route {
  const target = makeTarget(`${provider.name}/${model}`, provider, model, defaults.timeouts, base.breaker)
  return { ...makeRoute(name, [target], { retries: base.retries }), implicit: true }
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
  const plan = { target: makeTarget(ref, provider, model, defaults.timeouts, parts.breaker), own: undefined }
  plans.set(ref, plan)
  return plan
}

function makeTarget(
  id: string,
  provider: Provider,
  model: string,
  timeouts: Timeouts,
  breaker: BreakerSettings,
): Target {
  const sunset = sunsetOf(provider.kind, model)
  return {
    id,
    provider,
    model,
    params: undefined,
    timeouts,
    breaker,
    ...(sunset === undefined ? {} : { sunset }),
  }
}

function makeRoute(name: string, targets: readonly Target[], more: Partial<Route>): Route {
  return {
    name,
    targets,
    policy: 'ordered',
    timeouts: defaults.timeouts,
    commitAfter: defaults.commitAfter,
    toolArguments: defaults.toolArguments,
    usageCost: false,
    retries: defaults.retries,
    fallback: true,
    onContextWindow: [],
    onContentPolicy: [],
    onAllFailed: 'error',
    failureMessage: defaults.failureMessage,
    clientModels: false,
    strict: false,
    canary: undefined,
    cache: undefined,
    limits: [],
    budgets: [],
    implicit: false,
    ...more,
  }
}

/** The base with what the other says; fields that it leaves undefined do not count. */
export function mergeOver<Base extends object>(
  base: Base,
  over: { [Name in keyof Base]?: Base[Name] | undefined } | undefined,
): Base {
  const merged = { ...base }
  for (const name of Object.keys(base) as (keyof Base)[]) {
    const value = over?.[name]
    if (value !== undefined) merged[name] = value
  }
  return merged
}

/** Later layers win; what none of them says comes from the defaults. */
const mergeTimeouts = (...layers: (TimeoutSettings | undefined)[]): Timeouts =>
  layers.reduce<Timeouts>((merged, layer) => mergeOver(merged, layer), defaults.timeouts)

function unknownProvider(name: string, declared: readonly string[]): string {
  const meant = likelyName(name, declared)
  if (meant) return `no provider "${name}"; did you mean "${meant}"?`
  return providerKinds.has(name)
    ? `provider "${name}" is not configured: add it under \`providers\``
    : `no provider "${name}"; configured: ${declared.join(', ') || 'none'}`
}
