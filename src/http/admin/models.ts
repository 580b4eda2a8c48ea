// GET /admin/models/…: which models serve which routes, which there are, and how they are.
import * as z from 'zod'
import { isPattern } from '../../config/pattern.ts'
import type { Snapshot } from '../../config/snapshot.ts'
import { Refusal } from '../../dialects/errors.ts'
import { sunsetOf } from '../../providers/provider.ts'
import { inForceOn } from '../../state/rollouts/view.ts'
import { factsOf } from './control.ts'
import { inTurns } from './inTurns.ts'
import { defineRoute } from './route.ts'
import { listed, named, texts, whole, word } from './shape.ts'
import {
  chainFields,
  healthFields,
  isHealthy,
  modelFields,
  presentChain,
  presentHealth,
  presentModel,
  routesByTarget,
} from './targetView.ts'

const moved = z.object({ name: z.string(), canary: z.string(), percent: z.number() })

const modelConfig = named('ModelConfig', {
  object: word('model_config'),
  ...chainFields,
  // Where there is no route at all.
  route: z.string().nullable(),
  primary_model: z.string().nullable(),
  primary_healthy: z.boolean().optional(),
  fallback_enabled: z.boolean().optional(),
  total_models: whole,
  healthy_models: whole,
  routes: z.array(named('RouteChain', { ...chainFields, rollout: moved.nullable(), rollouts: z.array(moved) })),
  stored_changes: texts,
  temporary_primaries: z.record(z.string(), z.string()),
  bypass: z.boolean(),
  config: z.object({ version: whole, hash: z.string() }),
})

const place = { id: z.string(), provider: z.string(), model: z.string() }
const models = listed(
  'ModelList',
  named('Model', { ...place, configured: z.boolean(), routes: texts, sunset: z.string().nullable(), ...modelFields }),
  {},
)
const targets = listed('TargetList', named('Target', { ...place, routes: texts, ...healthFields, ...modelFields }), {
  total: whole,
  healthy: whole,
  bypass: z.boolean(),
})

export const showModelConfig = defineRoute({
  method: 'GET',
  path: '/models/config',
  role: 'viewer',
  summary:
    'The first model of a route and what it falls back to; without `route` of `default`, else of the first route.',
  query: z.strictObject({ route: z.string().min(1).max(256).optional() }),
  reply: modelConfig,
  async answer({ query, deps }) {
    const snapshot = deps.snapshot()
    const facts = factsOf(deps)
    const routes = [...snapshot.routes.values()]
    const route = query.route === undefined ? mainRoute(snapshot) : snapshot.routes.get(query.route)
    if (query.route !== undefined && !route)
      throw new Refusal('not_found', `There is no route '${query.route}'.`, 'route')
    const targets = [...snapshot.targets.keys()]
    const state = deps.control?.live.state()
    const movedOn = (name: string) => {
      const rollouts = deps.rollouts ? inForceOn(deps.rollouts, name) : []
      return { rollout: rollouts[0] ?? null, rollouts }
    }
    return {
      json: {
        object: 'model_config',
        ...(route ? presentChain(route, facts) : { route: null, primary_model: null, fallback_models: [] }),
        total_models: targets.length,
        healthy_models: targets.filter((id) => isHealthy(facts, id)).length,
        routes: routes.map((each) => ({ ...presentChain(each, facts), ...movedOn(each.name) })),
        stored_changes: state?.stored ?? [],
        temporary_primaries: state?.temporary ?? {},
        bypass: snapshot.bypass,
        config: { version: snapshot.version, hash: snapshot.hash },
      },
    }
  },
})

export const listAvailable = defineRoute({
  method: 'GET',
  path: '/models/available',
  role: 'viewer',
  summary:
    'Models that a route may be given: all targets, and further models that the configured providers are known to have.',
  reply: models,
  async answer({ deps }) {
    const snapshot = deps.snapshot()
    const facts = factsOf(deps)
    const routes = routesByTarget(snapshot)
    // Prices of thousands of models are looked up.
    const targets = await inTurns(snapshot.targets.values(), ({ id, provider, model, sunset }) => ({
      id,
      provider: provider.name,
      model,
      configured: true,
      routes: routes.get(id) ?? [],
      sunset: sunset ?? null,
      ...presentModel(provider.name, model, facts, snapshot),
    }))
    const known = new Set(targets.map(({ provider, model }) => `${provider}/${model}`))
    const others = [...snapshot.providers.values()].flatMap(({ name, kind }) =>
      (kind.models ?? [])
        .map((model) => ({ id: `${name}/${model}`, name, kind, model }))
        .filter(({ id }) => !known.has(id)),
    )
    const further = await inTurns(others, ({ id, name, kind, model }) => ({
      id,
      provider: name,
      model,
      configured: false,
      routes: [],
      sunset: sunsetOf(kind, model) ?? null,
      ...presentModel(name, model, facts, snapshot),
    }))
    return { json: { object: 'list', data: [...targets, ...further] } }
  },
})

export const showHealth = defineRoute({
  method: 'GET',
  path: '/models/health',
  role: 'viewer',
  summary: 'Every target: breaker, last fault, latency, prices, capabilities.',
  reply: targets,
  async answer({ deps }) {
    const snapshot = deps.snapshot()
    const facts = factsOf(deps)
    const routes = routesByTarget(snapshot)
    const data = await inTurns(snapshot.targets.values(), (target) => ({
      id: target.id,
      provider: target.provider.name,
      model: target.model,
      routes: routes.get(target.id) ?? [],
      ...presentHealth(target, facts),
      ...presentModel(target.provider.name, target.model, facts, snapshot),
    }))
    const healthy = data.filter((target) => target.is_healthy).length
    return { json: { object: 'list', data, total: data.length, healthy, bypass: snapshot.bypass } }
  },
})

function mainRoute(snapshot: Snapshot) {
  return snapshot.routes.get('default') ?? [...snapshot.routes.values()].find(({ name }) => !isPattern(name))
}
