// A configuration whose targets are new: what one test does to a target's health is then no other test's business.
import { parseConfig } from '../../src/config/load.ts'
import type { TestGateway } from './gateway.ts'

type Json = Record<string, unknown>

/** For tests whose subject is one call: it is made once, and answered at once. */
export const single: Json = { retries: { attempts: 1 } }

let generation = 1

/** The configuration with each `provider/model` of its routes as a target of its own, under an id that never was before. */
export function withFreshTargets(config: Json): Json {
  generation++
  const targets: Json = {}
  const ids = new Map<string, string>()
  const declared = (config.targets ?? {}) as Json
  for (const [id, target] of Object.entries(declared)) {
    ids.set(id, `${id}-${generation}`)
    targets[`${id}-${generation}`] = target
  }
  const fresh = (ref: string): string => {
    if (!ids.has(ref)) {
      const slash = ref.indexOf('/')
      const id = `${ref.replace('/', '-')}-${generation}`
      ids.set(ref, id)
      targets[id] = { provider: ref.slice(0, slash), model: ref.slice(slash + 1) }
    }
    return ids.get(ref)!
  }
  const routes = Object.entries(config.routes as Record<string, string | string[] | { targets: string[] }>).map(
    ([name, route]) => {
      if (typeof route === 'string') return [name, fresh(route)]
      if (Array.isArray(route)) return [name, route.map(fresh)]
      return [name, { ...route, targets: route.targets.map(fresh) }]
    },
  )
  return { ...config, targets, routes: Object.fromEntries(routes) }
}

/** Makes the gateway run on targets that are all healthy again. The listening server stays as it is. */
export function renewTargets(gateway: TestGateway, config: Json): void {
  const text = JSON.stringify(withFreshTargets(config))
  gateway.turnout.swap(parseConfig(text, { env: {}, version: generation }).snapshot)
}
