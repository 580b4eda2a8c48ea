// GET /admin/budgets: what may be spent, what is, what is held, and when there is more again.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import { formatUsd } from '../../pricing/decimal.ts'
import type { BudgetState } from '../../state/budgets/budget.ts'
import { inTurns } from './inTurns.ts'
import { whole } from './requests.ts'
import { defineRoute } from './route.ts'
import { listed, named, type Shown, time, usd } from './shape.ts'

const name = z.string().max(600).optional()

const budgetsQuery = z.strictObject({
  budget: name,
  entity: name,
  limit: whole(1, 10_000).default(1_000),
})

const budgetShape = named('Budget', {
  budget: z.string(),
  scope: z.string(),
  entity: z.string().nullable(),
  hard: z.boolean(),
  window: z.string(),
  rolling: z.boolean(),
  limit_usd: usd,
  spent_usd: usd,
  reserved_usd: usd,
  left_usd: usd,
  used_percent: z.number(),
  resets_at: time.nullable(),
})

export const listBudgets = defineRoute({
  method: 'GET',
  path: '/budgets',
  role: 'viewer',
  summary: 'Limit, spending and reservations of each budget and each of those that it counts by, fullest first.',
  query: budgetsQuery,
  reply: listed('BudgetList', budgetShape, { has_more: z.boolean() }),
  async answer({ query: { budget, entity, limit }, deps: { budgets } }) {
    if (!budgets) throw new Refusal('not_available', 'This gateway keeps no budgets.')
    await budgets.known()
    // Keys that have budgets of their own may be tens of thousands.
    const states = await inTurns(budgets.eachState(), (state) => state)
    const found = states
      .filter((state) => (budget ?? state.name) === state.name && (entity ?? state.entity) === state.entity)
      .sort((a, b) => shareOf(b) - shareOf(a))
    return {
      json: {
        object: 'list',
        data: await inTurns(found.slice(0, limit), presentBudget),
        has_more: found.length > limit,
      },
    }
  },
})

/** A budget as it is shown, also to those whom it concerns. Sums are exact decimals of USD. */
export function presentBudget(state: BudgetState): Shown<typeof budgetShape> {
  const { limit, spent, reserved, reset } = state
  return {
    budget: state.name,
    scope: state.scope,
    entity: state.entity === '' ? null : state.entity,
    hard: state.hard,
    window: state.window,
    rolling: state.rolling,
    limit_usd: formatUsd(limit),
    spent_usd: formatUsd(spent),
    reserved_usd: formatUsd(reserved),
    left_usd: formatUsd(Math.max(0, limit - spent - reserved)),
    used_percent: Math.floor((spent / limit) * 1000) / 10,
    resets_at: reset === null ? null : new Date(reset).toISOString(),
  }
}

const shareOf = ({ limit, spent, reserved }: BudgetState): number => (spent + reserved) / limit
