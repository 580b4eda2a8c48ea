// GET and PUT /admin/routes/{route}/canary, /admin/canary: the percentage of a route that another model gets.
import { z } from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import { unitKinds } from '../../rollouts/unit.ts'
import type { Live } from '../../state/rollouts/live.ts'
import { toggleName } from '../../state/rollouts/toggle.ts'
import { mayAct, roleOf } from './role.ts'
import { listAll, percentField, presentRollout, reasonField, withRollouts } from './rolloutDesk.ts'
import { type AdminCall, defineRoute } from './route.ts'

const reason = reasonField.optional()
const target = z.string().min(1).max(384)

/** What stands where nobody gave a reason. */
const byHand = 'by hand'

export const listCanaries = defineRoute({
  method: 'GET',
  path: '/canary',
  role: 'viewer',
  summary: 'What gets a percentage of which route.',
  answer: listAll,
})

export const setAllCanaries = defineRoute({
  method: 'PUT',
  path: '/canary',
  role: 'responder',
  summary: 'The percentage of everything that runs, at once. 0 sends all traffic to the stable side.',
  verb: 'canary',
  body: z.strictObject({ percent: percentField, reason }),
  async answer({ body, key, deps }) {
    requireRise(body.percent, key)
    const changed = await withRollouts(deps, (rollouts) =>
      rollouts.toggleAll(body.percent, key.name, body.reason ?? byHand),
    )
    const names = changed.map(({ name }) => name)
    return {
      json: { object: 'canaries', percent: body.percent, changed: names },
      audit: { subject: '', before: null, after: { percent: body.percent, changed: names } },
    }
  },
})

export const showCanary = defineRoute({
  method: 'GET',
  path: '/routes/*route/canary',
  role: 'viewer',
  summary: 'What gets a percentage of a route, how much, and since when.',
  async answer({ params, deps }) {
    const found = await withRollouts(deps, async (rollouts) => {
      const { name } = rollouts.route(params.route!)
      return { name, live: rollouts.traffic.runningOn(name) ?? rollouts.find(toggleName(name)) }
    })
    return { json: presentCanary(found.name, found.live, deps) }
  },
})

export const setCanary = defineRoute({
  method: 'PUT',
  path: '/routes/*route/canary',
  role: 'responder',
  summary:
    'Sends a percentage of a route to another target, from the next request on. 0 ends it. Needs `operator` but for 0.',
  verb: 'canary',
  body: z.strictObject({
    target: z.union([target, z.array(target).min(1).max(16)]).optional(),
    percent: percentField,
    unit: z.enum(unitKinds, { error: 'expected request, conversation, user or key' }).optional(),
    force: z.boolean().default(false),
    reason,
  }),
  async answer({ params, body, key, deps }) {
    requireRise(body.percent, key)
    const { before, name, live } = await withRollouts(deps, async (rollouts) => {
      const { name } = rollouts.route(params.route!)
      const before = presentCanary(name, rollouts.traffic.runningOn(name) ?? rollouts.find(toggleName(name)), deps)
      const targets = body.target === undefined ? undefined : [body.target].flat()
      const live = await rollouts.toggle({
        route: name,
        canary: targets && { targets },
        percent: body.percent,
        unit: body.unit,
        force: body.force,
        reason: body.reason ?? byHand,
        actor: key.name,
      })
      return { before, name, live }
    })
    const json = presentCanary(name, live, deps)
    return { json, audit: { subject: name, before, after: json } }
  },
})

/** On call one may take traffic away, not give it. */
function requireRise(wanted: number, key: AdminCall<unknown, unknown>['key']): void {
  if (wanted === 0 || mayAct(roleOf(key)!, 'operator')) return
  throw new Refusal('permission_denied', "This needs the role 'operator': a responder may set 0 only.")
}

function presentCanary(route: string, live: Live | undefined, deps: AdminCall<unknown, unknown>['deps']) {
  if (!live) return { object: 'canary', route, target: null, percent: 0, rollout: null }
  const { canary, name, ...rest } = presentRollout(live, deps.snapshot())
  return { object: 'canary', ...rest, target: canary, rollout: name }
}
