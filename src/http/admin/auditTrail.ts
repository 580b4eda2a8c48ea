// GET /admin/audit: who did what, newest first.
import * as z from 'zod'
import { controlOf } from './control.ts'
import { whole } from './requests.ts'
import { defineRoute } from './route.ts'
import { listed, named, whole as number, time } from './shape.ts'

export const listAudit = defineRoute({
  method: 'GET',
  path: '/audit',
  role: 'operator',
  summary: 'Every write: who, what, before, after. Rows are never changed.',
  query: z.strictObject({ limit: whole(1, 1000), before: whole(1, Number.MAX_SAFE_INTEGER) }),
  reply: listed(
    'AuditList',
    named('AuditRow', {
      id: number,
      actor: z.string(),
      role: z.string(),
      verb: z.string(),
      subject: z.string(),
      before: z.unknown(),
      after: z.unknown(),
      at: time,
    }),
    { has_more: z.boolean() },
  ),
  async answer({ query: { limit = 50, before }, deps }) {
    const rows = controlOf(deps).audit.list(limit + 1, before)
    return {
      json: {
        object: 'list',
        data: rows.slice(0, limit).map(({ at, ...row }) => ({ ...row, at: new Date(at).toISOString() })),
        has_more: rows.length > limit,
      },
    }
  },
})
