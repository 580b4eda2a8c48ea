// Brings back from the ledger what budgets do not know yet: after a start, and when a configuration brings new ones.
import type { BudgetSettings } from '../config/limitTypes.ts'
import { identityOf } from '../state/budgets/book.ts'
import type { Budgets } from '../state/budgets/budget.ts'
import { rebuild, type SpendQuestion, type SpendRow, spendQuestions } from '../state/budgets/rebuild.ts'

/** Reads the ledger in another thread. */
export type ReadSpend = (question: SpendQuestion) => Promise<readonly SpendRow[]>

export interface Restore {
  /**
   * Each budget is read once, whoever asks for it and however often. The promise rejects when one of those asked for cannot be read; it is
   * read again when it is asked for again.
   */
  (settings: readonly BudgetSettings[]): Promise<void>
  /** What is read for any other budget is from before it was taken away: when it comes back, it is read anew. */
  keep(inUse: readonly BudgetSettings[]): void
}

export function createRestore(budgets: Budgets, read: ReadSpend, now: () => number = Date.now): Restore {
  const reading = new Map<string, Promise<void>>()

  const restore = async (settings: readonly BudgetSettings[]): Promise<void> => {
    const fresh = settings.filter((one) => !budgets.isRestored(one) && !reading.has(identityOf(one)))
    const present = now()
    for (const { question, budgets: asked } of spendQuestions(distinct(fresh), present)) {
      const isMine = (one: BudgetSettings): boolean => reading.get(identityOf(one)) === done
      const done: Promise<void> = read(question)
        .then((rows) => {
          // In one turn with what follows: nobody reserves on half of the truth.
          const wanted = asked.filter(
            (one) => isMine(one) || !(reading.has(identityOf(one)) || budgets.isRestored(one)),
          )
          rebuild(budgets, wanted, rows, present)
          for (const one of wanted) budgets.restored(one)
          // It came back while this was read: who waits needs what is read since.
          return Promise.all(asked.filter((one) => !isMine(one)).map((one) => reading.get(identityOf(one))))
        })
        .then(() => {})
        .finally(() => {
          for (const one of asked) if (isMine(one)) reading.delete(identityOf(one))
        })
      for (const one of asked) reading.set(identityOf(one), done)
    }
    if (reading.size > 0) await Promise.all(settings.map((one) => reading.get(identityOf(one))))
  }

  return Object.assign(restore, {
    keep(inUse: readonly BudgetSettings[]) {
      if (reading.size === 0) return
      const kept = new Set(inUse.map(identityOf))
      for (const id of reading.keys()) if (!kept.has(id)) reading.delete(id)
    },
  })
}

/** Two configurations have settings of their own for one and the same budget. */
const distinct = (settings: readonly BudgetSettings[]): BudgetSettings[] => [
  ...new Map(settings.map((one) => [identityOf(one), one])).values(),
]
