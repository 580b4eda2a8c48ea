// Answers by another route where the budget of the one that was asked for is used up and says so.
import { Refusal, UpstreamFault } from '../dialects/errors.ts'
import { requireRoute } from './allow.ts'
import { armLeft } from './armEvents.ts'
import type { Good } from './attempt.ts'
import { costsNothing } from './bill.ts'
import { BudgetExceeded } from './budgetRefusal.ts'
import type { Call } from './call.ts'
import { firstGood, type Survival } from './firstGood.ts'
import { type Plan, reachable } from './plan.ts'

/** Routes in a row that one request may be sent down to. */
const MAX_STEPS = 4

/**
 * As `firstGood`. Where a budget refuses and names a route to take in its place, that one is tried, with its own targets and
 * budgets; each route once. The key must be allowed to ask for it and to use a model of it. Limits were those of the route that was
 * asked for.
 *
 * @param planAgain the plan for the route that the call has by then
 */
export async function firstAffordable(
  call: Call,
  plan: Plan,
  survival: Survival,
  planAgain: (call: Call) => Plan,
): Promise<Good> {
  const seen = new Set([call.route!.name])
  for (let current = plan; ; ) {
    call.cheaperRoute = undefined
    try {
      return await firstGood(call, current, survival)
    } catch (error) {
      if (call.cheaperRoute === undefined || seen.size > MAX_STEPS || !isWorthIt(call, error)) throw error
      const { route: asked, assigned, degradedFrom } = call
      if (seen.has(call.cheaperRoute) || !take(call, call.cheaperRoute)) throw error
      seen.add(call.route!.name)
      // What another route answers is no evidence for a rollout of this one, and no answer for those who wait for this one's.
      armLeft(call)
      // Which models it may be served by depends on it: those that the client names may be routes of the one that was asked for.
      call.degradedFrom ??= asked!.name
      const next = planOf(call, planAgain)
      if (!next) {
        armLeft(call)
        Object.assign(call, { assigned, route: asked, degradedFrom })
        throw error
      }
      current = next
      // Its first target is no fallback, whatever kept the request off those of the route that was asked for.
      call.passedOver = undefined
      call.attemptsBefore = call.attempts.length
      call.cache?.flight?.fail()
      call.cache = undefined
      survival.budgets?.acted('degraded', error instanceof BudgetExceeded ? error.refusal.scope : '')
    }
  }
}

/**
 * Whether the request may still move: it was refused, or failed where others were too dear. What was spent on the way belongs to the
 * route that it was spent on, and the ledger knows one route a request.
 */
function isWorthIt(call: Call, error: unknown): boolean {
  // What another route says to a call of our own nobody would get.
  if (call.background) return false
  const over = error instanceof BudgetExceeded || (error instanceof UpstreamFault && error.rule.scope !== 'request')
  return over && !call.gone && call.attempts.every(costsNothing)
}

/** False when the route is not there or not for this key. */
function take(call: Call, name: string): boolean {
  const route = call.snapshot.routes.get(name)
  if (!route || !isAllowed(() => requireRoute(call.key, name, route))) return false
  call.route = route
  return true
}

/**
 * Undefined where the route does not take the request, or the key may use no model of it: else it was told of a route that it has not
 * asked for, in place of its budget.
 */
function planOf(call: Call, planAgain: (call: Call) => Plan): Plan | undefined {
  let plan: Plan | undefined
  const isOurs = isAllowed(() => {
    plan = planAgain(call)
    reachable(call, plan.targets)
  })
  return isOurs ? plan : undefined
}

function isAllowed(check: () => unknown): boolean {
  try {
    check()
    return true
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}
