// Brings budgets back from the ledger: what to ask of it, and what its answers mean.
import type { BudgetScope, BudgetSettings } from '../../config/limitTypes.ts'
import type { Budgets } from './budget.ts'
import { rollingSpans, windowAt } from './window.ts'

/** One question to the ledger; `readBudgetSpend` of the store answers it. */
export interface SpendQuestion {
  readonly by: readonly BudgetScope[]
  /** Unix milliseconds; below 0 = all there is. */
  readonly from: number
  readonly slice?: number | undefined
  /** Names whose spending alone is asked for; none: that of all. */
  readonly only?: BudgetSettings['only'] | undefined
}

/** Nano-USD spent at or before `at` (Unix milliseconds). Names that were not given are absent. */
export interface SpendRow extends Partial<Record<BudgetScope, string>> {
  readonly at: number
  readonly nano: number
}

/** Shares of a rolling window that its spending is read in: it leaves up to this share late after a restart. */
const ROLLING_SLICES = 96

/** What the ledger must be asked for these budgets, each question once, with the budgets that its answer is for. */
export function spendQuestions(
  budgets: readonly BudgetSettings[],
  now: number,
): { question: SpendQuestion; budgets: BudgetSettings[] }[] {
  const asked = new Map<string, { question: SpendQuestion; budgets: BudgetSettings[] }>()
  for (const budget of budgets) {
    const question = questionOf(budget, now)
    const id = JSON.stringify(question)
    const known = asked.get(id)
    if (known) known.budgets.push(budget)
    else asked.set(id, { question, budgets: [budget] })
  }
  // The budgets of one new key: what thousands of others have spent is not read for them.
  return [...asked.values()].map(({ question, budgets: mine }) => ({
    question: { ...question, only: commonNames(mine) },
    budgets: mine,
  }))
}

/** What all of them are restricted to. */
function commonNames([first, ...others]: readonly BudgetSettings[]): BudgetSettings['only'] {
  const names = Object.entries(first!.only) as [BudgetScope, string][]
  return Object.fromEntries(names.filter(([scope, name]) => others.every(({ only }) => only[scope] === name)))
}

/**
 * Books the rows of one answer, which must be in the order of their time. Call before the budgets are used, once for each question.
 * @param asked when the ledger was asked: a day's sum ends with its day, and a window may have turned since
 */
export function rebuild(
  budgets: Budgets,
  settings: readonly BudgetSettings[],
  rows: Iterable<SpendRow>,
  asked: number,
): void {
  const budgetsOf = byOnly(settings)
  for (const { at, nano, ...facts } of rows)
    for (const budget of budgetsOf(facts)) budgets.restore(budget, { facts, at: Math.min(at, asked), nano })
}

/** Which budgets a row may count for, found by a name that they are restricted to: each of thousands of keys may have its own. */
function byOnly(settings: readonly BudgetSettings[]): (facts: Omit<SpendRow, 'at' | 'nano'>) => BudgetSettings[] {
  const everywhere: BudgetSettings[] = []
  const named = new Map<BudgetScope, Map<string, BudgetSettings[]>>()
  for (const budget of settings) {
    const [first] = Object.entries(budget.only) as [BudgetScope, string][]
    if (!first) {
      everywhere.push(budget)
      continue
    }
    const [scope, name] = first
    const ofScope = named.get(scope) ?? new Map<string, BudgetSettings[]>()
    named.set(scope, ofScope)
    ofScope.set(name, [...(ofScope.get(name) ?? []), budget])
  }
  return (facts) => {
    const found = [...everywhere]
    for (const [scope, ofScope] of named) found.push(...(ofScope.get(facts[scope] ?? '') ?? []))
    return found
  }
}

function questionOf({ per, only, window, rolling, timezone }: BudgetSettings, now: number): SpendQuestion {
  const by = [...new Set([...per, ...(Object.keys(only) as BudgetScope[])])].sort()
  if (window === 'lifetime') return { by, from: -1 }
  if (!rolling) return { by, from: windowAt(window, timezone, now).start }
  return { by, from: now - rollingSpans[window], slice: sliceOf(rollingSpans[window]) }
}

/** A week and more is read from daily sums. */
function sliceOf(span: number): number {
  const day = 86_400_000
  return span > day ? day : Math.max(1, Math.floor(span / ROLLING_SLICES))
}
