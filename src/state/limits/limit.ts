// What limits are to those who ask: the port that the memory store implements, and that a shared store could.
import type { LimitSettings } from '../../config/limitTypes.ts'
import type { Applied } from '../scope.ts'

export type LimitKind = 'requests' | 'tokens' | 'concurrency'
export type AppliedLimit = Applied<LimitSettings>

/** What is left of one limit. Times in milliseconds from the moment it was asked for. */
export interface LimitState {
  readonly name: string
  readonly kind: LimitKind
  /** `key`, `key and route`, `everything`. */
  readonly scope: string
  readonly limit: number
  readonly remaining: number
  /** Until the limit is whole again, if nothing more is used; 0 for concurrency. */
  readonly resetMs: number
  readonly windowMs: number
}

export interface LimitRefusal extends LimitState {
  /** Whom it was refused to: the key's name, the address. */
  readonly entity: string
  /** When asking again can help; undefined when that is not known (concurrency) or never (more tokens than the limit). */
  readonly retryAfterMs: number | undefined
  /** `limit`: as it stands. `waited`: also after `queueMs`. `queue_full`: too many wait. `too_large`: never. `aborted`: the asker gave up. */
  readonly reason: 'limit' | 'waited' | 'queue_full' | 'too_large' | 'aborted'
}

/** What an admitted request holds. All methods may be called more than once; only the first call counts. */
export interface Lease {
  /** Corrects the reserved tokens to those that were used. Without it the reservation stands until it leaves the window. */
  settle(tokens: number): void
  /** Gives back the concurrency slots. */
  release(): void
  /** The `x-ratelimit-*` headers: the enforced state now, as lines of a head that each end with `\r\n`. */
  lines(): string
}

export type LimitVerdict =
  | { readonly ok: true; readonly lease: Lease }
  | { readonly ok: false; readonly refusal: LimitRefusal }

export interface LimitAsk {
  /** Upper bound of the request's tokens, the prompt and answers with a cap; reserved until `settle`. */
  readonly tokens: number
  /** Tokens of which nobody knows how many they will be: reserved as far as the limit goes, so that they alone never make a request too large. */
  readonly atMost?: number | undefined
  /** Answers without a cap. */
  readonly openAnswers?: number | undefined
  /** The longest that the request may last, in milliseconds: no slot counts as lost before. */
  readonly lastsMs?: number | undefined
  /** In a queue, flows take turns: the key's name, or the address. */
  readonly flow?: string | undefined
  /** Called when the request has to wait, with what takes it out of the queue at once. */
  readonly waits?: ((giveUp: () => void) => void) | undefined
}

export interface Limits {
  /** Counts the request on all limits, or on none. Answers at once unless it has to wait in a queue (or for a shared store). */
  admit(applied: readonly AppliedLimit[], ask: LimitAsk): LimitVerdict | Promise<LimitVerdict>
  /** What a request that asks no tokens would be refused by at this moment, without counting anything and whether or not it could wait. */
  check(applied: readonly AppliedLimit[]): LimitRefusal | undefined
  /** What is left, without counting anything. */
  states(applied: readonly AppliedLimit[]): LimitState[]
  /** As a lease's: for requests that got none. */
  lines(applied: readonly AppliedLimit[]): string
  /**
   * Forgets limits that are not among those in use, and idle entities. Requests that wait are held to the limits in use from here on.
   * What keys and teams bring along need not be among them.
   */
  prune(inUse: readonly LimitSettings[]): void
  /** Entities remembered and requests waiting, for metrics. */
  readonly size: { readonly entities: number; readonly waiting: number }
  /** Refuses all that wait. */
  close(): void
}
