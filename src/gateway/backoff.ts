// How long to wait before the same target is asked again. Pure.
import type { RetrySettings } from '../config/snapshot.ts'
import type { UpstreamFault } from '../dialects/errors.ts'

/**
 * The wait before retry number `n` (1 = the first): full jitter over an exponential bound (Brooker, "Exponential Backoff And Jitter"), or
 * the vendor's `Retry-After` where that is later. Undefined when the vendor asks for more patience than `maxDelay`: waiting would only
 * hold the client, who is told the vendor's time instead.
 * @param draw uniform in [0, 1)
 */
export function backoff(n: number, fault: UpstreamFault, settings: RetrySettings, draw: number): number | undefined {
  const asked = fault.retryAfterMs
  if (asked !== undefined && asked > settings.maxDelay) return undefined
  const bound = Math.min(settings.maxDelay, settings.baseDelay * 2 ** (n - 1))
  return Math.max(draw * bound, asked ?? 0)
}
