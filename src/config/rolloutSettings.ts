// Makes what the file and the environment say of rollouts: shorthand spelled out, gaps filled, names looked up.

import {
  defaultPolicy,
  defaultSources,
  faultsOf,
  type GuardAction,
  type GuardSetting,
  isSize,
  million,
  parseSource,
  type RolloutPolicy,
  type UnitKind,
} from '../rollouts/index.ts'
import type { Course, Step } from '../rollouts/machine.ts'
import { defaults } from './defaults.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import type { Legacy } from './legacyEnv.ts'
import { likelyName } from './nearest.ts'
import type { Path, Report } from './problem.ts'
import { type CanaryFields, type GuardFields, percentShare, type RolloutFields } from './rolloutSchema.ts'
import type { Assign, CanarySetting, RolloutBudget, RolloutDefinition } from './rolloutTypes.ts'

/** How units of a kind are told. */
export const assignBy = (unit: UnitKind): Assign => ({ unit, sources: defaultSources[unit] })

/** What a rollout is judged by unless somebody says otherwise. A parameter that a model does not take does not heal by itself, either. */
export const policyFor = (unit: UnitKind): RolloutPolicy => ({
  ...defaultPolicy,
  unit,
  hard: [...defaultPolicy.hard, 'unsupported_parameter'],
})

/** `canary:` of a route. Undefined without one. */
export function buildCanary(
  route: string,
  settings: CanaryFields | undefined,
  percent: number | undefined,
): CanarySetting | undefined {
  if (!settings) return undefined
  return {
    route,
    canary: { targets: [settings.target].flat() },
    percent: settings.percent ?? percent ?? 0,
    unit: settings.unit ?? defaults.rollouts.unit,
    origin: settings.percent === undefined && percent !== undefined ? 'environment' : 'file',
  }
}

/** The canary of the route that the environment describes. */
export function canaryOfEnv(env: Env): CanaryFields | undefined {
  const target = firstSet(env, ['TURNOUT_CANARY_MODEL'])?.value
  return target === undefined ? undefined : { target }
}

/** TURNOUT_CANARY_PERCENT, or an old name of it. */
export function readCanaryPercent(env: Env, { models }: Legacy, report: Report): number | undefined {
  const found = firstSet(env, ['TURNOUT_CANARY_PERCENT']) ?? models.get('TURNOUT_CANARY_PERCENT')
  if (!found) return undefined
  const text = found.value.replace(/\s*%$/, '')
  const percent = Number(text)
  const isPercentage = /^\d+(\.\d+)?$/.test(text) && percent <= 100
  const { error } = percentShare.safeParse(percent)
  if (isPercentage && !error) return percent
  report([found.name], isPercentage ? error!.issues[0]!.message : 'expected a percentage from 0 to 100')
  return undefined
}

/** Names that a rollout may use. */
export interface RolloutNames {
  /** Configured routes, faulty ones included. */
  readonly routes: readonly string[]
  readonly webhooks: readonly string[]
  /** Routes that nobody configured may be moved, too. */
  readonly open: boolean
  readonly report: Report
  /** Tells of targets that do not exist, and makes those that are written as `provider/model`. */
  checkTargets(refs: readonly string[], path: Path): void
}

/** One rollout of the file. What is wrong with it is told. */
export function buildRollout(name: string, fields: RolloutFields, names: RolloutNames): RolloutDefinition {
  const { report } = names
  const path: Path = ['rollouts', name]
  const { route } = fields
  if (!names.routes.includes(route) && !(names.open && route.includes('/'))) {
    const meant = likelyName(route, names.routes)
    report([...path, 'route'], `no route "${route}"${meant === undefined ? '' : `; did you mean "${meant}"?`}`)
  }
  if (name.startsWith('canary:'))
    report(path, '"canary:" begins the names of percentages: call it something else', 'key')
  if (names.routes.includes(name))
    report(path, 'a route is called so, and its name stands for what moves it: call it something else', 'key')
  if (name === 'stream')
    report(path, '"stream" is a path of the admin API beside the names of rollouts: call it something else', 'key')
  const stable = fields.stable === undefined ? [] : [fields.stable].flat()
  const canary = [fields.canary].flat()
  names.checkTargets(canary, [...path, 'canary'])
  names.checkTargets(stable, [...path, 'stable'])
  fields.notify?.forEach((channel, index) => {
    if (!names.webhooks.includes(channel)) report([...path, 'notify', index], `no webhook "${channel}"`)
  })
  const policy = buildPolicy(fields)
  for (const fault of faultsOf(policy)) report([...path, 'guards'], fault)
  fields.guards?.dryRun?.forEach((metric, index) => {
    if (policy.guards.every((guard) => guard.metric !== metric))
      report([...path, 'guards', 'dryRun', index], `no guard looks at ${metric}: give it one under \`abort\`, too`)
  })
  return {
    name,
    route,
    stable: { targets: stable },
    canary: { targets: canary },
    assign: buildAssign(fields.assign),
    course: buildCourse(fields.steps, policy, path, report),
    policy,
    excludeKeys: (fields.exclude ?? []).map((text) => text.slice('api_key:'.length)),
    inFlight: fields.inFlight ?? 'redispatch',
    notify: fields.notify ?? [],
    ...(fields.budget ? { budget: buildBudget(fields.budget) } : {}),
  }
}

/** What is not given is left out: a definition is compared by its JSON. */
function buildBudget({ canaryUsd, exposedUnits }: NonNullable<RolloutFields['budget']>): RolloutBudget {
  return {
    ...(canaryUsd === undefined ? {} : { canaryNanoUsd: Math.round(canaryUsd * 1e9) }),
    ...(exposedUnits === undefined ? {} : { exposedUnits }),
  }
}

function buildAssign(fields: RolloutFields['assign']): Assign {
  const unit = fields?.unit ?? defaults.rollouts.unit
  return fields?.key ? { unit, sources: fields.key.map((text) => parseSource(text)!) } : assignBy(unit)
}

function buildCourse(steps: RolloutFields['steps'], policy: RolloutPolicy, path: Path, report: Report): Course {
  const built = steps.map(
    (step): Step =>
      'setWeight' in step
        ? { kind: 'weight', ppm: Math.round((step.setWeight * million) / 100) }
        : {
            kind: 'wait',
            duration: step.pause.duration ?? 0,
            minRequests: step.pause.minRequests ?? (step.pause.approval ? 0 : 1),
            advance: step.pause.advance ?? 'no_harm',
            approval: step.pause.approval ?? false,
            maxWait: step.pause.maxWait,
          },
  )
  if (built[0]?.kind === 'wait') report([...path, 'steps', 0], 'the first step has to set a weight')
  const rulesOut = policy.guards.some(({ harmRatio }) => harmRatio !== undefined)
  let ppm = 0
  built.forEach((step, index) => {
    if (step.kind === 'wait' && step.advance === 'non_inferior' && !rulesOut)
      report(
        [...path, 'steps', index],
        'no guard has a `harmRatio` that `non_inferior` could rule out, and this `pause` would never end: give one to a guard of bad events, such as 2',
      )
    if (step.kind === 'weight') ppm = step.ppm
    else if (ppm === 0 && index > 0 && !passesAtZero(step))
      report(
        [...path, 'steps', index],
        'at weight 0 the canary gets no requests, and this `pause` would never end: give it `approval: true` and nothing else but a duration, or set a weight before it',
      )
  })
  const last = built.at(-1)
  // After the last step a rollout is completed: who means to stay at 5 % would have 100 % in the same moment.
  if (last?.kind === 'weight' && last.ppm < million)
    report(
      [...path, 'steps', built.length - 1],
      'put a `pause` after it, or set 100: after the last step the canary gets everything at once',
    )
  return { steps: built, open: false }
}

const passesAtZero = ({ approval, minRequests, advance }: Extract<Step, { kind: 'wait' }>): boolean =>
  approval && minRequests === 0 && advance === 'no_harm'

function buildPolicy({ guards, assign }: RolloutFields): RolloutPolicy {
  const base = policyFor(assign?.unit ?? defaults.rollouts.unit)
  if (!guards) return base
  const watched = new Set<string>(guards.dryRun)
  const list = [
    ...(guards.abort ? guardsOf(guards.abort, 'abort') : base.guards),
    ...(guards.signal ? guardsOf(guards.signal, 'pause') : []),
  ].map((guard) => (watched.has(guard.metric) ? { ...guard, action: 'watch' as const } : guard))
  return {
    ...base,
    guards: list,
    alpha: guards.alpha ?? base.alpha,
    beta: guards.beta ?? base.beta,
    minBadEvents: guards.minBadEvents ?? base.minBadEvents,
    hard: guards.hard ?? base.hard,
    slowStart: guards.slowStart ?? base.slowStart,
    sloErrorRate: guards.slo?.errorRate,
  }
}

/** Those without a share of their own have equal parts of what the others leave. */
function guardsOf(fields: readonly GuardFields[], action: GuardAction): GuardSetting[] {
  const open = fields.filter(({ share }) => share === undefined).length
  const rest = Math.max(0, 1 - fields.reduce((sum, { share }) => sum + (share ?? 0), 0))
  return fields.map(({ metric, maxRatio, quantiles, harmRatio, share }) => ({
    metric,
    maxRatio: maxRatio ?? defaults.rollouts.maxRatio,
    quantiles: quantiles ?? (isSize(metric) ? [0.5, 0.95] : undefined),
    harmRatio,
    // Nothing is left: more than 1 in all, which is told.
    share: share ?? (rest > 0 ? rest / open : 1 / open),
    action,
  }))
}
