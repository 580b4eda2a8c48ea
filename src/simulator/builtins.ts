// The model names that mean something without any script: `sim-<what>`, some with a number at the end.
import type { Fault, Script } from './script.ts'

const fault = (kind: Fault['kind'], more: Partial<Fault> = {}): Script => ({ fault: { kind, ...more } })

/** Listed by `GET /v1/models` and by `turnout simulate`. Names of faults are the fault's kind in kebab case. */
export const builtins: Readonly<Record<string, Script>> = {
  'sim-fast': {},
  'sim-slow': { firstTokenMs: 800, tokensPerSecond: 20, tokens: 60 },
  'sim-long': { tokens: 2000, tokensPerSecond: 200 },
  'sim-tools': { toolCalls: 'auto' },
  'sim-tools-whole': { toolCalls: 'auto', fragmented: false },
  'sim-json': { json: true },
  'sim-reasoning': { reasoningTokens: 24 },
  'sim-redacted': { reasoningTokens: 24, redactedThinking: true },
  'sim-reasoning-tools': { reasoningTokens: 24, toolCalls: 'auto' },
  'sim-reasoning-hidden': { reasoningTokens: 24, reasoningText: false },
  'sim-cached': { cachedTokens: 1024 },
  'sim-azure': { emptyChoicesFirst: true },
  'sim-no-role-chunk': { roleChunk: false },
  'sim-usage-always': { usageMode: 'always' },
  'sim-usage-never': { usageMode: 'never' },
  'sim-usage-on-choices': { usageMode: 'always', usageOnChoices: true },
  'sim-keep-alive': { keepAliveMs: 100, firstTokenMs: 1000, tokensPerSecond: 20 },
  'sim-crlf': { lineEnding: '\r\n' },
  'sim-cr': { lineEnding: '\r' },
  'sim-split-1': { split: 1 },
  'sim-split-7': { split: 7 },
  'sim-length': { finishReason: 'length' },
  'sim-filtered': { finishReason: 'content_filter', text: '' },
  'sim-blocked': { blockReason: 'PROHIBITED_CONTENT' },
  'sim-error-400': fault('status', { status: 400 }),
  'sim-error-401': fault('status', { status: 401 }),
  'sim-error-403': fault('status', { status: 403 }),
  'sim-error-404': fault('status', { status: 404 }),
  'sim-error-408': fault('status', { status: 408 }),
  'sim-error-413': fault('status', { status: 413 }),
  'sim-error-429': fault('status', { status: 429, retryAfter: 1 }),
  'sim-error-500': fault('status', { status: 500 }),
  'sim-error-502': fault('status', { status: 502 }),
  'sim-error-503': fault('status', { status: 503 }),
  'sim-error-529': fault('status', { status: 529 }),
  'sim-error-quota': fault('status', { status: 429, code: 'insufficient_quota' }),
  'sim-error-credit': fault('status', { status: 400, message: 'Your credit balance is too low for this request.' }),
  'sim-error-context': fault('status', { status: 400, code: 'context_length_exceeded' }),
  'sim-error-policy': fault('status', { status: 400, code: 'content_policy_violation' }),
  'sim-first-event-error': fault('firstEventError'),
  'sim-overloaded-first-event': fault('firstEventError', { status: 529 }),
  'sim-mid-stream-error': fault('midStreamError'),
  'sim-cut': fault('cut'),
  'sim-truncate': fault('truncate'),
  'sim-stall': fault('stall'),
  'sim-stall-mid-stream': fault('stall', { afterTokens: 6 }),
  'sim-reset': fault('reset'),
  'sim-reset-mid-stream': fault('reset', { afterTokens: 6 }),
  'sim-garbage': fault('garbageJson'),
  'sim-garbage-json': fault('garbageJson'),
  'sim-garbage-sse': fault('garbageSse'),
  'sim-slow-headers': fault('slowHeaders'),
  'sim-empty': fault('emptySuccess'),
  'sim-empty-success': fault('emptySuccess'),
  'sim-redirect': fault('redirect'),
  'sim-wrong-length': fault('wrongLength'),
  'sim-recover': fault('status', { status: 503, times: 3 }),
  'sim-flaky': fault('status', { status: 500, rate: 0.3 }),
}

/** The script behind a built-in name, `sim-error-NNN`, `sim-split-N` and `sim-tokens-N` with any number included. */
export function findBuiltin(model: string): Script | undefined {
  if (Object.hasOwn(builtins, model)) return builtins[model]
  const [, what, digits] = /^sim-(error|split|tokens)-([1-9]\d{0,5})$/.exec(model) ?? []
  const number = Number(digits)
  if (what === 'error' && number >= 400 && number <= 599) return fault('status', { status: number })
  if (what === 'split') return { split: number }
  if (what === 'tokens') return { tokens: number }
  return undefined
}
