// What the parts of Turnout say to the outside: an event of note, for people and programs that are told by webhook.

/** One thing that happened. It is sent as it is: no text of prompts, no secrets, no names of end users. */
export interface NotifyEvent {
  /** Closed set, with dots: `alert.firing`, `budget.threshold`, `rollout.aborted`, … */
  readonly type: string
  /** Unix milliseconds. */
  readonly at: number
  /** JSON. */
  readonly data: object
}

/**
 * Hands an event to the webhooks named by `channels`; without them to all that the configuration has, with an empty list only to the
 * record of events. Never throws. The event is in the database when it returns (a locked database is waited for in the background), in
 * the caller's transaction where there is one; it is sent in the background, again and again until it is delivered or given up.
 * `data.summary` is one sentence for people.
 */
export type Notify = (event: NotifyEvent, channels?: readonly string[]) => void
