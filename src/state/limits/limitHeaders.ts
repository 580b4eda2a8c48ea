// The `x-ratelimit-*` headers: what the enforced state is, in the words that vendors' clients read.
import type { LimitState } from './limit.ts'

/**
 * Header names and values in turn. Resets are written as OpenAI does (`1s`, `6m0s`): when the limit is whole again.
 * @param requests, tokens the tightest limit of each kind
 */
export function limitHeaders(requests: LimitState | undefined, tokens: LimitState | undefined): string[] {
  const headers: string[] = []
  if (requests)
    headers.push(
      'x-ratelimit-limit-requests',
      String(requests.limit),
      'x-ratelimit-remaining-requests',
      String(requests.remaining),
      'x-ratelimit-reset-requests',
      showSpan(requests.resetMs),
    )
  if (tokens)
    headers.push(
      'x-ratelimit-limit-tokens',
      String(tokens.limit),
      'x-ratelimit-remaining-tokens',
      String(tokens.remaining),
      'x-ratelimit-reset-tokens',
      showSpan(tokens.resetMs),
    )
  return headers
}

/** Whole seconds, rounded up, at least one. */
export const retryAfterSeconds = (ms: number | undefined): number => Math.max(1, Math.ceil((ms ?? 0) / 1000))

/** `120ms`, `1s`, `6m0s`, `1h0m0s`; rounded up. */
export function showSpan(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1000)
  const minutes = Math.floor(seconds / 60)
  if (minutes === 0) return `${seconds}s`
  const hours = Math.floor(minutes / 60)
  return `${hours > 0 ? `${hours}h` : ''}${minutes % 60}m${seconds % 60}s`
}
