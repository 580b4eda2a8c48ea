// The `x-ratelimit-*` headers: what the enforced state is, in the words that vendors' clients read.

/**
 * Lines of a head. Resets are written as OpenAI does (`1s`, `6m0s`): when the limit is whole again.
 * @param resetMs milliseconds until then
 */
export const limitLines = (kind: 'requests' | 'tokens', limit: number, remaining: number, resetMs: number): string =>
  `x-ratelimit-limit-${kind}: ${limit}\r\nx-ratelimit-remaining-${kind}: ${remaining}\r\nx-ratelimit-reset-${kind}: ${showSpan(resetMs)}\r\n`

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
