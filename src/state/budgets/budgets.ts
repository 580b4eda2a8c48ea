// The budgets of this process: no call is made that could take a hard budget over its limit, however many are made at once.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import { entityName, entityOf, matchesOnly, scopeName } from '../scope.ts'
import { Account } from './account.ts'
import type { AppliedBudget, BudgetEvent, BudgetRefusal, BudgetState, Budgets, BudgetVerdict, Hold } from './budget.ts'

export interface BudgetOptions {
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
  readonly told?: ((event: BudgetEvent) => void) | undefined
  /** Entities that one budget tells apart. Those beyond share one account, so none of them gets more than the limit. */
  readonly maxAccounts?: number | undefined
}

/** One entity of one budget costs about 300 bytes (a rolling one up to 16 KB more): 100,000 are 30 MB. */
const MAX_ACCOUNTS = 100_000

const thresholds = [100, 80, 50] as const

/** The accounts of one budget. */
interface Book {
  readonly settings: BudgetSettings
  readonly accounts: Map<string, Account>
  /** For entities beyond the bound. */
  readonly shared: Account
}

/** All in memory, each method in one turn of the event loop: nothing happens between check and reservation. */
export function createBudgets(options: BudgetOptions = {}): Budgets {
  const { now = Date.now, told = () => {}, maxAccounts = MAX_ACCOUNTS } = options
  const books = new Map<string, Book>()
  /** Settings are frozen parts of snapshots: a short way from each to its book. */
  const ways = new WeakMap<BudgetSettings, Book>()

  function bookOf(settings: BudgetSettings): Book {
    const known = ways.get(settings)
    if (known) return known
    const id = identityOf(settings)
    const book = books.get(id) ?? { settings, accounts: new Map(), shared: new Account(settings) }
    books.set(id, book)
    ways.set(settings, book)
    return book
  }

  /** Creates no account for an entity that has spent nothing. */
  function find({ accounts, shared }: Book, entity: string, at: number): Account | undefined {
    const account = accounts.get(entity)
    if (account) return account
    return accounts.size >= maxAccounts || !shared.isIdle(at) ? shared : undefined
  }

  function take(book: Book, entity: string, at: number): Account {
    const found = find(book, entity, at)
    if (found && found !== book.shared) return found
    // Who shared the account in this window goes on sharing it, or would have the limit twice.
    if (!book.shared.isIdle(at)) return book.shared
    if (book.accounts.size >= maxAccounts) forgetIdle(book, at)
    if (book.accounts.size >= maxAccounts) return book.shared
    const account = new Account(book.settings)
    account.spent(at)
    book.accounts.set(entity, account)
    return account
  }

  function stateOf({ setting, entity }: AppliedBudget, at: number): BudgetState {
    const account = find(bookOf(setting), entity, at) ?? new Account(setting)
    const spent = account.spent(at)
    return {
      name: setting.name,
      scope: scopeName(setting.per),
      entity: entityName(entity),
      hard: setting.hard,
      limit: setting.limitNano,
      spent,
      reserved: account.reserved,
      window: setting.window,
      rolling: setting.rolling,
      reset: account.reset(0, at),
    }
  }

  function roomOf({ setting, entity }: AppliedBudget, at: number): number {
    const account = find(bookOf(setting), entity, at)
    return account ? setting.limitNano - account.spent(at) - account.reserved : setting.limitNano
  }

  function refuse(applied: AppliedBudget, worst: number | null, at: number): BudgetRefusal {
    const { setting, entity } = applied
    const state = stateOf(applied, at)
    const account = take(bookOf(setting), entity, at)
    const room = Math.max(0, state.limit - state.spent - state.reserved)
    if (worst !== null && !account.toldExhausted) {
      account.toldExhausted = true
      told({ ...state, kind: 'exhausted', percent: 100, at })
    }
    return {
      ...state,
      reason: worst === null ? 'unknown_price' : 'exhausted',
      needed: worst,
      room,
      reset: worst === null ? null : account.reset(state.limit - state.reserved - worst, at),
      degradeTo: setting.degradeTo,
      fit: setting.fit && worst !== null,
    }
  }

  function check(applied: readonly AppliedBudget[], worst: number | null, at: number): BudgetRefusal | undefined {
    for (const one of applied) {
      if (!one.setting.hard) continue
      if (worst === null) {
        if (one.setting.onUnknownPrice === 'refuse') return refuse(one, worst, at)
      } else if (worst > 0 && roomOf(one, at) < worst) return refuse(one, worst, at)
    }
    return undefined
  }

  function tell({ setting, entity }: AppliedBudget, account: Account, at: number): void {
    const percent = passed(account.spent(at), setting.limitNano)
    if (percent <= account.told) return
    account.told = percent
    told({ ...stateOf({ setting, entity }, at), kind: 'threshold', percent, at })
  }

  return {
    reserve(applied, worst): BudgetVerdict {
      if (worst !== null && !(Number.isSafeInteger(worst) && worst >= 0))
        throw new RangeError(`${worst} is no amount of nano-USD`)
      const at = now()
      const refusal = check(applied, worst, at)
      if (refusal) return { ok: false, refusal }
      const amount = worst ?? 0
      const holds: Hold[] = []
      for (const one of applied) {
        const account = take(bookOf(one.setting), one.entity, at)
        holds.push({ applied: one, account, window: account.reserve(amount, at) })
      }
      const unbounded = worst === null ? applied.map(({ setting }) => setting.name) : []
      return { ok: true, reservation: { amount, holds, unbounded, open: true } }
    },
    settle(reservation, actual) {
      if (!reservation.open) return 0
      reservation.open = false
      const at = now()
      const booked = actual ?? reservation.amount
      for (const { applied, account, window } of reservation.holds)
        if (account.settle(window, reservation.amount, booked, at) && booked > 0) tell(applied, account, at)
      return reservation.amount - booked
    },
    release(reservation) {
      if (!reservation.open) return
      reservation.open = false
      const at = now()
      for (const { account, window } of reservation.holds) account.settle(window, reservation.amount, 0, at)
    },
    room(applied) {
      const at = now()
      let room = Number.POSITIVE_INFINITY
      for (const one of applied) if (one.setting.hard) room = Math.min(room, Math.max(0, roomOf(one, at)))
      return room
    },
    states(applied) {
      const at = now()
      return applied.map((one) => stateOf(one, at))
    },
    restore(settings, { facts, at, nano }) {
      const entity = entityOf(settings.per, facts)
      if (entity === undefined || nano === 0 || !matchesOnly(settings, facts)) return
      const present = now()
      const account = take(bookOf(settings), entity, present)
      account.spent(present)
      if (account.start !== undefined && at < account.start) return
      account.book(nano, Math.min(at, present))
      account.told = Math.max(account.told, passed(account.spent(present), settings.limitNano))
    },
    isKnown: (settings) => books.has(identityOf(settings)),
    prune(inUse) {
      const at = now()
      const kept = new Set(inUse.map(identityOf))
      for (const [id, book] of books) {
        if (kept.has(id)) forgetIdle(book, at)
        else if (isUnused(book)) books.delete(id)
      }
    },
    get size() {
      let accounts = 0
      for (const book of books.values()) accounts += book.accounts.size
      return { accounts }
    },
  }
}

function forgetIdle({ accounts }: Book, at: number): void {
  for (const [entity, account] of accounts) if (account.isIdle(at)) accounts.delete(entity)
}

/** Nobody has money held back in it: requests of an older configuration may still run on it. */
function isUnused({ accounts, shared }: Book): boolean {
  if (shared.reserved > 0) return false
  for (const { reserved } of accounts.values()) if (reserved > 0) return false
  return true
}

/** What is the same budget: its limit and what it does may change at any time, another window or another scope is another count. */
const identityOf = ({ name, per, only, window, rolling, timezone }: BudgetSettings): string =>
  JSON.stringify([name, per, Object.entries(only).sort(), window, rolling, timezone])

/** The highest threshold that the spending has reached; 0 = none. */
function passed(spent: number, limit: number): number {
  for (const percent of thresholds) if (spent >= (percent === 100 ? limit : (limit / 100) * percent)) return percent
  return 0
}

/** One sentence for the client. Dollars are rounded down to a hundredth of a cent: no more is promised than is there. */
export function explainBudget({ name, scope, reason, limit, spent, reserved, reset }: BudgetRefusal): string {
  const of = scope === 'everything' ? 'all requests' : `this ${scope}`
  if (reason === 'unknown_price')
    return `The budget "${name}" of ${of} takes no calls whose price or size has no known bound.`
  const usd = (nano: number): string => `$${(Math.floor(nano / 100_000) / 10_000).toFixed(4)}`
  const told = `The budget "${name}" of ${of} has no room for this request: ${usd(spent)} of ${usd(limit)} are spent`
  const held = reserved > 0 ? ` and ${usd(reserved)} are held for requests that run` : ''
  return `${told}${held}. ${reset === null ? 'It does not reset by itself.' : `More at ${new Date(reset).toISOString()}.`}`
}
