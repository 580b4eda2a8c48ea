// Which web pages may call the gateway from a browser: those that the configuration names, none without keys.
import type { IncomingMessage } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'

const EXPOSED =
  'x-request-id, retry-after, x-turnout-target, x-turnout-provider, x-turnout-model, x-turnout-lane, x-turnout-attempts, x-turnout-config, x-turnout-cache, x-turnout-cost-usd, x-turnout-cost, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens'

/** Flat name-value list for the reply; empty where the page's origin is not allowed. */
export function corsHeaders(req: IncomingMessage, snapshot: Snapshot): string[] {
  const origin = req.headers.origin
  const allowed = snapshot.server.corsOrigins
  // Without keys any page could spend the operator's money (DNS rebinding aside): never.
  if (origin === undefined || snapshot.keys.size === 0) return []
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
