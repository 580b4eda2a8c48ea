// What can be bad about a request of a rollout, and when that is known.

/**
 * The bad events. `at: start` = known when the first attempt shows its first good byte, or fails; `at: end` = known when the reply is over.
 * The order is kept for ever and only added to: the bits are written into the ledger.
 */
export const badEvents = {
  /** The first attempt failed before anything good came, or the arm could not be asked because its breaker was open. */
  first_attempt_error: { bit: 1, at: 'start' },
  /** Nothing came within `slowStart`, or three times what stable takes where that is more; whatever came later. */
  slow_start: { bit: 2, at: 'start' },
  /** The first attempt was turned away with a 429. */
  rate_limited: { bit: 4, at: 'start' },
  /** The reply broke off after it had begun, or failed after `slowStart`. */
  late_error: { bit: 8, at: 'end' },
  /** Ended by the limit of tokens. */
  truncated: { bit: 16, at: 'end' },
  /** Ended by a content filter; or the first attempt was turned away: as too long, against the vendor's policy, or one that the model does not take. */
  refused: { bit: 32, at: 'end' },
  /** Ended as finished, with nothing in it: no text, no thought, no call. */
  empty: { bit: 64, at: 'end' },
  /** Ended as finished, and arguments of a tool call, or output that had to be JSON, are none. Seen only where a guard looks at it. */
  invalid_json: { bit: 128, at: 'end' },
  /** The client left before the end. */
  client_abort: { bit: 256, at: 'end' },
} as const satisfies Readonly<Record<string, { bit: number; at: 'start' | 'end' }>>

export type BadEvent = keyof typeof badEvents

/** The sizes. Milliseconds; cost in nano-USD. */
export const sizes = {
  ttft: { at: 'start' },
  latency: { at: 'end' },
  cost: { at: 'end' },
  output_tokens: { at: 'end' },
} as const satisfies Readonly<Record<string, { at: 'start' | 'end' }>>

export type Size = keyof typeof sizes
export type Metric = BadEvent | Size

/** What a guard may look at. */
export const metrics = [...Object.keys(badEvents), ...Object.keys(sizes)] as readonly Metric[]

export const isSize = (metric: Metric): metric is Size => Object.hasOwn(sizes, metric)

/** The bit of a bad event; 0 for a size. */
export const bitOf = (metric: Metric): number => (isSize(metric) ? 0 : badEvents[metric].bit)

/** The names in a mask of bits. */
export const namesOf = (mask: number): BadEvent[] =>
  (Object.keys(badEvents) as BadEvent[]).filter((name) => mask & badEvents[name].bit)
