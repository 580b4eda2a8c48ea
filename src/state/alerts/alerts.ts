// The alerts of this process: counts what is spent, judges the rules that are concerned, and says what is to be told.
import type { AlertScope, AlertSettings } from '../../config/alertTypes.ts'
import { toldAgainBelow } from '../budgets/budget.ts'
import type { AlertMemory, AlertMessage, AlertView, BudgetNow, BudgetPassed, BudgetsNow, SavedAlert } from './alert.ts'
import { spanOf } from './ring.ts'
import { createStatuses, pauses, type Statuses } from './statuses.ts'
import { countedBy, createWatch, namesFor, type SpendNames, type Watch } from './watch.ts'

export interface AlertOptions {
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
  tell(message: AlertMessage): void
  readonly memory?: AlertMemory | undefined
  /** Whether somebody reads the past: see `openPast`. Without it rules begin with nothing. */
  readonly past?: boolean | undefined
  /** Things that one rule tells apart. */
  readonly maxWatched?: number | undefined
}

/** What has to be read from the ledger before rules can judge. */
export interface PastQuestion {
  /** Unix milliseconds, the first included, the last not. */
  readonly from: number
  readonly to: number
  readonly by: readonly AlertScope[]
}

/** Calls of one combination of names, that ended at about the same time. */
export interface PastSpend extends SpendNames {
  readonly at: number
  readonly nano: number
  readonly requests: number
}

/** The past of some rules, while it is read. */
export interface Past {
  readonly question: PastQuestion
  add(spends: Iterable<PastSpend>): void
  /** All of it was read, or nothing more will come. `recordsFrom`: since when anything is known. From now on these rules judge. */
  close(recordsFrom?: number): void
}

export interface Alerts {
  /** The rules in force from now on. Those that count the same as before keep their counts, and what was told. */
  use(rules: readonly AlertSettings[]): void
  /**
   * Books one upstream call and judges the rules that it concerns. `requests`: 1 for the last call of a request, else 0.
   * `arrivedAt`: when the request came, Unix milliseconds.
   */
  add(names: SpendNames, nano: number, requests: number, arrivedAt: number): void
  /** A budget has passed a percentage of its limit. */
  pass(budget: BudgetPassed): void
  /**
   * Ends what time alone has ended. To be called now and then. `budgets` is asked at most once a minute, and only for those that a rule
   * fires for.
   */
  review(budgets?: BudgetsNow): void
  /** Forgets what was told of a user whose rows are erased; the end of it is not told either. `hash`: of the ledger. */
  forgetUser(hash: string): void
  /** What is to be read for rules that are new since the last call; undefined when there is nothing. */
  openPast(): Past | undefined
  list(): AlertView[]
}

/** Of a rule on budgets there is nothing to count. */
interface Kept {
  readonly statuses: Statuses
  readonly watch: Watch | undefined
}

/** The alert rules of one process. Counts survive a change of rules where the rule counts the same. */
export function createAlerts(options: AlertOptions): Alerts {
  const { tell, memory, past = false, maxWatched } = options
  const now = goingOn(options.now ?? Date.now)
  const kept = new Map<string, Kept>()
  /** The same, for the way of every request. */
  let counting: { statuses: Statuses; watch: Watch }[] = []
  let saved: SavedAlert[] = memory?.load() ?? []
  let first = true
  let recordsFrom = now()

  function keep(rule: AlertSettings, before: Kept | undefined, at: number): Kept {
    const statuses = before?.statuses ?? createStatuses(rule, takeSaved(rule.name), tell, memory)
    statuses.rule = rule
    if (rule.kind === 'budget') return { statuses, watch: undefined }
    const known = before?.watch
    if (known && countedBy(known.rule) === countedBy(rule)) {
      known.rule = rule
      return { statuses, watch: known }
    }
    const watch = createWatch(rule, at, maxWatched)
    watch.ready = !past
    return { statuses, watch }
  }

  function takeSaved(rule: string) {
    const mine = saved.filter((one) => one.rule === rule)
    saved = saved.filter((one) => one.rule !== rule)
    return mine.map(({ rule: _, ...status }) => status)
  }

  function judgeAgain({ statuses, watch }: Kept, entities: Iterable<string>, at: number): void {
    if (!watch?.ready) return
    for (const entity of entities) statuses.weigh(entity, watch.verdict(entity, at, recordsFrom), at)
  }

  /** When budgets were looked at last. */
  let lookedAt = Number.NEGATIVE_INFINITY

  /** A window that is over, a limit that was raised and a budget that is gone all end it. */
  function reviewBudgets(rules: readonly Statuses[], at: number, budgets: BudgetsNow | undefined): void {
    const firing = rules.flatMap((statuses) => statuses.firing().map((status) => ({ statuses, status })))
    if (firing.length === 0) return
    const looks = budgets !== undefined && at - lookedAt >= MINUTE
    if (looks) lookedAt = at
    const states = new Map<string, BudgetNow>()
    if (looks) {
      const wanted = namesByBudget(firing.map(({ status }) => status.entity))
      for (const one of budgets((budget) => wanted.get(budget) ?? [])) states.set(budgetEntity(one), one)
    }
    for (const { statuses, status } of firing) {
      const { entity, level = 0, reset = null } = status
      const ended = reset !== null && at >= reset
      // What a budget has spent is as it was when it was looked at, and so is what was made of it.
      if (!looks && !ended) continue
      const state = states.get(entity)
      const isMoved = state !== undefined && status.limit !== undefined && state.limit !== status.limit
      // The level is none any more where it is over and cannot be told yet: then any percentage of a limit that was lowered again holds.
      const percent = level > 0 ? level : leastOf(statuses.rule)
      const threshold = isMoved ? (state.limit / 100) * percent : status.threshold
      if (isMoved) status.limit = state.limit
      // What was spent in the window that is over is not what is spent now.
      const value = state?.spent ?? (looks || (ended && level > 0) ? 0 : status.value)
      // Until its budget would tell it again: else it would be told as over, and not when it is passed once more.
      const over = ended || value < (state?.rolling ? threshold * toldAgainBelow : threshold)
      // Another window: the same percentages are told again. One that rolls goes to and fro: only when it was told as over.
      if (!over) status.level = percent
      else if (!state?.rolling || !pauses(status, statuses.rule.cooldown, at)) status.level = 0
      statuses.weigh(entity, { holds: !over, value, threshold }, at)
    }
  }

  /** Those whose past is being read, or was. */
  const asked = new WeakSet<Watch>()

  return {
    use(rules) {
      const at = now()
      const before = new Map(kept)
      kept.clear()
      for (const rule of rules) {
        const old = before.get(rule.name)
        // Another kind under the same name says other things.
        const same = old && old.statuses.rule.kind === rule.kind
        if (old && !same) old.statuses.end(at)
        before.delete(rule.name)
        kept.set(rule.name, keep(rule, same ? old : undefined, at))
      }
      for (const gone of before.values()) gone.statuses.end(at)
      // Rules that are gone since the last process: there is nobody left who would take them back.
      if (first) for (const { rule, entity } of saved) memory?.forget(rule, entity)
      saved = []
      first = false
      counting = [...kept.values()].flatMap(({ statuses, watch }) => (watch ? { statuses, watch } : []))
      for (const one of kept.values()) judgeAgain(one, one.watch?.entities() ?? [], at)
    },
    add(names, nano, requests, arrivedAt) {
      const at = now()
      for (const { statuses, watch } of counting) {
        // What arrived before is, or will be, read from the ledger.
        if (!watch.ready && arrivedAt < watch.from) continue
        const entity = watch.add(at, names, nano, requests)
        if (entity !== undefined && watch.ready) statuses.weigh(entity, watch.verdict(entity, at, recordsFrom), at)
      }
    },
    pass(budget) {
      for (const { statuses } of kept.values()) {
        const { rule } = statuses
        if (rule.kind !== 'budget' || (rule.budgets && !rule.budgets.includes(budget.name))) continue
        const level = rule.percents.findLast((percent) => percent <= budget.percent)
        if (level !== undefined) statuses.pass(budgetEntity(budget), budget, level)
      }
    },
    review(budgets) {
      const at = now()
      for (const one of kept.values()) judgeAgain(one, one.statuses.open(), at)
      const firing = [...kept.values()].flatMap(({ statuses, watch }) => (watch ? [] : statuses))
      reviewBudgets(firing, at, budgets)
      for (const { statuses } of kept.values()) statuses.prune(at)
    },
    forgetUser(hash) {
      for (const { statuses } of kept.values()) statuses.drop(hash)
    },
    openPast() {
      const watches = [...kept.values()].flatMap(({ watch }) =>
        watch && !watch.ready && !asked.has(watch) ? watch : [],
      )
      if (watches.length === 0) return undefined
      for (const watch of watches) asked.add(watch)
      return {
        question: {
          from: Math.min(...watches.map(({ shape, from }) => from - spanOf(shape))),
          to: Math.max(...watches.map(({ from }) => from)),
          by: [...new Set(watches.flatMap(({ rule }) => namesFor(rule)))].sort(),
        },
        add(spends) {
          for (const { at, nano, requests, ...names } of spends)
            for (const watch of watches) if (at < watch.from) watch.add(at, names, nano, requests)
        },
        close(from = recordsFrom) {
          recordsFrom = Math.min(recordsFrom, from)
          const at = now()
          for (const watch of watches) watch.ready = true
          for (const one of kept.values())
            if (one.watch && watches.includes(one.watch))
              judgeAgain(one, new Set([...one.watch.entities(), ...one.statuses.open()]), at)
        },
      }
    },
    list: () =>
      [...kept.values()].map(({ statuses, watch }) => ({
        rule: statuses.rule,
        ready: watch?.ready ?? true,
        watched: watch?.size ?? 0,
        untold: watch?.untold ?? statuses.untold,
        firing: statuses.firing(),
      })),
  }
}

/** A clock that is set back goes on from where it was: or nothing would be counted until it is there again. Small steps are no matter. */
function goingOn(now: () => number): () => number {
  let last = Number.NEGATIVE_INFINITY
  let ahead = 0
  return () => {
    let at = now() + ahead
    if (at < last - MINUTE) {
      ahead += last - at
      at = last
    }
    last = Math.max(last, at)
    return at
  }
}

const MINUTE = 60_000

/** Whom budgets are of, from what `budgetEntity` has made: a name may hold what stands between the two. */
function namesByBudget(entities: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const entity of entities)
    for (let at = entity.indexOf(': '); at >= 0; at = entity.indexOf(': ', at + 1)) {
      const budget = entity.slice(0, at)
      const names = found.get(budget) ?? []
      names.push(entity.slice(at + 2))
      found.set(budget, names)
    }
  return found
}

/** A budget and whom it is of, as texts: `month`, `month: web-app`. */
const budgetEntity = ({ name, entity }: { name: string; entity: string }): string =>
  entity === '' ? name : `${name}: ${entity}`

const leastOf = (rule: AlertSettings): number => (rule.kind === 'budget' ? rule.percents[0]! : 0)
