// The accounts of one budget: one an entity, and a shared one for entities beyond a bound.
import type { BudgetSettings } from '../../config/limitTypes.ts'
import { Account } from './account.ts'

/** Milliseconds. */
const SWEEP = 1_000

type Found = [entity: string | undefined, Account]

/** Finds or makes the account of an entity, and bounds how many there are. */
export class BudgetBook {
  /** Those in force: calls of an older configuration may still end with others. */
  settings: BudgetSettings
  /** What was spent before this process is in it. */
  restored: boolean
  /** Forgotten: whoever still has a way to it must look for another. */
  gone = false
  readonly accounts = new Map<string, Account>()
  readonly #maxAccounts: number
  /** When idle accounts were looked for last: that is a look at all of them, and not for each request of somebody new. */
  #sweptAt = Number.NEGATIVE_INFINITY
  /** For entities beyond the bound: none of them gets more than the limit. */
  readonly #shared: Account

  constructor(settings: BudgetSettings, maxAccounts: number, restored: boolean) {
    this.settings = settings
    this.restored = restored
    this.#maxAccounts = maxAccounts
    this.#shared = new Account(settings)
  }

  /** Creates no account for an entity that has spent nothing. */
  find(entity: string, at: number): Account | undefined {
    const account = this.accounts.get(entity)
    if (account) return account
    return this.accounts.size >= this.#maxAccounts || !this.#shared.isIdle(at) ? this.#shared : undefined
  }

  take(entity: string, at: number): Account {
    const account = this.accounts.get(entity)
    if (account) return account
    // Who shared the account in this window goes on sharing it, or would have the limit twice.
    if (!this.#shared.isIdle(at)) return this.#shared
    if (this.accounts.size >= this.#maxAccounts && Math.abs(at - this.#sweptAt) >= SWEEP) {
      this.#sweptAt = at
      this.forgetIdle(at)
    }
    if (this.accounts.size >= this.#maxAccounts) return this.#shared
    const made = new Account(this.settings)
    made.spent(at)
    this.accounts.set(entity, made)
    return made
  }

  /** Takes up what may change. Of another limit other shares are spent: those are told of as they are passed. */
  use(settings: BudgetSettings, at: number): void {
    const isMoved = settings.limitNano !== this.settings.limitNano
    this.settings = settings
    if (!isMoved) return
    for (const account of [this.#shared, ...this.accounts.values()]) {
      account.told = Math.min(account.told, passed(account.spent(at), settings.limitNano))
      account.toldExhausted = undefined
    }
  }

  forgetIdle(at: number): void {
    for (const [entity, account] of this.accounts)
      if (account.isIdle(at) && account.running === 0) this.accounts.delete(entity)
  }

  /** It did not count for a while: what was spent meanwhile is in the ledger alone. */
  forgetSpent(): void {
    this.restored = false
    this.#shared.forgetSpent()
    for (const account of this.accounts.values()) account.forgetSpent()
  }

  /** Requests of an older configuration may still run on it. */
  get isRunning(): boolean {
    if (this.#shared.running > 0) return true
    for (const { running } of this.accounts.values()) if (running > 0) return true
    return false
  }

  /** Nano-USD held back. */
  get reserved(): number {
    let sum = this.#shared.reserved
    for (const { reserved } of this.accounts.values()) sum += reserved
    return sum
  }

  /** Entities with their accounts; those that share one have none of their own: `undefined`. */
  *entities(at: number): Generator<Found> {
    for (const [entity, account] of this.accounts) if (!account.isIdle(at)) yield [entity, account]
    if (!this.#shared.isIdle(at)) yield [undefined, this.#shared]
  }

  /** The same of some entities, and what is shared. */
  *named(entities: readonly string[], at: number): Generator<Found> {
    for (const entity of entities) {
      const account = this.accounts.get(entity)
      if (account && !account.isIdle(at)) yield [entity, account]
    }
    if (!this.#shared.isIdle(at)) yield [undefined, this.#shared]
  }
}

const thresholds = [100, 80, 50] as const

/** The highest threshold that the spending has reached; 0 = none. */
export function passed(spent: number, limit: number): number {
  for (const percent of thresholds) if (spent >= (percent === 100 ? limit : (limit / 100) * percent)) return percent
  return 0
}

/** What is the same budget: its limit and what it does may change at any time, another window or another scope is another count. */
export function identityOf(settings: BudgetSettings): string {
  let identity = identities.get(settings)
  if (identity === undefined) {
    const { name, per, only, window, rolling, timezone } = settings
    identity = JSON.stringify([name, per, Object.entries(only).sort(), window, rolling, timezone])
    identities.set(settings, identity)
  }
  return identity
}

/** Settings are frozen, and all keys' are looked through whenever one key changes. */
const identities = new WeakMap<BudgetSettings, string>()
