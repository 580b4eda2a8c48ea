// The metrics of a request's way through the gateway beyond the counts of requests: who paid, what was survived, and how targets fare.
import { type FaultKind, faultRules, type RefusalCode, refusalRules } from '../dialects/errors.ts'
import type { MetricSpec } from './metricTable.ts'

const faultKinds = Object.keys(faultRules) as FaultKind[]

/** Whose doing an error is. `limit`: a limit or budget that the operator set. */
export const blames = ['client', 'limit', 'upstream', 'gateway'] as const
export type Blame = (typeof blames)[number]

/** The fault of an upstream that reaches the client, or our own refusal. */
export function blameFor(cause: { kind: FaultKind } | { code: RefusalCode }): Blame {
  if ('kind' in cause) {
    if (cause.kind === 'no_socket') return 'gateway'
    return faultRules[cause.kind].scope === 'request' ? 'client' : 'upstream'
  }
  // That no target may be asked is what the breakers made of the upstreams' faults.
  if (cause.code === 'no_target') return 'upstream'
  // Its client wanted no other answer.
  if (cause.code === 'not_cached') return 'client'
  const { type, status } = refusalRules[cause.code] as { type: string; status: number }
  if (type === 'gateway_error' || status >= 500) return 'gateway'
  return status === 402 || status === 429 ? 'limit' : 'client'
}

const refusalCodes = Object.keys(refusalRules) as RefusalCode[]
export const causes: readonly string[] = [...new Set<string>([...faultKinds, ...refusalCodes])]
/** Whatever is not the client's own doing is shown before it happens. */
const shownErrors = [
  ...faultKinds.map((kind) => [blameFor({ kind }), kind] as const),
  ...refusalCodes.map((code) => [blameFor({ code }), code] as const),
].filter(([blame]) => blame !== 'client')

/** Faults after which the same target may be called again. */
export const retryReasons = faultKinds.filter((kind) => faultRules[kind].scope === 'retry')

/** Why another target than the first served: the fault of the one before, its open breaker, or a refusal of ours to send it there. */
export const fallbackReasons = [...faultKinds, 'breaker_open', 'refused'] as const

/** What can go wrong with a stream of which something was sent already. */
export const streamFaultKinds = [
  'idle_timeout',
  'total_timeout',
  'reset',
  'cut',
  'garbage',
  'too_large',
  'in_band',
  'overloaded',
  'server_error',
  'rate_limited',
  'content_policy',
  'other',
] as const

/** `before_reply`: nothing had been sent yet. */
const disconnectPhases = ['before_reply', 'during_reply'] as const

export const breakerStates = ['closed', 'half_open', 'open', 'disabled'] as const

const transitions: readonly (readonly [from: string, to: string])[] = [
  ['closed', 'open'],
  ['open', 'half_open'],
  ['half_open', 'closed'],
  ['half_open', 'open'],
  ['open', 'closed'],
]

// Between 5 and 200 tokens a second lies what people call fast and slow; a second without any is a stall.
const gapSeconds = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const commitSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

export const journeyMetrics = {
  tokenGap: {
    kind: 'histogram',
    name: 'turnout_inter_token_seconds',
    help: 'Time between two pieces of generated content on their way to a client, in seconds. Streams only.',
    labels: ['route'],
    bounds: gapSeconds,
  },
  requestCost: {
    kind: 'counter',
    name: 'turnout_request_cost_usd_total',
    help: 'Cost of requests with all their attempts, as far as prices are known, in USD, by who asked for it.',
    labels: ['route', 'key', 'team'],
    per: 1_000_000_000,
  },
  keyRequests: {
    kind: 'counter',
    name: 'turnout_key_requests_total',
    help: 'Client requests that ended, by key, its team, and outcome. Without a key: requests where none is configured, and strangers.',
    labels: ['key', 'team'],
    closed: [['outcome', ['ok', 'partial', 'failed', 'refused', 'client_disconnected']]],
  },
  errors: {
    kind: 'counter',
    name: 'turnout_request_errors_total',
    help: 'Requests that ended in an error, by route, whose doing it is (client, limit, upstream, gateway), and cause: fault or refusal.',
    labels: ['route'],
    closed: [
      ['blame', blames],
      ['cause', causes],
    ],
    shown: shownErrors,
  },
  retries: {
    kind: 'counter',
    name: 'turnout_retries_total',
    help: 'Calls made to the same target again, by target and the fault that made it necessary.',
    labels: ['target'],
    closed: [['reason', retryReasons]],
  },
  fallbacks: {
    kind: 'counter',
    name: 'turnout_fallbacks_total',
    help: 'Calls made to another target than the first of the plan, by route, the target fallen back to, and why.',
    labels: ['route', 'target'],
    closed: [['reason', fallbackReasons]],
  },
  fallbackRequests: {
    kind: 'counter',
    name: 'turnout_fallback_requests_total',
    help: 'Client requests that made a call to another target than the first of the plan, by route.',
    labels: ['route'],
  },
  streamFaults: {
    kind: 'counter',
    name: 'turnout_stream_faults_total',
    help: 'Streams that broke after their first content had been sent, by target and kind of fault.',
    labels: ['target'],
    closed: [['fault', streamFaultKinds]],
  },
  disconnects: {
    kind: 'counter',
    name: 'turnout_client_disconnects_total',
    help: 'Requests whose client went away before the reply was complete, by route and whether something had been sent.',
    labels: ['route'],
    closed: [['phase', disconnectPhases]],
  },
  breakerState: {
    kind: 'gauge',
    name: 'turnout_breaker_state',
    help: '1 for the state that the breaker of a target is in, 0 for the others: closed, half_open, open, disabled by an operator.',
    labels: ['target', 'state'],
  },
  breakerTransitions: {
    kind: 'counter',
    name: 'turnout_breaker_transitions_total',
    help: 'Changes of state of the breaker of a target.',
    labels: ['target'],
    closed: [
      ['from', breakerStates],
      ['to', breakerStates],
    ],
    shown: transitions,
  },
  consecutiveFailures: {
    kind: 'gauge',
    name: 'turnout_target_consecutive_failures',
    help: 'Failed calls of a target since its last good one.',
    labels: ['target'],
  },
  routeTargets: {
    kind: 'gauge',
    name: 'turnout_route_targets',
    help: 'Targets of a route.',
    labels: ['route'],
  },
  healthyTargets: {
    kind: 'gauge',
    name: 'turnout_route_healthy_targets',
    help: 'Targets of a route that are well: no operator has switched them off, and no breaker is open, or has yet to be shown by a probe that they are well again.',
    labels: ['route'],
  },
  configSwaps: {
    kind: 'counter',
    name: 'turnout_config_swaps_total',
    help: 'Changes of the configuration while running: those that took effect, and those that were refused.',
    labels: [],
    closed: [['result', ['swapped', 'refused']]],
  },
  bypass: {
    kind: 'gauge',
    name: 'turnout_bypass',
    help: '1 while the bypass is on: every request goes to the first target of its route, without fallback, policy, cache or rollout.',
    labels: [],
  },
  connections: {
    kind: 'gauge',
    name: 'turnout_upstream_connections',
    help: 'Sockets and requests per upstream origin: open sockets, those of them that idle, calls that run, calls that wait for a socket.',
    labels: ['origin', 'state'],
  },
  traceSpans: {
    kind: 'counter',
    name: 'turnout_trace_spans_total',
    help: 'Spans for the OTLP collector: exported, failed (the collector did not take them), dropped (too many waited).',
    labels: [],
    closed: [['outcome', ['exported', 'failed', 'dropped']]],
  },
  memoryLimit: {
    kind: 'gauge',
    name: 'turnout_memory_limit_bytes',
    help: "Memory that this process may use: its container's limit, else the machine's memory, in bytes.",
    labels: [],
  },
  ledgerWaiting: {
    kind: 'gauge',
    name: 'turnout_ledger_waiting_rows',
    help: 'Rows that wait to be made durable: for the next transaction or the next write to the journal.',
    labels: [],
  },
  ledgerJournaled: {
    kind: 'counter',
    name: 'turnout_ledger_journal_entries_total',
    help: 'Rows that went through the journal instead of a transaction of their own.',
    labels: [],
    read: true,
  },
  ledgerBehind: {
    kind: 'gauge',
    name: 'turnout_ledger_journal_rows',
    help: 'Rows that the journal holds and SQLite does not yet; the next start brings them in if this process dies.',
    labels: [],
  },
  ledgerCommit: {
    kind: 'histogram',
    name: 'turnout_ledger_commit_seconds',
    help: 'Time from the arrival of the oldest row of a group until all of it is durable, in seconds: what the ledger adds to a request, twice.',
    labels: [],
    bounds: commitSeconds,
  },
  ledgerDiskFree: {
    kind: 'gauge',
    name: 'turnout_ledger_disk_free_bytes',
    help: 'Free space on the disk of the ledger, in bytes.',
    labels: [],
  },
  ledgerDiskSize: {
    kind: 'gauge',
    name: 'turnout_ledger_disk_size_bytes',
    help: 'Size of the disk of the ledger, in bytes.',
    labels: [],
  },
  ledgerFile: {
    kind: 'gauge',
    name: 'turnout_ledger_file_bytes',
    help: 'Size of the database with its write-ahead log and its journal, in bytes.',
    labels: [],
  },
  logFailures: {
    kind: 'counter',
    name: 'turnout_log_failures_total',
    help: 'Writes of the log that failed. They are tried again.',
    labels: [],
    read: true,
  },
  logDropped: {
    kind: 'counter',
    name: 'turnout_log_dropped_lines_total',
    help: 'Lines of the log that were dropped, because 8 MB of lines waited to be written.',
    labels: [],
    read: true,
  },
} as const satisfies Record<string, MetricSpec>
