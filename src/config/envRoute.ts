// The route `default` that the environment describes where the file has none.
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import type { Legacy } from './legacyEnv.ts'
import type { Report } from './problem.ts'
import { findProvider } from './resolve.ts'
import type { Provider } from './snapshot.ts'

/** Best first. */
const modelVariables = [
  'TURNOUT_PRIMARY_MODEL',
  'TURNOUT_FALLBACK_MODEL_1',
  'TURNOUT_FALLBACK_MODEL_2',
  'TURNOUT_FALLBACK_MODEL_3',
] as const

/** The route's name. */
export const envRoute = 'default'

export interface EnvModel {
  /** The variable that names it, an old one perhaps. */
  readonly variable: string
  /** `provider/model`, or the id of a target. */
  readonly ref: string
}

export interface EnvRouteFacts {
  readonly env: Env
  readonly legacy: Legacy
  readonly providers: ReadonlyMap<string, Provider>
  readonly targetIds: readonly string[]
  /** The file has a route of that name. */
  readonly written: boolean
  readonly warn: Report
}

/** The models, best first; empty where none is named, or where the file has the route. A well-known bare name finds its provider. */
export function modelsOfEnv({ env, legacy, providers, targetIds, written, warn }: EnvRouteFacts): EnvModel[] {
  const models: EnvModel[] = []
  for (const variable of modelVariables) {
    const found = firstSet(env, [variable]) ?? legacy.models.get(variable)
    if (!found) continue
    const { name, value } = found
    if (written) {
      warn([name], `counts for nothing: the file has a route \`${envRoute}\``)
      continue
    }
    const bare = targetIds.includes(value) || value.includes('/') ? undefined : findProvider(providers, value)
    const ref = bare ? `${bare.provider.name}/${bare.model}` : value
    const twin = models.find((model) => model.ref === ref)
    if (twin) warn([name], `counts for nothing: ${twin.variable} names the same model`)
    else models.push({ variable: name, ref })
  }
  return models
}
