// The `x-ratelimit-*` headers: what the enforced state is, in the words that vendors' clients read.
import type { LimitKind, LimitState } from './limit.ts'

/**
 * Header names and values in turn, for the tightest limit of each kind: that of which the smallest share is left. Resets are written as
 * OpenAI does (`1s`, `6m0s`): when the limit is whole again.
 */
export function limitHeaders(states: readonly LimitState[]): string[] {
  const headers: string[] = []
  for (const kind of ['requests', 'tokens'] as const) {
    const state = tightest(states, kind)
    if (!state) continue
    headers.push(
      `x-ratelimit-limit-${kind}`,
      String(state.limit),
      `x-ratelimit-remaining-${kind}`,
      String(state.remaining),
      `x-ratelimit-reset-${kind}`,
      showSpan(state.resetMs),
    )
  }
  return headers
}

/** Whole seconds, rounded up, at least one. */
export const retryAfterSeconds = (ms: number | undefined): number => Math.max(1, Math.ceil((ms ?? 0) / 1000))

function tightest(states: readonly LimitState[], kind: LimitKind): LimitState | undefined {
  let found: LimitState | undefined
  for (const state of states) {
    if (state.kind !== kind) continue
    if (!found || state.remaining * found.limit < found.remaining * state.limit) found = state
  }
  return found
}

/** `120ms`, `1s`, `6m0s`, `1h0m0s`; rounded up. */
export function showSpan(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1000)
  const minutes = Math.floor(seconds / 60)
  if (minutes === 0) return `${seconds}s`
  const hours = Math.floor(minutes / 60)
  return `${hours > 0 ? `${hours}h` : ''}${minutes % 60}m${seconds % 60}s`
}
