// Which web pages may call the gateway from a browser: those that the configuration names, none without keys.
import type { IncomingMessage } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'

/** Every header of ours that a reply may carry: without being named here a page's script cannot read it. */
export const exposedHeaders = [
  'x-request-id',
  'x-upstream-request-id',
  'retry-after',
  'x-should-retry',
  'x-turnout-attempts',
  'x-turnout-budget-exceeded',
  'x-turnout-budget-unbounded',
  'x-turnout-bypass',
  'x-turnout-cache',
  'x-turnout-cache-key',
  'x-turnout-config',
  'x-turnout-cost',
  'x-turnout-cost-usd',
  'x-turnout-degraded',
  'x-turnout-degraded-from',
  'x-turnout-dropped-params',
  'x-turnout-error',
  'x-turnout-lane',
  'x-turnout-max-tokens',
  'x-turnout-model',
  'x-turnout-overhead-ms',
  'x-turnout-provider',
  'x-turnout-rollout',
  'x-turnout-target',
  'x-turnout-trace',
  // Ours where a limit holds; what the vendor says of its own stands beside it then.
  ...['', 'upstream-'].flatMap((whose) =>
    ['requests', 'tokens'].flatMap((what) =>
      ['limit', 'remaining', 'reset'].map((which) => `x-${whose}ratelimit-${which}-${what}`),
    ),
  ),
] as const

const EXPOSED = exposedHeaders.join(', ')

/** Flat name-value list for the reply; empty where the page's origin is not allowed. */
export function corsHeaders(req: IncomingMessage, snapshot: Snapshot): string[] {
  const origin = req.headers.origin
  const allowed = snapshot.server.corsOrigins
  // Where nobody has to show a key or a token any page could spend the operator's money (DNS rebinding aside): never.
  if (origin === undefined || (snapshot.keys.size === 0 && snapshot.clientJwt === undefined)) return []
  if (!allowed.includes('*') && !allowed.includes(origin)) return []
  return ['access-control-allow-origin', origin, 'vary', 'origin', 'access-control-expose-headers', EXPOSED]
}

/** The further headers of an answer to a preflight request. */
export function preflightHeaders(req: IncomingMessage): string[] {
  const asked = req.headers['access-control-request-headers']
  const safe = typeof asked === 'string' && /^[\w, -]{1,1024}$/.test(asked) ? asked : 'authorization, content-type'
  return [
    'access-control-allow-methods',
    'GET, POST, OPTIONS',
    'access-control-allow-headers',
    safe,
    'access-control-max-age',
    '600',
  ]
}
