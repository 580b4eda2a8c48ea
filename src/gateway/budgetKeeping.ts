// Keeps the budgets of a gateway: their state across configurations, their past from the ledger, and what is told of them.
import type { BudgetSettings } from '../config/limitTypes.ts'
import type { ApiKey, Snapshot } from '../config/snapshot.ts'
import type { BudgetEvent, BudgetState, BudgetTotal } from '../state/budgets/budget.ts'
import { createBudgets } from '../state/budgets/budgets.ts'
import { rollingSpans, windowAt } from '../state/budgets/window.ts'
import type { Rates } from './bill.ts'
import { allBudgets, budgetsOf, type Spender, SpenderFacts } from './budgetFacts.ts'
import { type BudgetAction, type BudgetGate, createBudgetGate } from './budgetGate.ts'
import { createRestore, type ReadSpend } from './budgetRestore.ts'
import type { Attempt } from './call.ts'

export interface BudgetKeeping {
  readonly gate: BudgetGate
  /**
   * Takes up the budgets of another configuration: those that stay keep what they count, new ones learn from the ledger what was spent,
   * others are forgotten. Requests that come before all is known wait for their own budgets.
   */
  use(snapshot: Snapshot): void
  /** Resolves when what was spent before is known, of keys made since as well, or could not be read. Never rejects. */
  known(): Promise<void>
  /**
   * The budgets that concern whoever spends, with what is left, once what was spent before is known. Those that count by a name which is
   * not given are left out. Rejects with a `Refusal` where the gate does.
   */
  statesOf(spender: Spender): Promise<BudgetState[]>
  /**
   * Every entity of every budget that has spent or holds something, and each budget that counts all together. `among`: of a budget with this
   * name, entities of such names at least.
   */
  utilisation(among?: (budget: string) => readonly string[]): BudgetState[]
  /** The same one by one, each as it is when it is asked for: who looks at tens of thousands lets requests go between. */
  eachState(among?: (budget: string) => readonly string[]): Iterable<BudgetState>
  /** The first `most` budgets of the configuration, each with its entities summed up; those that virtual keys bring along are left out. */
  totals(most: number): BudgetRow[]
  readonly size: { readonly budgets: number; readonly accounts: number; readonly reserved: number }
}

export interface BudgetRow {
  readonly settings: BudgetSettings
  readonly total: BudgetTotal
  /** What was spent before this process is in it, or was given up. Until then it says too little. */
  readonly isKnown: boolean
  /** Length of the current window in milliseconds; Infinity for a lifetime. */
  readonly windowMs: number
  /** From 0 to 1: how much of the calendar's window is over. Undefined where windows do not follow each other. */
  readonly elapsed: number | undefined
}

/** Budgets that requests bring along until those of keys that are gone are forgotten: the configuration may stay the same for months. */
const PRUNE_EVERY = 1_000

export interface BudgetKeepingParts {
  rates(snapshot: Snapshot): Rates
  /** Absent: raw names are used, and stay in memory. */
  hashUser?: ((user: string) => string) | undefined
  /** Absent: nothing is recorded, so there is no past. */
  read?: ReadSpend | undefined
  readonly servesUnrecorded?: boolean | undefined
  /** Keys made at run time. */
  virtualKeys(): readonly ApiKey[]
  /** Another number after every change of them; absent: they never change. */
  keysRevision?: (() => number) | undefined
  told(event: BudgetEvent): void
  acted(action: BudgetAction, scope: string): void
  overran(attempt: Attempt, nanoUsd: number): void
  /** What was spent before could not be read. */
  failed(error: unknown): void
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
}

export function createBudgetKeeping(parts: BudgetKeepingParts): BudgetKeeping {
  const { read, now = Date.now, hashUser = (user: string) => user, keysRevision = () => 0 } = parts
  const budgets = createBudgets({ now, told: parts.told, recorded: read !== undefined })
  const restore = read && createRestore(budgets, read, now)
  let configured: readonly BudgetSettings[] = []
  const inUse = (): BudgetSettings[] => [
    ...new Set([...configured, ...parts.virtualKeys().flatMap((key) => key.budgets ?? [])]),
  ]
  const learn = async (): Promise<void> => restore?.(inUse()).catch(parts.failed)
  const forgetUnused = (): void => {
    const used = inUse()
    budgets.prune(used)
    restore?.keep(used)
  }
  function* eachState(among?: (budget: string) => readonly string[]): Generator<BudgetState> {
    for (const settings of inUse()) {
      let isShown = false
      for (const state of budgets.entities(settings, among?.(settings.name))) {
        isShown = true
        yield state
      }
      if (!isShown && settings.per.length === 0) yield* budgets.states([{ setting: settings, entity: '' }])
    }
  }
  let newcomers = 0
  let revision = keysRevision()
  const gate = createBudgetGate({
    budgets,
    hashUser,
    seeKeys() {
      // A key may have lost its budgets or got them back: before anybody spends without them, or with them.
      if (revision === keysRevision()) return
      revision = keysRevision()
      forgetUnused()
    },
    async restore(settings) {
      newcomers += settings.length
      if (newcomers >= PRUNE_EVERY) {
        newcomers = 0
        forgetUnused()
      }
      return restore?.(settings).catch((error) => {
        parts.failed(error)
        throw error
      })
    },
    rates: (call) => parts.rates(call.snapshot),
    servesUnrecorded: parts.servesUnrecorded ?? false,
    acted: parts.acted,
    overran: parts.overran,
  })
  return {
    gate,
    use(snapshot) {
      configured = allBudgets(snapshot)
      forgetUnused()
      void learn()
    },
    known: learn,
    async statesOf(spender) {
      await gate.ready(spender)
      const facts = new SpenderFacts(spender, spender.user, spender.target, hashUser)
      return budgets.states(budgetsOf(spender, facts))
    },
    utilisation: (among) => [...eachState(among)],
    eachState,
    totals: (most) =>
      configured.slice(0, most).map((settings) => ({
        settings,
        // When asked for: it is a look at every entity, and there may be a hundred thousand.
        get total() {
          return budgets.total(settings)
        },
        get isKnown() {
          return budgets.isRestored(settings) || this.total.spent > 0
        },
        ...timeOf(settings, now()),
      })),
    get size() {
      return budgets.size
    },
  }
}

/** Where in its window a budget is. */
function timeOf({ window, rolling, timezone }: BudgetSettings, at: number): Pick<BudgetRow, 'windowMs' | 'elapsed'> {
  if (rolling || window === 'lifetime') return { windowMs: rollingSpans[window], elapsed: undefined }
  const { start, end } = windowAt(window, timezone, at)
  return { windowMs: end - start, elapsed: (at - start) / (end - start) }
}
