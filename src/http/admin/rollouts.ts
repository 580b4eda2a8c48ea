// /admin/rollouts: moves of traffic in steps. What operators see of them, and the verbs that change them.
import { z } from 'zod'
import { formatPath } from '../../config/problem.ts'
import { resolveModel } from '../../config/resolve.ts'
import { rollout } from '../../config/rolloutSchema.ts'
import { buildRollout } from '../../config/rolloutSettings.ts'
import { id } from '../../config/schemaField.ts'
import { Refusal } from '../../dialects/errors.ts'
import { evidenceOf } from '../../state/rollouts/evidenceView.ts'
import type { Live } from '../../state/rollouts/live.ts'
import type { Wish } from '../../state/rollouts/rollouts.ts'
import type { Role } from './role.ts'
import { presentEvent, presentRollout, presentSteps, rolloutsOf, withRollouts } from './rolloutDesk.ts'
import { type AdminAnswer, type AdminCall, type AdminDeps, defineRoute } from './route.ts'

const reason = z.string().trim().min(1).max(500)
const percent = z.number({ error: 'expected a number from 0 to 100' }).min(0).max(100)

export const listRollouts = defineRoute({
  method: 'GET',
  path: '/rollouts',
  role: 'viewer',
  summary: 'All rollouts, percentages of routes included, the latest of each name.',
  async answer({ deps }) {
    const snapshot = deps.snapshot()
    return {
      json: {
        object: 'list',
        data: rolloutsOf(deps)
          .list()
          .map((live) => presentRollout(live, snapshot)),
      },
    }
  },
})

export const createRollout = defineRoute({
  method: 'POST',
  path: '/rollouts',
  role: 'operator',
  summary: 'A new rollout, in draft: `rollout` is what the file would say under its name.',
  verb: 'rollout-create',
  body: z.strictObject({ name: id, rollout, reason }),
  async answer({ body, key, deps }) {
    const snapshot = deps.snapshot()
    const problems: string[] = []
    const definition = buildRollout(body.name, body.rollout, {
      routes: [...snapshot.routes.keys()],
      webhooks: [...snapshot.webhooks.keys()],
      open: snapshot.directModels,
      report: (path, message) => void problems.push(`${formatPath(path.slice(2))}: ${message}`),
      // Looked up when it is created, as it is each time that the configuration changes.
      checkTargets: () => {},
    })
    if (problems.length > 0) throw new Refusal('invalid_value', problems.join('; '), 'rollout')
    const live = await withRollouts(deps, (rollouts) =>
      rollouts.create(definition, { actor: key.name, origin: 'admin', reason: body.reason }),
    )
    return {
      ...answerOf(live, deps),
      audit: { subject: live.name, before: null, after: presentRollout(live, snapshot) },
    }
  },
})

export const showRollout = defineRoute({
  method: 'GET',
  path: '/rollouts/:name',
  role: 'viewer',
  summary: 'One rollout: where it stands, its steps, its guards with their evidence, and how much more it takes.',
  answer: async ({ params, deps }) => answerOf(find(params.name!, deps), deps),
})

export const showEvidence = defineRoute({
  method: 'GET',
  path: '/rollouts/:name/evidence',
  role: 'viewer',
  summary: 'The evidence alone, as it is now; of one that is over, as it was when it ended.',
  async answer({ params, deps }) {
    const live = find(params.name!, deps)
    const last = rolloutsOf(deps).events(live).at(-1)
    return { json: { object: 'evidence', rollout: live.name, evidence: evidenceOf(live) ?? last?.evidence ?? null } }
  },
})

export const listEvents = defineRoute({
  method: 'GET',
  path: '/rollouts/:name/events',
  role: 'viewer',
  summary:
    'Every change with who, why and the evidence of that moment, oldest first; and whether the chain of hashes holds.',
  async answer({ params, deps }) {
    const rollouts = rolloutsOf(deps)
    const live = find(params.name!, deps)
    return {
      json: {
        object: 'list',
        data: rollouts.events(live).map(presentEvent),
        chain: rollouts.findBreak(live) ?? 'unbroken',
      },
    }
  },
})

const verbBody = z.strictObject({ reason })
type VerbCall = AdminCall<unknown, { reason: string }>

/** `If-Match: "7"`: only if it is at that revision. */
const matchOf = ({ req }: VerbCall): number | undefined => {
  const text = req.headers['if-match']
  if (text === undefined || text === '*') return undefined
  const revision = Number(text.replace(/^(?:W\/)?"(.*)"$/, '$1'))
  if (!Number.isSafeInteger(revision)) throw new Refusal('invalid_value', 'The header `If-Match` takes a revision.')
  return revision
}

async function act(call: VerbCall, wish: Omit<Wish, 'cause' | 'reason' | 'actor'>): Promise<AdminAnswer> {
  const { deps, key, body, params } = call
  const before = find(params.name!, deps)
  const was = presentRollout(before, deps.snapshot())
  const ifRevision = wish.verb === 'abort' ? undefined : matchOf(call)
  const live = await withRollouts(deps, (rollouts) =>
    rollouts.command(before.name, { ...wish, cause: 'operator', reason: body.reason, actor: key.name, ifRevision }),
  )
  return {
    ...answerOf(live, deps),
    audit: { subject: live.name, before: was, after: presentRollout(live, deps.snapshot()) },
  }
}

/** A verb that takes a reason and nothing else. */
function verbRoute(verb: Wish['verb'], role: Role, summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/rollouts/:name/${verb}`,
    role,
    summary,
    verb: `rollout-${verb}`,
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
    'Back to the stable side at once, from any state. Takes no `If-Match`: an abort beats what else is under way.',
  ),
  beginRoute('retry', 'Begins again after an abort: the same units, new evidence, and alpha is spent anew.'),
  verbRoute('undo', 'operator', 'Takes back what was completed.'),
  defineRoute({
    method: 'POST',
    path: '/rollouts/:name/set-weight',
    role: 'operator',
    summary: 'Another share by hand. One with steps then stands still until it is resumed.',
    verb: 'rollout-set-weight',
    body: verbBody.extend({ percent }),
    answer: (call) => act(call, { verb: 'set-weight', ppm: Math.round(call.body.percent * 10_000) }),
  }),
  defineRoute({
    method: 'POST',
    path: '/rollouts/:name/promote',
    role: 'operator',
    summary:
      'Takes the next step although its conditions do not hold; `full` completes it: the canary becomes the stable side.',
    verb: 'rollout-promote',
    body: verbBody.extend({ full: z.boolean().default(false) }),
    answer: (call) => act(call, { verb: 'promote', full: call.body.full }),
  }),
]

function find(name: string, deps: AdminDeps): Live {
  const found = rolloutsOf(deps).find(name)
  if (found) return found
  // The name of a route stands for its percentage.
  const route = resolveModel(deps.snapshot(), name)
  const toggle = 'nearest' in route ? undefined : rolloutsOf(deps).find(`canary:${route.name}`)
  if (toggle && !('nearest' in route) && route.name === name) return toggle
  throw new Refusal('not_found', `There is no rollout '${name.slice(0, 128)}'.`, 'name')
}

function answerOf(live: Live, deps: AdminDeps) {
  const json = {
    object: 'rollout',
    ...presentRollout(live, deps.snapshot()),
    plan: presentSteps(live),
    evidence: evidenceOf(live),
  }
  return { json, headers: [['etag', `"${live.state.revision}"`]] as const }
}
