// Which budgets concern an attempt, and by which names they count it.
import type { BudgetSettings, TeamLimits } from '../config/limitTypes.ts'
import type { ApiKey, Route, Snapshot } from '../config/snapshot.ts'
import type { AppliedBudget } from '../state/budgets/budget.ts'
import { addApplied, type ScopeFacts } from '../state/scope.ts'

/** Who spends: all that is known of a request without its text. */
export interface Spender {
  readonly snapshot: Snapshot
  readonly key: ApiKey | undefined
  readonly route: Route | undefined
  /** Unhashed. */
  readonly user: string | undefined
  /** Id of the target that is to be called. */
  readonly target: string | undefined
}

type Lists = readonly (readonly BudgetSettings[] | undefined)[]

/** Who pays, as far as it decides which budgets there are. */
export type Payer = Omit<Spender, 'user' | 'target'>

/** Those at the top level, and those that the key, its team and the route bring along. */
export function budgetLists({ snapshot, key, route }: Payer): Lists {
  return [snapshot.budgets, key?.budgets, teamOf(snapshot, key)?.budgets, route?.budgets]
}

/** Whether there are any at all. */
export function hasBudgets({ snapshot, key, route }: Payer): boolean {
  if (snapshot.budgets.length > 0 || (route !== undefined && route.budgets.length > 0)) return true
  if (key === undefined) return false
  return (key.budgets?.length ?? 0) > 0 || (teamOf(snapshot, key)?.budgets.length ?? 0) > 0
}

/** Those of `budgetLists` that concern an attempt. */
export function budgetsOf({ snapshot, key, route }: Payer, facts: ScopeFacts): AppliedBudget[] {
  const found: AppliedBudget[] = []
  addApplied(found, snapshot.budgets, facts)
  if (key?.budgets) addApplied(found, key.budgets, facts)
  const team = teamOf(snapshot, key)
  if (team) addApplied(found, team.budgets, facts)
  if (route) addApplied(found, route.budgets, facts)
  return found
}

export const teamOf = (snapshot: Snapshot, key: ApiKey | undefined): TeamLimits | undefined =>
  key?.team === undefined ? undefined : snapshot.teams.get(key.team)

/** Every budget of a configuration. */
export function allBudgets(snapshot: Snapshot): BudgetSettings[] {
  const found = new Set(snapshot.budgets)
  const add = (budgets: readonly BudgetSettings[] | undefined): void => {
    for (const budget of budgets ?? []) found.add(budget)
  }
  for (const { budgets } of snapshot.routes.values()) add(budgets)
  for (const { budgets } of snapshot.teams.values()) add(budgets)
  for (const { budgets } of snapshot.keys.values()) add(budgets)
  const standIn = snapshot.clientJwt?.standIn
  if (typeof standIn === 'object') add(standIn.budgets)
  return [...found]
}

/**
 * Spending always counts for the key; a user only adds a dimension, and the same user of another key is another one only where a budget
 * counts by both. The hash of the user is made when a budget asks for it.
 */
export class SpenderFacts implements ScopeFacts {
  readonly key: string | undefined
  readonly team: string | undefined
  readonly route: string | undefined
  readonly target: string | undefined
  readonly #name: string | undefined
  readonly #hashUser: (user: string) => string
  #user: string | undefined

  constructor(
    { key, route }: Pick<Spender, 'key' | 'route'>,
    user: string | undefined,
    target: string | undefined,
    hashUser: (user: string) => string,
  ) {
    this.key = key?.name
    this.team = key?.team
    this.route = route?.name
    this.target = target
    this.#name = user
    this.#hashUser = hashUser
  }

  get user(): string | undefined {
    if (this.#user === undefined && this.#name !== undefined) this.#user = this.#hashUser(this.#name)
    return this.#user
  }
}
