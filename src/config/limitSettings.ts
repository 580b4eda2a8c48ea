// Makes limits, budgets and access rules of their settings: gaps filled, units read, names checked.
import { parseDecimal } from '../pricing/decimal.ts'
import { defaults } from './defaults.ts'
import type { AccessFields, BudgetFields, LimitFields, OwnRules } from './limitSchema.ts'
import type {
  AccessSettings,
  BudgetScope,
  BudgetSettings,
  LimitScope,
  LimitSettings,
  TeamLimits,
} from './limitTypes.ts'
import { likelyName } from './nearest.ts'
import type { Path, Report } from './problem.ts'
import { isRange } from './serverSettings.ts'

/** Requests and tokens of more than a day are a budget's business. */
const maxWindow = 86_400_000

/** What is not given here counts all together. */
interface Place<Scope extends string> {
  readonly name: string
  readonly path: Path
  readonly per?: readonly Scope[]
  readonly only?: Readonly<Partial<Record<Scope, string>>>
  /** For limits that count one entity: see `LimitSettings.group`. */
  readonly group?: string | undefined
}

/** Tells of a limit that limits nothing. */
function buildLimit(fields: LimitFields, place: Place<LimitScope>, report: Report): LimitSettings {
  const { requests, tokens, concurrency, window = defaults.limits.window } = fields
  if (requests === undefined && tokens === undefined && concurrency === undefined)
    report(place.path, 'limits nothing: give it `requests`, `tokens` or `concurrency`')
  if (window > maxWindow) report([...place.path, 'window'], 'at most a day: for more there are `budgets`')
  return {
    name: place.name,
    per: fields.per ?? place.per ?? [],
    only: { ...dropUndefined(fields.only), ...place.only },
    requests,
    tokens,
    concurrency,
    window,
    queueMs: fields.queueMs ?? defaults.limits.queueMs,
    queueSize: fields.queueSize ?? defaults.limits.queueSize,
    answerTokens: fields.answerTokens ?? defaults.limits.answerTokens,
    ...(place.group === undefined ? {} : { group: `${place.group} ${window}` }),
  }
}

/** Tells of a time zone that is none and of a route that is not there; `routes` undefined = the routes are not known here. */
function buildBudget(
  fields: BudgetFields,
  place: Place<BudgetScope>,
  { routes, report }: { routes: readonly string[] | undefined; report: Report },
): BudgetSettings {
  const { timezone = defaults.budgets.timezone, onExhausted = 'refuse' } = fields
  if (!isTimezone(timezone)) report([...place.path, 'timezone'], 'expected an IANA time zone, such as Europe/Berlin')
  const degradeTo = onExhausted === 'refuse' ? undefined : onExhausted.slice('route:'.length)
  if (degradeTo !== undefined && routes !== undefined && !routes.includes(degradeTo))
    report([...place.path, 'onExhausted'], `no route "${degradeTo}"`)
  return {
    name: place.name,
    per: fields.per ?? place.per ?? [],
    only: { ...dropUndefined(fields.only), ...place.only },
    limitNano: Number(parseDecimal(fields.usd, 9)),
    hard: fields.hard ?? true,
    window: fields.window ?? defaults.budgets.window,
    rolling: fields.rolling ?? false,
    timezone,
    degradeTo,
    fit: fields.fit ?? false,
    onUnknownPrice: fields.onUnknownPrice ?? 'refuse',
  }
}

export interface RulesOf {
  readonly kind: 'key' | 'team' | 'route'
  readonly name: string
  readonly path: Path
  readonly routes: readonly string[] | undefined
}

/**
 * What a key, team or route brings along. Its limits and budgets are called after it, with a space that no name of the top level may
 * have, and counted from there on: `key web-app`, `key web-app 2`.
 */
export function buildOwnRules(
  rules: { limits?: readonly LimitFields[] | undefined; budgets?: readonly BudgetFields[] | undefined },
  { kind, name, path, routes }: RulesOf,
  report: Report,
): TeamLimits {
  const placeOf = (block: 'limits' | 'budgets', index: number, several: boolean) => ({
    name: index === 0 ? `${kind} ${name}` : `${kind} ${name} ${index + 1}`,
    path: [...path, block, ...(several ? [index] : [])],
    per: kind === 'route' ? [] : [kind],
    only: { [kind]: name },
    ...(kind === 'route' ? {} : { group: `${kind} ${index + 1}` }),
  })
  const { limits = [], budgets = [] } = rules
  return {
    limits: limits.map((fields, index) => buildLimit(fields, placeOf('limits', index, limits.length > 1), report)),
    budgets: budgets.map((fields, index) =>
      buildBudget(fields, placeOf('budgets', index, budgets.length > 1), { routes, report }),
    ),
  }
}

/** The `access` section, with gaps filled. Reports entries of `allow` and `deny` that are no address and no range. */
function buildAccess(given: AccessFields, report: Report): AccessSettings {
  const settings = given ?? {}
  for (const list of ['allow', 'deny'] as const) {
    settings[list]?.forEach((range, index) => {
      if (!isRange(range)) report(['access', list, index], 'expected an address or a range such as 10.0.0.0/8')
    })
  }
  return {
    allow: settings.allow ?? [],
    deny: settings.deny ?? [],
    statusPerMinute: settings.statusPerMinute ?? defaults.access.statusPerMinute,
    metricsPerMinute: settings.metricsPerMinute ?? defaults.access.metricsPerMinute,
    failuresPerMinute: settings.failuresPerMinute ?? defaults.access.failuresPerMinute,
  }
}

/** The sections of a document, and what its routes bring along. */
export function buildLimits(
  settings: {
    limits?: Readonly<Record<string, LimitFields>> | undefined
    budgets?: Readonly<Record<string, BudgetFields>> | undefined
    teams?: Readonly<Record<string, OwnRules>> | undefined
    access?: AccessFields
  },
  names: ScopeNames,
  told: Told,
): {
  limits: LimitSettings[]
  budgets: BudgetSettings[]
  teams: Map<string, TeamLimits>
  access: AccessSettings
} {
  const { limits = {}, budgets = {}, teams = {} } = settings
  const { routes } = names
  const { report } = told
  for (const [block, rules] of Object.entries({ limits, budgets }))
    for (const [name, { only }] of Object.entries(rules)) checkOnly(only, [block, name, 'only'], names, told)
  return {
    limits: Object.entries(limits).map(([name, fields]) =>
      buildLimit(fields, { name, path: ['limits', name] }, report),
    ),
    budgets: Object.entries(budgets).map(([name, fields]) =>
      buildBudget(fields, { name, path: ['budgets', name] }, { routes, report }),
    ),
    teams: new Map(
      Object.entries(teams).map(([name, rules]) => [
        name,
        buildOwnRules(rules, { kind: 'team', name, path: ['teams', name], routes }, report),
      ]),
    ),
    access: buildAccess(settings.access, report),
  }
}

/** Who hears of faults, and of what is probably one. */
export interface Told {
  readonly report: Report
  readonly warn: Report
}

/** Names that a configuration has, for `only`. Keys and teams may come at run time. */
export interface ScopeNames {
  readonly routes: readonly string[]
  readonly targets: ReadonlySet<string>
  readonly providers: readonly string[]
  /** Any model of a provider may be asked for, and is a route and a target of that name. */
  readonly open: boolean
}

/** Tells of names that are nobody's: what is only for them would never count, and so bound nothing. */
export function checkOnly(
  only: Readonly<Partial<Record<BudgetScope, string | undefined>>> = {},
  path: Path,
  { routes, targets, providers, open }: ScopeNames,
  { report, warn }: Told,
): void {
  const { route, target } = only
  const nobody = (what: string, name: string, known: Iterable<string>): string => {
    const meant = likelyName(name, known)
    return `no ${what} "${name}"${meant === undefined ? '' : `; did you mean "${meant}"?`}`
  }
  if (open) return
  if (route !== undefined && !routes.includes(route)) report([...path, 'route'], nobody('route', route, routes))
  if (target === undefined || targets.has(target)) return
  // An operator may put any model of a provider into a route while the gateway runs.
  if (providers.includes(target.split('/', 1)[0]!) && target.includes('/'))
    warn([...path, 'target'], `${nobody('target', target, targets)} Until a route has it, this counts nothing`)
  else report([...path, 'target'], nobody('target', target, targets))
}

function isTimezone(name: string): boolean {
  // The default: loading the names of all others takes ten milliseconds.
  if (name === 'UTC') return true
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** `only` compares name by name: one that is not given must not be there. */
const dropUndefined = (names: Readonly<Record<string, string | undefined>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(names).filter((entry): entry is [string, string] => entry[1] !== undefined))
