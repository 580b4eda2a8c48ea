// POST /admin/models/… and /admin/bypass: what operators do to traffic at once.
import * as z from 'zod'
import type { Shown } from '../../config/live.ts'
import { routeNamed } from '../../config/resolve.ts'
import { actorOf, controlOf, factsOf, withRefusals } from './control.ts'
import { defineRoute } from './route.ts'
import { config, named, texts, word } from './shape.ts'

export const setPrimary = defineRoute({
  method: 'POST',
  path: '/models/set-primary',
  role: 'operator',
  summary:
    'Puts a model first in a route; what was first comes next. Until the next restart, or stored with `update_env`.',
  verb: 'set-primary',
  refuses: [422],
  body: z.strictObject({
    route: z.string().min(1).max(256).optional(),
    model_id: z.string().min(1).max(384),
    update_env: z.boolean().default(false),
  }),
  reply: named('Primary', {
    object: word('primary'),
    route: z.string(),
    primary_model: z.string(),
    previous_primary_model: z.string().nullable(),
    fallback_models: texts,
    swapped: z.boolean(),
    stored: z.boolean(),
    config,
    warnings: texts,
  }),
  async answer({ body, key, deps }) {
    const { live } = controlOf(deps)
    const result = await withRefusals(() =>
      live.setPrimary(body.route, body.model_id, { persist: body.update_env, actor: actorOf(key) }),
    )
    const chainOf = ({ snapshot }: Shown) => routeNamed(snapshot, result.route)?.targets.map(({ id }) => id) ?? []
    const [previous, current] = [chainOf(result.before), chainOf(result.after)]
    return {
      json: {
        object: 'primary',
        route: result.route,
        primary_model: result.ref,
        previous_primary_model: previous[0] ?? null,
        fallback_models: current.slice(1),
        swapped: result.swapped,
        stored: body.update_env,
        config: { version: result.version },
        warnings: result.warnings,
      },
      audit: {
        subject: result.route,
        before: { targets: previous },
        after: { targets: current, stored: body.update_env },
      },
    }
  },
})

export const reload = defineRoute({
  method: 'POST',
  path: '/models/reload',
  role: 'operator',
  summary:
    'Reads the file and the env files again. `force` also closes every breaker; what was switched off stays off.',
  verb: 'reload',
  refuses: [422],
  body: z.strictObject({ force: z.boolean().default(false) }),
  reply: named('Reload', {
    object: word('reload'),
    swapped: z.boolean(),
    config,
    warnings: texts,
    lost_changes: texts,
    closed_breakers: texts,
  }),
  async answer({ body, key, deps }) {
    const { live } = controlOf(deps)
    const { health } = factsOf(deps)
    const result = await withRefusals(() => live.reload(actorOf(key)))
    const shut = body.force
      ? [...deps.snapshot().targets.keys()].filter((id) => ['open', 'half_open'].includes(health.stateOf(id)))
      : []
    for (const id of shut) health.reset(id, 'operator')
    const { swapped, version, warnings, lost } = result
    return {
      json: { object: 'reload', swapped, config: { version }, warnings, lost_changes: lost, closed_breakers: shut },
      audit: {
        subject: '',
        before: { version: result.before.snapshot.version },
        after: { version, lost, closed_breakers: shut },
      },
    }
  },
})

export const switchBypass = defineRoute({
  method: 'POST',
  path: '/bypass',
  role: 'responder',
  summary: 'The one switch: every route goes straight to its first target, without fallback, policy, cache or rollout.',
  verb: 'bypass',
  body: z.strictObject({ on: z.boolean(), reason: z.string().trim().min(1).max(500) }),
  reply: named('Bypass', { object: word('bypass'), on: z.boolean(), reason: z.string() }),
  async answer({ body: { on, reason }, key, deps }) {
    const { live } = controlOf(deps)
    const before = live.state().bypass
    await live.bypass(on, reason, actorOf(key))
    return {
      json: { object: 'bypass', on: deps.snapshot().bypass, reason },
      audit: {
        subject: '',
        before: { on: before !== undefined, reason: before?.reason ?? null },
        after: { on, reason },
      },
    }
  },
})
