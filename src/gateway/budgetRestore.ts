// Brings back from the ledger what budgets do not know yet: after a start, and when a configuration brings new ones.
import type { BudgetSettings } from '../config/limitTypes.ts'
import { identityOf } from '../state/budgets/book.ts'
import type { Budgets } from '../state/budgets/budget.ts'
import { rebuild, type SpendQuestion, type SpendRow, spendQuestions } from '../state/budgets/rebuild.ts'

/** Reads the ledger in another thread. */
export type ReadSpend = (question: SpendQuestion) => Promise<readonly SpendRow[]>

/**
 * Each budget is read once, whoever asks for it and however often. The promise rejects when one of those asked for cannot be read; it is
 * read again when it is asked for again.
 */
export function createRestore(
  budgets: Budgets,
  read: ReadSpend,
  now: () => number = Date.now,
): (settings: readonly BudgetSettings[]) => Promise<void> {
  const reading = new Map<string, Promise<void>>()

  async function ask(question: SpendQuestion, settings: readonly BudgetSettings[]): Promise<void> {
    const rows = await read(question)
    // In one turn with what follows: nobody reserves on half of the truth.
    rebuild(budgets, settings, rows)
    for (const one of settings) budgets.restored(one)
  }

  return async (settings) => {
    const fresh = settings.filter((one) => !budgets.isRestored(one) && !reading.has(identityOf(one)))
    for (const { question, budgets: asked } of spendQuestions(distinct(fresh), now())) {
      const ids = asked.map(identityOf)
      const done = ask(question, asked).finally(() => {
        for (const id of ids) reading.delete(id)
      })
      for (const id of ids) reading.set(id, done)
    }
    await Promise.all(settings.map((one) => reading.get(identityOf(one))))
  }
}

/** Two configurations have settings of their own for one and the same budget. */
const distinct = (settings: readonly BudgetSettings[]): BudgetSettings[] => [
  ...new Map(settings.map((one) => [identityOf(one), one])).values(),
]
