// How long a failed message waits for its next attempt.
import type { WebhookSettings } from '../../config/alertTypes.ts'

const longest = 3_600_000
/** Share that chance adds, so that what failed together is not tried again together. */
const spread = 0.1

/**
 * Milliseconds after attempt number `attempt` (from 1): `retryDelay`, three times as long after each further one, at most an hour,
 * and up to a tenth more. `asked` is what the receiver asks for: the later counts. `random` is uniform in [0, 1).
 */
export function backoffOf(
  { retryDelay }: Pick<WebhookSettings, 'retryDelay'>,
  attempt: number,
  random: number,
  asked = 0,
): number {
  const wait = Math.min(longest, Math.max(retryDelay * 3 ** (attempt - 1), asked))
  return Math.round(wait * (1 + spread * random))
}
