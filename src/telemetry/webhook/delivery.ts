// What is known of the messages to webhooks, and the shelf that keeps them: what the sender needs of the database.

/** `waiting` for its next attempt, `delivered`, or `dead`: given up, kept to be looked at and sent again. */
export type DeliveryState = 'waiting' | 'delivered' | 'dead'

/** One message to one webhook. Times are Unix milliseconds. */
export interface Delivery {
  readonly id: number
  /** The event's id, which receivers see as `webhook-id`. */
  readonly event: string
  readonly type: string
  readonly webhook: string
  readonly state: DeliveryState
  readonly attempts: number
  readonly createdAt: number
  /** Of those that wait. */
  readonly nextAt: number | null
  readonly lastAt: number | null
  /** HTTP status of the last answer; null when none came. */
  readonly status: number | null
  /** Why the last attempt failed: a code, never a text of others. */
  readonly error: string | null
}

export interface StoredEvent {
  readonly id: string
  readonly at: number
  readonly type: string
  /** JSON text: what is posted. */
  readonly body: string
}

/** A message whose time has come. */
export interface DueDelivery {
  readonly id: number
  readonly event: string
  readonly type: string
  readonly body: string
  readonly attempts: number
}

/** What came of an attempt. */
export interface DeliveryOutcome {
  readonly state: DeliveryState
  readonly attempts: number
  /** When it is tried again. */
  readonly nextAt: number
  readonly at: number
  readonly status: number | null
  readonly error: string | null
}

export interface DeliveryFilter {
  readonly state?: DeliveryState | undefined
  readonly webhook?: string | undefined
  readonly limit: number
}

/**
 * Keeps events and their deliveries. All but `end` and `giveUp` answer at once and may throw when the database cannot be used; those
 * two wait for a locked database and then reject.
 */
export interface DeliveryShelf {
  /** Writes an event and a delivery to each webhook. Those whose queue is full are written as dead. Returns ids in the order of `webhooks`. */
  add(event: StoredEvent, webhooks: readonly string[], now: number): { id: number; full: boolean }[]
  /** Webhooks that something waits for. */
  names(): string[]
  /** At most `limit` whose time has come, the oldest first, without those of `busy`. */
  due(webhook: string, now: number, limit: number, busy: ReadonlySet<number>): DueDelivery[]
  /** The next moment after `now` at which something is due. */
  nextAt(webhook: string, now: number): number | undefined
  end(id: number, outcome: DeliveryOutcome): Promise<void>
  /** Makes dead letters of all that wait for a webhook. Returns their number. */
  giveUp(webhook: string, error: string, at: number): Promise<number>
  /** Makes deliveries wait again, from the first attempt: one, or the dead ones of one webhook, or all dead ones. Returns their ids. */
  revive(which: { id: number } | { webhook?: string | undefined }, now: number): Promise<number[]>
  find(id: number): Delivery | undefined
  /** Newest first. */
  list(filter: DeliveryFilter): Delivery[]
  events(limit: number): StoredEvent[]
  /** Of each webhook that has any: how many wait and how many are dead. */
  counts(): { webhook: string; state: DeliveryState; count: number }[]
}
