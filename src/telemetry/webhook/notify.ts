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
 * Hands an event to the webhooks named by `channels`; without them to all that the configuration has. Returns at once and never throws:
 * what is to be sent is stored and sent in the background, and is tried again until it is delivered or given up.
 */
export type Notify = (event: NotifyEvent, channels?: readonly string[]) => void
