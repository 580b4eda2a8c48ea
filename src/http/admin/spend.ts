// GET /admin/spend: what was spent, by model, key, team, route and day.
import * as z from 'zod'
import { type SpendReport, spendDimensions } from '../../store/spend.ts'
import { day } from './moment.ts'
import { presentSpend, spendShape } from './present.ts'
import { withLedger } from './reading.ts'
import { whole } from './requests.ts'
import { defineRoute } from './route.ts'
import { whole as integer, named, texts, word } from './shape.ts'

const name = z.string().max(256).optional()

export const spendQuery = z
  .strictObject({
    by: z
      .string()
      .optional()
      .transform((text) => (text === undefined || text === '' ? [] : text.split(',').map((part) => part.trim())))
      .pipe(
        z
          .array(z.enum(spendDimensions, { error: `expected names out of ${spendDimensions.join(', ')}` }))
          .refine((list) => new Set(list).size === list.length, { error: 'names one thing twice' }),
      ),
    from: day.optional(),
    to: day.optional(),
    model: name,
    provider: name,
    key: name,
    team: name,
    route: name,
    limit: whole(1, 10_000),
  })
  .refine(({ from, to }) => from === undefined || to === undefined || from <= to, {
    path: ['to'],
    error: 'lies before `from`',
  })

export const spend = defineRoute({
  method: 'GET',
  path: '/spend',
  role: 'viewer',
  summary: 'Sums of cost and tokens by day, model, provider, key, team and route, dearest first.',
  query: spendQuery,
  reply: named('Spend', {
    object: word('spend'),
    by: texts,
    from: z.string().nullable(),
    to: z.string().nullable(),
    data: z.array(spendShape),
    more: integer,
    total: spendShape,
  }),
  async answer({ query, deps, gone }) {
    const { by, from, to, limit, ...only } = query
    const report = await withLedger({ deps, gone }, ({ reader }) => reader.spend({ by, from, to, only, limit }))
    return { json: spendReply(query, report) }
  },
})

/** The report as it is answered. */
export function spendReply({ by, from, to }: z.output<typeof spendQuery>, report: SpendReport) {
  return {
    object: 'spend',
    by,
    from: from ?? null,
    to: to ?? null,
    data: report.lines.map(presentSpend),
    more: report.more,
    total: presentSpend(report.total),
  }
}
