// The budgets of a caller, as GET /v1/limits tells them.
import type { BudgetKeeping } from '../gateway/budgetKeeping.ts'
import { presentBudget } from './admin/budgets.ts'
import type { Allowance } from './limits.ts'

/** What is left of the budgets that concern a caller. Whom they are of is the caller: it is left out. */
export const budgetAllowance = (budgets: Pick<BudgetKeeping, 'statesOf'>): Allowance => [
  'budgets',
  async (caller) => {
    const states = await budgets.statesOf({ ...caller, route: caller.route, user: caller.user, target: undefined })
    return states.map((state) => {
      const { entity: _, ...told } = presentBudget(state)
      return told
    })
  },
]
