// GET /admin/rollouts/{name}/requests: what a rollout has assigned, request by request, out of the ledger.
import * as z from 'zod'
import { planGuards } from '../../rollouts/guard.ts'
import type { StoredRequest } from '../../store/requestRead.ts'
import { presentRequest, requestFields } from './present.ts'
import { withLedger } from './reading.ts'
import { outcome, pageShape, placeOf, whole } from './requests.ts'
import { findRollout } from './rolloutDesk.ts'
import { defineRoute } from './route.ts'
import { listed, named, page, texts } from './shape.ts'

const query = z.strictObject({
  arm: z.enum(['stable', 'canary'], { error: 'expected stable or canary' }).optional(),
  outcome: outcome.optional(),
  assignment: z.enum(['hash', 'override', 'pinned'], { error: 'expected hash, override or pinned' }).optional(),
  attempt: whole(1, 1_000_000),
  revision: whole(1, 1_000_000_000),
  ...pageShape,
})

export const listRolloutRequests = defineRoute({
  method: 'GET',
  path: '/rollouts/:name/requests',
  role: 'viewer',
  summary: 'The requests of a rollout, newest first and in pages: their arm, and the guards for which each was bad.',
  query,
  reply: listed('RolloutRequestList', named('RolloutRequest', { ...requestFields, bad_events: texts }), {
    rollout: z.string(),
    ...page,
  }),
  async answer({ params, query: { cursor, limit, ...filter }, deps, gone }) {
    const live = findRollout(params.name!, deps)
    const guards = planGuards(live.definition.policy).map(({ id }) => id)
    const { rows, next } = await withLedger({ deps, gone }, ({ reader }) =>
      reader.rolloutRequests({
        ...filter,
        rollout: live.id,
        since: live.createdAt,
        before: cursor,
        limit: limit ?? 50,
      }),
    )
    const present = (row: StoredRequest) => ({ ...presentRequest(row), bad_events: namesOf(row.bad_mask ?? 0, guards) })
    return { json: { object: 'list', rollout: live.name, data: rows.map(present), ...placeOf(next) } }
  },
})

/** The mask has a bit for each guard, in their order. */
const namesOf = (mask: number, guards: readonly string[]): string[] => guards.filter((_, bit) => mask & (1 << bit))
