// Decides what is told of one rule: once when it begins to hold for something and once when that is over, with a pause between.
import type { AlertSettings } from '../../config/alertTypes.ts'
import type { AlertMemory, AlertMessage, AlertStatus, BudgetPassed } from './alert.ts'
import type { Verdict } from './judge.ts'

export interface Statuses {
  /** In force from now on: same name, maybe another threshold, cooldown or channel. */
  rule: AlertSettings
  /** Takes a verdict on something. Tells when it differs from what was told last, and that is a cooldown ago. */
  weigh(entity: string, verdict: Verdict, at: number): void
  /** A budget passed a percentage: each higher one is told, whatever the cooldown says. */
  pass(entity: string, budget: BudgetPassed, level: number): void
  /** Entities that something was told of, or is to be told of. */
  open(): string[]
  /** Passes of budgets beyond those that are told apart. */
  readonly untold: number
  /** Forgets what is over and could be told again at once. */
  prune(at: number): void
  /** Forgets those whose name has this text in it, and tells nothing. */
  drop(text: string): void
  /** Tells that everything is over, because the rule is gone. */
  end(at: number): void
  firing(): AlertStatus[]
}

/** A budget may be of every user: nobody reads a message for each of a hundred thousand. */
const MAX_OPEN = 2_000

export function createStatuses(
  rule: AlertSettings,
  restored: readonly AlertStatus[],
  tell: (message: AlertMessage) => void,
  memory: AlertMemory | undefined,
): Statuses {
  let untold = 0
  const known = new Map<string, AlertStatus>(restored.map((status) => [status.entity, { ...status }]))

  function change(owner: Statuses, status: AlertStatus, firing: boolean, at: number, reason?: 'rule_removed'): void {
    if (status.firing !== firing) status.since = at
    status.firing = firing
    status.toldAt = at
    // Told first: a death in between makes one message too many, not one too few.
    tell({ rule: owner.rule, status: { ...status }, at, reason })
    memory?.save({ rule: owner.rule.name, ...status })
  }

  return {
    rule,
    weigh(entity, verdict, at) {
      let status = known.get(entity)
      if (!status) {
        if (!verdict.holds) return
        status = fresh(entity, at)
        known.set(entity, status)
      }
      status.value = verdict.value
      status.threshold = verdict.threshold
      if (verdict.holds === status.firing || pauses(status, this.rule.cooldown, at)) return
      change(this, status, verdict.holds, at)
    },
    pass(entity, budget, level) {
      if (!known.has(entity) && known.size >= MAX_OPEN) {
        untold++
        return
      }
      const status = known.get(entity) ?? fresh(entity, budget.at)
      known.set(entity, status)
      if (status.firing && (status.level ?? 0) >= level) return
      status.level = level
      status.value = budget.spent
      status.limit = budget.limit
      // A rolling window has no end: what was spent leaves it bit by bit.
      status.reset = budget.rolling ? null : budget.reset
      // One that refuses a large call may have spent less; with nothing spent it was held, which is over soon.
      const share = (budget.limit / 100) * level
      status.threshold = budget.spent > 0 ? Math.min(share, budget.spent) : share
      change(this, status, true, budget.at)
    },
    open: () => [...known.keys()],
    get untold() {
      return untold
    },
    prune(at) {
      for (const [entity, status] of known) {
        if (status.firing || pauses(status, this.rule.cooldown, at)) continue
        known.delete(entity)
        if (Number.isFinite(status.toldAt)) memory?.forget(this.rule.name, entity)
      }
    },
    drop(text) {
      for (const entity of known.keys()) {
        if (!entity.includes(text)) continue
        known.delete(entity)
        memory?.forget(this.rule.name, entity)
      }
    },
    end(at) {
      for (const [entity, status] of known) {
        if (status.firing) change(this, status, false, at, 'rule_removed')
        memory?.forget(this.rule.name, entity)
      }
      known.clear()
    },
    firing: () => [...known.values()].filter((status) => status.firing),
  }
}

const fresh = (entity: string, at: number): AlertStatus => ({
  entity,
  firing: false,
  since: at,
  toldAt: Number.NEGATIVE_INFINITY,
  value: 0,
  threshold: 0,
})

/** Whether nothing more is said yet. A clock that went back must not silence a rule for the time that it went. */
export function pauses({ toldAt }: AlertStatus, cooldown: number, at: number): boolean {
  return at >= toldAt && at - toldAt < cooldown
}
