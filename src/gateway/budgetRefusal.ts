// What a client is told whose request no budget has room for.
import { Refusal } from '../dialects/errors.ts'
import { formatUsd } from '../pricing/decimal.ts'
import type { BudgetRefusal } from '../state/budgets/budget.ts'

/** 402: SDKs retry a 429 by themselves, and would storm. */
export class BudgetExceeded extends Refusal {
  readonly refusal: BudgetRefusal

  constructor(refusal: BudgetRefusal) {
    const { name, scope, reason, limit, spent, reserved, needed, window, reset } = refusal
    super('budget_exceeded', explain(refusal), null, {
      budget: name,
      scope,
      reason,
      limit_usd: formatUsd(limit),
      spent_usd: formatUsd(spent),
      reserved_usd: formatUsd(reserved),
      needed_usd: needed === null ? null : formatUsd(needed),
      window,
      reset: reset === null ? null : new Date(reset).toISOString(),
    })
    this.refusal = refusal
  }
}

/** One sentence or two. Sums are rounded to the client's disadvantage: what is left is never more than told. */
function explain({ name, scope, reason, limit, spent, reserved, needed, reset }: BudgetRefusal): string {
  const of = scope === 'everything' ? 'all requests' : `this ${scope}`
  const budget = `The budget '${name}' of ${of}`
  if (reason === 'unknown_price') return `${budget} takes no calls whose price or size has no known bound.`
  const costs = `this request may cost ${needed === null ? 'more than any budget can be' : `up to ${dollars(needed, Math.ceil)}`}`
  if (reason === 'too_large')
    return `${budget} is ${dollars(limit, Math.floor)}, and ${costs}: ask for a shorter answer with a cap on its tokens.`
  const held = reserved > 0 ? `, ${dollars(reserved, Math.ceil)} are held for requests that run` : ''
  const again = reset === null ? 'It does not reset by itself.' : `It resets at ${new Date(reset).toISOString()}.`
  return `${budget} has no room: ${dollars(spent, Math.ceil)} of ${dollars(limit, Math.floor)} are spent${held}, and ${costs}. ${again}`
}

/** To a hundredth of a cent; what is less than that in full. */
function dollars(nano: number, round: (value: number) => number): string {
  return nano < 1_000_000 ? `$${formatUsd(nano)}` : `$${(round(nano / 100_000) / 10_000).toFixed(4)}`
}
