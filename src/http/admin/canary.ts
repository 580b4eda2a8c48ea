// GET and PUT /admin/routes/{route}/canary, /admin/canary: the percentage of a route that another model gets.
import * as z from 'zod'
import { percentShare } from '../../config/rolloutSchema.ts'
import type { CommandKey } from '../../config/rolloutTypes.ts'
import { Refusal } from '../../dialects/errors.ts'
import { type UnitKind, unitKinds } from '../../rollouts/unit.ts'
import type { Live } from '../../state/rollouts/live.ts'
import { canaryOf, sameArm } from '../../state/rollouts/toggle.ts'
import { canaryTag, seenBy } from './condition.ts'
import { once } from './once.ts'
import { mayAct, roleOf } from './role.ts'
import { presentAll, presentRollout, reasonField, rolloutsOf, withRollouts } from './rolloutDesk.ts'
import { rolloutFields, standing } from './rolloutShapes.ts'
import { type AdminCall, type AdminDeps, defineRoute } from './route.ts'
import { listed, named, type Shown, texts, whole, word } from './shape.ts'

const reason = reasonField.optional()
const target = z.string().min(1).max(384)

/** What stands where nobody gave a reason. */
const byHand = 'by hand'

const { name: _name, canary: _canary, ...rest } = rolloutFields
/** Of a route that has none only what is not optional here. */
const canaryShape = named('Canary', {
  object: word('canary'),
  ...z.object(rest).partial().shape,
  route: z.string(),
  target: texts.nullable(),
  percent: z.number(),
  revision: whole,
  rollout: z.string().nullable(),
})

export const listCanaries = defineRoute({
  method: 'GET',
  path: '/canary',
  role: 'viewer',
  summary: 'What gets a percentage of which route.',
  reply: listed('CanaryList', standing, { revision: whole }),
  async answer({ deps }) {
    const { revision } = rolloutsOf(deps)
    return { json: { object: 'list', data: presentAll(deps), revision }, headers: [tagOfAll(revision)] }
  },
})

export const setAllCanaries = defineRoute({
  method: 'PUT',
  path: '/canary',
  role: 'responder',
  summary: 'The percentage of everything that runs, at once. 0 sends all traffic to the stable side.',
  verb: 'canary',
  headers: ['if-match', 'idempotency-key'],
  body: z.strictObject({ percent: percentShare, reason }),
  reply: named('CanaryChange', { object: word('canaries'), percent: z.number(), changed: texts, revision: whole }),
  async answer(call) {
    const { body, key: by, req, deps } = call
    const { percent } = body
    requireRise(percent, by)
    const seen = seenBy(req)
    const answer = (changed: readonly string[], revision: number) => ({
      json: { object: 'canaries', percent, changed, revision },
      headers: [tagOfAll(revision)],
    })
    return once(call, ['canary', body], async (key) => {
      const wish = { percent, actor: by.name, reason: body.reason ?? byHand, seen, key, answer }
      const changed = await withRollouts(deps, (rollouts) => rollouts.toggleAll(wish))
      const audit = { subject: '', before: null, after: { percent, changed } }
      return { live: undefined, answer: { ...answer(changed, rolloutsOf(deps).revision), audit } }
    })
  },
})

export const showCanary = defineRoute({
  method: 'GET',
  path: '/routes/*route/canary',
  role: 'viewer',
  summary: 'What gets a percentage of a route, how much, and since when.',
  reply: canaryShape,
  async answer({ params, deps }) {
    const found = await withRollouts(deps, async (rollouts) => {
      const { name } = rollouts.route(params.route!)
      return { name, live: canaryOf(rollouts, name) }
    })
    return answerOf(found.name, found.live, deps)
  },
})

export const setCanary = defineRoute({
  method: 'PUT',
  path: '/routes/*route/canary',
  role: 'responder',
  summary:
    'Sends a percentage of a route to another target, from the next request on. 0 ends it. Needs `operator` but for 0 of what is there.',
  verb: 'canary',
  headers: ['if-match', 'idempotency-key'],
  body: z.strictObject({
    target: z.union([target, z.array(target).min(1).max(16)]).optional(),
    percent: percentShare,
    unit: z.enum(unitKinds, { error: 'expected request, conversation, user or key' }).optional(),
    force: z.boolean().default(false),
    reason,
  }),
  reply: canaryShape,
  answer(call) {
    const { params, body, key: by, req, deps } = call
    requireRise(body.percent, by)
    const seen = seenBy(req)
    const targets = body.target === undefined ? undefined : [body.target].flat()
    const work = async (key: CommandKey | undefined) => {
      const { before, name, live } = await withRollouts(deps, async (rollouts) => {
        const { name } = rollouts.route(params.route!)
        const is = canaryOf(rollouts, name)
        requireSame(is, targets, body.unit, by)
        const before = presentCanary(name, is, deps)
        const live = await rollouts.toggle({
          route: name,
          canary: targets && { targets },
          percent: body.percent,
          unit: body.unit,
          force: body.force,
          reason: body.reason ?? byHand,
          actor: by.name,
          seen,
          key,
        })
        return { before, name, live }
      })
      const answer = answerOf(name, live, deps)
      return { live, answer: { ...answer, audit: { subject: name, before, after: answer.json } } }
    }
    return once(call, ['canary', params.route, body], work, (live) => answerOf(live.definition.route, live, deps))
  },
})

/** On call one may take traffic away, not give it. */
function requireRise(wanted: number, key: AdminCall<unknown, unknown>['key']): void {
  if (wanted === 0 || mayAct(roleOf(key)!, 'operator')) return
  throw new Refusal('permission_denied', "This needs the role 'operator': a responder may set 0 only.")
}

/** With 0 as well another canary takes the place of the one that is there, and is what the next percentage goes to. */
function requireSame(
  is: Live | undefined,
  targets: readonly string[] | undefined,
  unit: UnitKind | undefined,
  key: AdminCall<unknown, unknown>['key'],
): void {
  if (mayAct(roleOf(key)!, 'operator')) return
  const { canary, assign } = is?.definition ?? {}
  const isSame =
    (targets === undefined || (canary && sameArm(canary, { targets }))) && (unit === undefined || unit === assign?.unit)
  if (!isSame)
    throw new Refusal(
      'permission_denied',
      "This needs the role 'operator': a responder may set 0 of the canary that is there.",
    )
}

/** Of all rollouts together. */
const tagOfAll = (revision: number) => ['etag', `"${revision}"`] as const

const answerOf = (route: string, live: Live | undefined, deps: AdminDeps) => ({
  json: presentCanary(route, live, deps),
  headers: [canaryTag(live)],
})

function presentCanary(route: string, live: Live | undefined, deps: AdminDeps): Shown<typeof canaryShape> {
  if (!live) return { object: 'canary', route, target: null, percent: 0, revision: 0, rollout: null }
  const { canary, name, ...rest } = presentRollout(live, deps)
  return { object: 'canary', ...rest, target: canary, rollout: name }
}
