// Writes the failure table of docs/resilience.md out of the one that the gateway decides by; what each fault is stands here in words.
import { type FaultKind, faultRules } from '../../src/dialects/errors.ts'

const begin = '<!-- The failure table: written by npx tsx test/support/writeResilienceDoc.ts -->'
const end = '<!-- End of the failure table -->'

/** What has happened, for those who read it at night. A new fault without words does not compile. */
const words: Record<FaultKind, string> = {
  dial_failed: 'connection refused, name not found, host not reachable, hung up before the request was sent',
  no_socket: 'ours: no file descriptor, local port, or memory left for a connection to the upstream',
  connect_timeout: 'no connection within `connect`, TLS included',
  tls_failed: 'the TLS handshake failed: certificate, protocol',
  first_token_timeout: 'nothing generated within `firstToken`',
  idle_timeout: 'a gap in what is generated longer than `idle`',
  total_timeout: 'the call took longer than `total`',
  reset: 'the connection broke before the reply began',
  cut: 'the connection broke, or the stream ended, in the middle of a 2xx reply',
  garbage:
    'a reply that is no JSON, no events, no HTTP; or JSON that [nobody means](configuration.md#server): 2,000 levels deep',
  empty: '"stop" with nothing generated and no usage',
  loop: 'a gateway behind this one that finds itself in a circle (508)',
  too_large:
    'a reply larger than `maxReply`, an event of a stream of 32 MB or 100,000 lines, or either with more than [two million](configuration.md#server) JSON values',
  redirect: 'a 3xx: never followed',
  in_band: 'an error inside a 200 that says no more, or the finish reason `error` or `abort`',
  overloaded: '498, 503, 529, or an error that says so',
  server_error: '500, 502, 504 and other 5xx; 405, 421 (what answers is not the API: a page of maintenance, say)',
  rate_limited: '429, or 413 that says so',
  quota_exhausted: '402, or 400, 403, 412, 429 with words of credit or quota',
  auth_failed: '401, or a key that is called invalid; 407 of a proxy in between',
  permission_denied: '403, or 400 that says the organization is disabled, or that the place is not served',
  model_not_found: '404, or 400 that says so',
  upstream_request_timeout: '408',
  conflict: '409, 425',
  withdrawn: 'ours: a rollout was aborted while the request waited for its canary',
  context_window: '400, 413 or 422 that says the prompt is too long',
  content_policy: "400 of the vendor's content policy, or 403 for what the request says",
  bad_request: '400, 413, 422 and other 4xx, or 404 for what the request needs',
}

const next = {
  retry: 'the next target; the last one again',
  target: 'the next target',
  request: 'none: it would be the same everywhere',
}
const special: Partial<Record<FaultKind, string>> = {
  context_window: '`onContextWindow`, if the route has it',
  content_policy: '`onContentPolicy`, if the route has it',
  bad_request:
    "none where the route's first target says it: it would be the same everywhere; after another one's, or a canary's, the next target",
}
const breaker = { count: 'one more in a row', hard: 'opens at once, for `unhealthyFor`', none: '–' }

/** The table alone, in Markdown. */
export function failureTable(): string {
  const rows = Object.entries(faultRules).map(([kind, rule]) => {
    const told = words[kind as FaultKind]
    const cells = [
      `\`${kind}\``,
      told,
      String(rule.status),
      special[kind as FaultKind] ?? next[rule.scope],
      breaker[rule.breaker],
    ]
    return `| ${cells.join(' | ')} |`
  })
  return ['| fault | what happened | status | asked next | breaker |', '|---|---|---|---|---|', ...rows].join('\n')
}

/** The page with the table of today in the place of the one that it has. Throws where it has none. */
export function withFailureTable(page: string): string {
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from === -1 || to < from) throw new Error('docs/resilience.md has no place for the failure table.')
  return `${page.slice(0, from + begin.length)}\n\n${failureTable()}\n\n${page.slice(to)}`
}
