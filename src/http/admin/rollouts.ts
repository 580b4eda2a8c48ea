// /admin/rollouts: moves of traffic in steps. What operators see of them, and the verbs that change them.
import * as z from 'zod'
import { formatPath } from '../../config/problem.ts'
import { rollout } from '../../config/rolloutSchema.ts'
import { buildRollout } from '../../config/rolloutSettings.ts'
import { id } from '../../config/schemaField.ts'
import { Refusal } from '../../dialects/errors.ts'
import { knownOf } from '../../state/rollouts/history.ts'
import { once } from './once.ts'
import {
  answerOf,
  findRollout,
  presentAll,
  presentEvent,
  presentRollout,
  reasonField,
  rolloutsOf,
  withRollouts,
} from './rolloutDesk.ts'
import { eventShape, evidence as evidenceShape, rolloutShape, standing } from './rolloutShapes.ts'
import { defineRoute } from './route.ts'
import { listed, named, word } from './shape.ts'

export const listRollouts = defineRoute({
  method: 'GET',
  path: '/rollouts',
  role: 'viewer',
  summary: 'All rollouts, percentages of routes included, the latest of each name.',
  reply: listed('RolloutList', standing, {}),
  answer: async ({ deps }) => ({ json: { object: 'list', data: presentAll(deps) } }),
})

export const createRollout = defineRoute({
  method: 'POST',
  path: '/rollouts',
  role: 'operator',
  summary: 'A new rollout, in draft: `rollout` is what the file would say under its name.',
  verb: 'rollout-create',
  headers: ['idempotency-key'],
  body: z.strictObject({ name: id, rollout, reason: reasonField }),
  reply: rolloutShape,
  answer(call) {
    const { body, key: by, deps } = call
    return once(
      call,
      ['create', body],
      async (key) => {
        const snapshot = deps.snapshot()
        const problems: string[] = []
        const definition = buildRollout(body.name, body.rollout, {
          routes: [...snapshot.routes.keys()],
          webhooks: [...snapshot.webhooks.keys()],
          open: snapshot.directModels,
          report: (path, message) => void problems.push(`'${formatPath(path.slice(2)) || 'name'}': ${message}.`),
          // Looked up when it is created, as it is each time that the configuration changes.
          checkTargets: () => {},
        })
        if (problems.length > 0) throw new Refusal('invalid_value', problems.join(' '), 'rollout')
        // The next reading of the file would put its own in the place of this one.
        if (snapshot.rollouts.has(body.name))
          throw new Refusal(
            'rollout_conflict',
            `'${body.name}' stands in the file: change it there, or choose another name.`,
            'name',
          )
        const live = await withRollouts(deps, (rollouts) =>
          rollouts.create(definition, { actor: by.name, origin: 'admin', reason: body.reason, key }),
        )
        const audit = { subject: live.name, before: null, after: presentRollout(live, deps) }
        return { live, answer: { ...answerOf(live, deps), audit } }
      },
      answerOf,
    )
  },
})

export const showRollout = defineRoute({
  method: 'GET',
  path: '/rollouts/:name',
  role: 'viewer',
  summary: 'One rollout: where it stands, its steps, its guards with their evidence, and how much more it takes.',
  reply: rolloutShape,
  answer: async ({ params, deps }) => answerOf(findRollout(params.name!, deps), deps),
})

export const showEvidence = defineRoute({
  method: 'GET',
  path: '/rollouts/:name/evidence',
  role: 'viewer',
  summary: 'The evidence alone, as it is now; of one that is over, as it was when it ended.',
  reply: named('RolloutEvidence', {
    object: word('evidence'),
    rollout: z.string(),
    evidence: evidenceShape.nullable(),
  }),
  async answer({ params, deps }) {
    const live = findRollout(params.name!, deps)
    const evidence = knownOf(live, () => rolloutsOf(deps).events(live))
    return { json: { object: 'evidence', rollout: live.name, evidence } }
  },
})

export const listEvents = defineRoute({
  method: 'GET',
  path: '/rollouts/:name/events',
  role: 'viewer',
  summary:
    'Every change with who, why and the evidence of that moment, oldest first; and whether the chain of hashes holds. `earlier=true`: of all that ever had the name.',
  query: z.strictObject({ earlier: z.literal('true', { error: 'expected true' }).optional() }),
  reply: listed('RolloutEventList', eventShape, { chain: z.string() }),
  async answer({ params, query: { earlier }, deps }) {
    const { chains } = rolloutsOf(deps)
    const live = findRollout(params.name!, deps)
    const ids = earlier === undefined ? [live.id] : chains.idsOf(live.name)
    const broken = ids.find((id) => chains.findBreak(id) !== undefined)
    const where = ids.length > 1 ? ` (rollout ${broken})` : ''
    return {
      json: {
        object: 'list',
        data: ids.flatMap((id) => chains.events(id).map((event) => ({ rollout_id: id, ...presentEvent(event) }))),
        chain: broken === undefined ? 'unbroken' : `${chains.findBreak(broken)}${where}`,
      },
    }
  },
})
