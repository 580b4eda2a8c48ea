// The budgets of this process: no call is made that could take a hard budget over its limit, however many are made at once.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import { entityName, entityOf, matchesOnly, scopeOf } from '../scope.ts'
import { Account } from './account.ts'
import { BudgetBook, identityOf, passed } from './book.ts'
import {
  type AppliedBudget,
  type BudgetEvent,
  type BudgetRefusal,
  type BudgetState,
  type Budgets,
  type BudgetVerdict,
  beyondAll,
  type Hold,
  type Reservation,
  toldAgainBelow,
} from './budget.ts'

export interface BudgetOptions {
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
  readonly told?: ((event: BudgetEvent) => void) | undefined
  /** Entities that one budget tells apart. Those beyond share one account, so none of them gets more than the limit. */
  readonly maxAccounts?: number | undefined
  /** There is a ledger: a budget that this process does not know may have been spent from before. See `missing`. */
  readonly recorded?: boolean | undefined
}

/** One entity of one budget costs about 300 bytes (a rolling one up to 16 KB more): 100,000 are 30 MB. */
const MAX_ACCOUNTS = 100_000

const none: readonly string[] = []

/** A hold that is about to be one: its account is found when there is room on all others too. */
type Opening = { -readonly [Name in keyof Hold]: Name extends 'account' ? Account | undefined : Hold[Name] }

/** All in memory, each method in one turn of the event loop: nothing happens between check and reservation. */
export function createBudgets(options: BudgetOptions = {}): Budgets {
  const { now = Date.now, told = () => {}, maxAccounts = MAX_ACCOUNTS, recorded = false } = options
  const books = new Map<string, BudgetBook>()
  /** Which budgets were in use when that was last said. */
  let used: ReadonlySet<string> = new Set()
  /** Settings are frozen parts of snapshots: a short way from each to its book. */
  const ways = new WeakMap<BudgetSettings, BudgetBook>()

  /** The budgets that most requests have in common, once all that was spent of them is known. */
  let restoredList: readonly BudgetSettings[] | undefined

  function bookOf(settings: BudgetSettings): BudgetBook {
    const known = ways.get(settings)
    if (known && !known.gone) return known
    const id = identityOf(settings)
    const book = books.get(id) ?? new BudgetBook(settings, maxAccounts, !recorded)
    books.set(id, book)
    ways.set(settings, book)
    return book
  }

  /** A hard budget has no room for it, or no bound of its cost is known and the budget wants one. */
  function lacksRoom(setting: BudgetSettings, account: Account | undefined, worst: number | null, at: number): boolean {
    if (!setting.hard) return false
    if (worst === null) return setting.onUnknownPrice === 'refuse'
    return worst > 0 && roomIn(setting, account, at) < worst
  }

  const roomOf = ({ setting, entity }: AppliedBudget, at: number): number =>
    roomIn(setting, bookOf(setting).find(entity, at), at)

  function refuse(applied: AppliedBudget, worst: number | null, at: number): BudgetRefusal {
    const { setting, entity } = applied
    const account = bookOf(setting).take(entity, at)
    const state = stateOf(setting, entityName(entity), account, at)
    const isTooLarge = worst !== null && worst > state.limit
    const comes = worst !== null && !isTooLarge
    return {
      ...state,
      reason: worst === null ? 'unknown_price' : isTooLarge ? 'too_large' : 'exhausted',
      needed: worst === beyondAll ? null : worst,
      room: Math.max(0, state.limit - state.spent - state.reserved),
      reset: comes ? account.reset(state.limit - state.reserved - worst, at) : null,
      degradeTo: setting.degradeTo,
      fit: setting.fit && worst !== null,
      applied,
    }
  }

  function tell({ setting: known, entity }: AppliedBudget, account: Account, at: number): void {
    // A call that began before its limit was raised passes nothing of the old one.
    const setting = bookOf(known).settings
    const percent = passed(account.spent(at), setting.limitNano)
    if (percent <= account.told) return
    account.told = percent
    told({ ...stateOf(setting, entityName(entity), account, at), kind: 'threshold', percent, at })
  }

  /** Forgets what was told of a rolling window that has emptied since. To be called before something is booked. */
  function tellAgain(limit: number, account: Account, at: number): void {
    if (account.told === 0 && account.toldExhausted === undefined) return
    const spent = account.spent(at) / toldAgainBelow
    account.told = Math.min(account.told, passed(spent, limit))
    if (account.toldExhausted !== undefined && spent < account.toldExhausted) account.toldExhausted = undefined
  }

  function close(reservation: Reservation, booked: number): void {
    reservation.open = false
    const at = now()
    for (const hold of reservation.holds) {
      const { setting, account, window } = hold
      if (setting.rolling) tellAgain(bookOf(setting).settings.limitNano, account, at)
      if (account.settle(window, reservation.amount, booked, at) && booked > 0) tell(hold, account, at)
    }
  }

  const isRestored = (settings: BudgetSettings): boolean => bookOf(settings).restored

  return {
    reserve(applied, worst): BudgetVerdict {
      if (worst !== null && !(Number.isSafeInteger(worst) && worst >= 0))
        throw new RangeError(`${worst} is no amount of nano-USD`)
      const at = now()
      // Of its length from the start: a list that grows takes room for many more, and this one stays as long as its attempt.
      const holds = new Array<Opening>(applied.length)
      let refused: BudgetRefusal[] | undefined
      for (let i = 0; i < applied.length; i++) {
        const { setting, entity } = applied[i]!
        const book = bookOf(setting)
        const account = book.accounts.get(entity)
        if (lacksRoom(setting, account ?? book.find(entity, at), worst, at)) {
          refused ??= []
          refused.push(refuse({ setting, entity }, worst, at))
        }
        holds[i] = { setting, entity, account, window: 0 }
      }
      if (refused) return { ok: false, refusal: lastOf(refused) }
      // There is room on all of them: from here on nothing can go wrong.
      const amount = worst ?? 0
      let exceeded = none
      let hard = false
      for (const hold of holds) {
        const { setting } = hold
        hold.account ??= bookOf(setting).take(hold.entity, at)
        const { account } = hold
        hold.window = account.reserve(amount, at)
        if (setting.hard) hard = true
        else if (account.spent(at) + account.reserved > setting.limitNano) exceeded = [...exceeded, setting.name]
      }
      const unbounded = worst === null
      return { ok: true, reservation: { amount, holds: holds as Hold[], exceeded, hard, unbounded, open: true } }
    },
    settle(reservation, actual) {
      if (!reservation.open) return 0
      const booked = actual ?? reservation.amount
      close(reservation, booked)
      return reservation.amount - booked
    },
    release(reservation) {
      if (reservation.open) close(reservation, 0)
    },
    room(applied) {
      const at = now()
      let room = Number.POSITIVE_INFINITY
      for (const one of applied) if (one.setting.hard) room = Math.min(room, Math.max(0, roomOf(one, at)))
      return room
    },
    states(applied) {
      const at = now()
      return applied.map(({ setting, entity }) => {
        const account = bookOf(setting).find(entity, at) ?? new Account(setting)
        return stateOf(setting, entityName(entity), account, at)
      })
    },
    *entities(settings, among) {
      const at = now()
      const book = bookOf(settings)
      // One name alone is the entity itself; there may be a hundred thousand others.
      const found = among && settings.per.length === 1 ? book.named(among, at) : book.entities(at)
      for (const [entity, account] of found)
        yield stateOf(settings, entity === undefined ? '(others)' : entityName(entity), account, at)
    },
    total(settings) {
      const at = now()
      const total = { entities: 0, spent: 0, reserved: 0, most: 0 }
      for (const [, account] of bookOf(settings).entities(at)) {
        const spent = account.spent(at)
        total.entities++
        total.spent += spent
        total.reserved += account.reserved
        total.most = Math.max(total.most, spent)
      }
      return total
    },
    tellRefused({ applied: { setting, entity }, reason }) {
      const at = now()
      const account = bookOf(setting).take(entity, at)
      const state = stateOf(setting, entityName(entity), account, at)
      if (setting.rolling) tellAgain(state.limit, account, at)
      if (reason !== 'exhausted' || account.toldExhausted !== undefined) return
      account.toldExhausted = state.spent
      told({ ...state, kind: 'exhausted', percent: 100, at })
    },
    isRestored,
    areRestored(list) {
      if (list === restoredList) return true
      if (!list.every(isRestored)) return false
      restoredList = list
      return true
    },
    restore(settings, { facts, at, nano }) {
      const entity = entityOf(settings.per, facts)
      if (entity === undefined || nano === 0 || !matchesOnly(settings, facts)) return
      const present = now()
      const account = bookOf(settings).take(entity, present)
      account.spent(present)
      if (account.start !== undefined && at < account.start) return
      account.book(nano, Math.min(at, present))
      account.told = Math.max(account.told, passed(account.spent(present), settings.limitNano))
    },
    restored(settings) {
      bookOf(settings).restored = true
    },
    prune(inUse) {
      // What is forgotten here is not known any more.
      restoredList = undefined
      const at = now()
      const kept = new Map(inUse.map((settings) => [identityOf(settings), settings]))
      for (const [id, book] of books) {
        const settings = kept.get(id)
        if (!settings) {
          if (book.isRunning) continue
          books.delete(id)
          book.gone = true
          continue
        }
        // It comes back, and missed what was spent without it. A call that ends while that is read may count twice, never not at all.
        if (recorded && !used.has(id)) book.forgetSpent()
        else book.forgetIdle(at)
        book.use(settings, at)
      }
      used = new Set(kept.keys())
    },
    get size() {
      let accounts = 0
      let reserved = 0
      for (const book of books.values()) {
        accounts += book.accounts.size
        reserved += book.reserved
      }
      return { budgets: books.size, accounts, reserved }
    },
  }
}

/** Of those that have no room the one that has it last: coming back then is not in vain. Any of them may name another route. */
function lastOf(refusals: readonly BudgetRefusal[]): BudgetRefusal {
  const when = ({ reset }: BudgetRefusal): number => reset ?? Number.POSITIVE_INFINITY
  const last = refusals.reduce((latest, one) => (when(one) > when(latest) ? one : latest))
  return { ...last, degradeTo: refusals.find(({ degradeTo }) => degradeTo !== undefined)?.degradeTo }
}

function roomIn({ limitNano }: BudgetSettings, account: Account | undefined, at: number): number {
  return account ? limitNano - account.spent(at) - account.reserved : limitNano
}

function stateOf(settings: BudgetSettings, entity: string, account: Account, at: number): BudgetState {
  const spent = account.spent(at)
  return {
    name: settings.name,
    scope: scopeOf(settings),
    entity: entity === '' ? Object.values(settings.only).join('/') : entity,
    hard: settings.hard,
    limit: settings.limitNano,
    spent,
    reserved: account.reserved,
    window: settings.window,
    rolling: settings.rolling,
    reset: account.reset(0, at),
  }
}
