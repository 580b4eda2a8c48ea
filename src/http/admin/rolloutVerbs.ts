// POST /admin/rollouts/{name}/{verb}: what operators may do to a rollout. A command with an `Idempotency-Key` acts once.
import * as z from 'zod'
import { percentShare } from '../../config/rolloutSchema.ts'
import { aim } from '../../state/rollouts/reach.ts'
import type { Wish } from '../../state/rollouts/rollouts.ts'
import { seenBy } from './condition.ts'
import { once } from './once.ts'
import type { Role } from './role.ts'
import { answerOf, findRollout, presentRollout, reasonField, rolloutsOf, withRollouts } from './rolloutDesk.ts'
import { rolloutShape } from './rolloutShapes.ts'
import { type AdminAnswer, type AdminCall, defineRoute } from './route.ts'
import type { Shown } from './shape.ts'

const verbBody = z.strictObject({ reason: reasonField })
type VerbCall = AdminCall<unknown, { reason: string }>

function act(
  call: VerbCall,
  wish: Omit<Wish, 'cause' | 'reason' | 'actor' | 'key'>,
): Promise<AdminAnswer<Shown<typeof rolloutShape>>> {
  const { deps, key: by, body, params } = call
  const seen = seenBy(call.req)
  return once(
    call,
    [wish.verb, params.name, body],
    async (key) => {
      const { name } = findRollout(params.name!, deps)
      const before = presentRollout(aim(rolloutsOf(deps), name, wish).live, deps)
      const command = { ...wish, cause: 'operator', reason: body.reason, actor: by.name, seen, key } as const
      const live = await withRollouts(deps, (rollouts) => rollouts.command(name, command))
      const audit = { subject: live.name, before, after: presentRollout(live, deps) }
      return { live, answer: { ...answerOf(live, deps), audit } }
    },
    answerOf,
  )
}

const headers = ['if-match', 'idempotency-key'] as const

/** A verb that takes a reason and nothing else. */
function verbRoute(verb: Wish['verb'], role: Role, summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/rollouts/:name/${verb}`,
    role,
    summary,
    verb: `rollout-${verb}`,
    headers,
    reply: rolloutShape,
    body: verbBody,
    answer: (call) => act(call, { verb }),
  })
}

/** A verb that begins a new attempt, also of what was aborted. */
function beginRoute(verb: 'start' | 'retry', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/rollouts/:name/${verb}`,
    role: 'operator',
    summary,
    verb: `rollout-${verb}`,
    headers,
    reply: rolloutShape,
    body: verbBody.extend({ force: z.boolean().default(false) }),
    answer: (call) => act(call, { verb, force: call.body.force || verb === 'retry' }),
  })
}

export const rolloutVerbs = [
  beginRoute(
    'start',
    'Begins at the first step. Ends what else runs on the route. Refused for arms that were aborted, but for `force`.',
  ),
  verbRoute(
    'pause',
    'responder',
    'Stands still: no step is taken. The canary keeps its share, and guards still abort.',
  ),
  verbRoute('resume', 'operator', 'Goes on at the same step.'),
  verbRoute('approve', 'operator', 'Takes the step that waits for somebody.'),
  verbRoute(
    'abort',
    'responder',
    'Back to the stable side at once, from any state. Without `If-Match` it always acts, whatever else is under way.',
  ),
  beginRoute('retry', 'Begins again after an abort: the same units, new evidence, and alpha is spent anew.'),
  defineRoute({
    method: 'POST',
    path: '/rollouts/:name/undo',
    role: 'operator',
    summary:
      'Takes back what was completed. With `toRevision`, also of what runs: to the step and share of that revision, where it stands still.',
    verb: 'rollout-undo',
    headers,
    reply: rolloutShape,
    body: verbBody.extend({ toRevision: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional() }),
    answer: (call) => act(call, { verb: 'undo', toRevision: call.body.toRevision }),
  }),
  defineRoute({
    method: 'POST',
    path: '/rollouts/:name/set-weight',
    role: 'operator',
    summary: 'Another share by hand. One with steps then stands still until it is resumed.',
    verb: 'rollout-set-weight',
    headers,
    reply: rolloutShape,
    body: verbBody.extend({ percent: percentShare }),
    answer: (call) => act(call, { verb: 'set-weight', ppm: Math.round(call.body.percent * 10_000) }),
  }),
  defineRoute({
    method: 'POST',
    path: '/rollouts/:name/promote',
    role: 'operator',
    summary:
      'Takes the next step although its conditions do not hold; `full` completes it: the canary becomes the stable side.',
    verb: 'rollout-promote',
    headers,
    reply: rolloutShape,
    body: verbBody.extend({ full: z.boolean().default(false) }),
    answer: (call) => act(call, { verb: 'promote', full: call.body.full }),
  }),
]
