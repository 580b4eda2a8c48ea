// POST /admin/targets/{id}/disable|enable|reset: what operators do to a single target.
import * as z from 'zod'
import { nearestNames } from '../../config/nearest.ts'
import { Refusal } from '../../dialects/errors.ts'
import type { Health } from '../../state/health.ts'
import { type AdminFacts, factsOf } from './control.ts'
import { type AdminAnswer, type AdminCall, defineRoute } from './route.ts'
import { named, type Shown, word } from './shape.ts'
import { healthFields, presentHealth } from './targetView.ts'

const body = z.strictObject({ reason: z.string().trim().min(1).max(200).optional() })
const reply = named('TargetState', { object: word('target'), id: z.string(), ...healthFields })
type Call = AdminCall<unknown, z.output<typeof body>>

export const disableTarget = defineRoute({
  method: 'POST',
  path: '/targets/*id/disable',
  role: 'responder',
  summary: 'Switches a target off until it is switched on again; restarts do not do that.',
  verb: 'disable',
  body,
  reply,
  answer: (call) =>
    act(call, (health, id) => {
      health.disable(id, call.body.reason === undefined ? 'operator' : `operator: ${call.body.reason}`)
    }),
})

export const enableTarget = defineRoute({
  method: 'POST',
  path: '/targets/*id/enable',
  role: 'responder',
  summary: 'Switches a target on again. A target that is not switched off stays as it is.',
  verb: 'enable',
  body,
  reply,
  answer: (call) =>
    act(call, (health, id) => {
      if (health.stateOf(id) === 'disabled') health.reset(id, 'operator')
    }),
})

export const resetTarget = defineRoute({
  method: 'POST',
  path: '/targets/*id/reset',
  role: 'responder',
  summary: "Closes a target's breaker and forgets its faults; switches it on, too.",
  verb: 'reset',
  body,
  reply,
  answer: (call) => act(call, (health, id) => health.reset(id, 'operator')),
})

async function act(call: Call, work: (health: Health, id: string) => void): Promise<AdminAnswer<Shown<typeof reply>>> {
  const facts: AdminFacts = factsOf(call.deps)
  const { targets } = call.deps.snapshot()
  const id = call.params.id!
  const target = targets.get(id)
  if (!target) {
    const near = nearestNames(id, targets.keys())
    throw new Refusal(
      'not_found',
      `There is no target '${id.slice(0, 128)}'.${near.length > 0 ? ` Did you mean ${near.map((name) => `'${name}'`).join(', ')}?` : ''}`,
      'id',
    )
  }
  const before = presentHealth(target, facts).breaker
  work(facts.health, id)
  const after = presentHealth(target, facts)
  return {
    json: { object: 'target', id, ...after },
    audit: { subject: id, before, after: { ...after.breaker, asked: call.body.reason ?? null } },
  }
}
