// Makes what the file and the environment say of canaries: shorthand spelled out, gaps filled, requests' units named.

import { defaultSources, type UnitKind } from '../rollouts/unit.ts'
import { defaults } from './defaults.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import type { Legacy } from './legacyEnv.ts'
import type { Report } from './problem.ts'
import type { CanaryFields } from './rolloutSchema.ts'
import type { Assign, CanarySetting } from './rolloutTypes.ts'

/** How units of a kind are told. */
export const assignBy = (unit: UnitKind): Assign => ({ unit, sources: defaultSources[unit] })

/** `canary:` of a route. Undefined without one. */
export function buildCanary(
  route: string,
  settings: CanaryFields | undefined,
  percent: number | undefined,
): CanarySetting | undefined {
  if (!settings) return undefined
  return {
    route,
    canary: { targets: Array.isArray(settings.target) ? settings.target : [settings.target] },
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
  if (/^\d+(\.\d+)?$/.test(text) && percent <= 100) return percent
  report([found.name], 'expected a percentage from 0 to 100')
  return undefined
}
