// Every metric there is, declared once: name, help, labels. Later features add rows here and nothing elsewhere.

import { faultRules } from '../dialects/errors.ts'
import { lossLabels } from '../dialects/loss.ts'
import { budgetMetrics } from './budgetTable.ts'
import { cacheTable } from './cacheTable.ts'
import { journeyMetrics } from './journeyTable.ts'
import { ledgerTable } from './ledgerTable.ts'
import { rolloutMetrics } from './rolloutTable.ts'

/** How a request ended. `partial`: content was sent and then the upstream failed. `refused`: Turnout itself said no. */
export const requestOutcomes = ['ok', 'partial', 'failed', 'refused', 'client_disconnected'] as const
export type RequestOutcome = (typeof requestOutcomes)[number]

/** How an attempt ended: well, given up because the client or another attempt made it needless, or by a fault kind. */
export const attemptOutcomes = ['ok', 'cancelled', ...(Object.keys(faultRules) as (keyof typeof faultRules)[])] as const
export type AttemptOutcome = (typeof attemptOutcomes)[number]

/** `none`: the connection was gone before a status was sent. */
const statusClasses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const

/** Disjoint classes of tokens: fields of a usage, and how the label calls them. */
export const tokenClasses = {
  input: 'input',
  cacheRead: 'cache_read',
  cacheWrite5m: 'cache_write_5m',
  cacheWrite1h: 'cache_write_1h',
  output: 'output',
  reasoning: 'reasoning',
  audioIn: 'audio_in',
  audioOut: 'audio_out',
} as const
export type TokenClass = keyof typeof tokenClasses

/**
 * Why somebody was not let in. `missing`: no key was shown. `token_claims`: audience, issuer or a claim is not the one that is wanted.
 * `token_key`: stands for a key that is not there. `keys_unavailable`: the issuer's keys could not be read. `role`: may not operate.
 */
export const authFailures = [
  'missing',
  'unknown',
  'disabled',
  'expired',
  'token_expired',
  'token_claims',
  'token_invalid',
  'token_key',
  'keys_unavailable',
  'role',
  'host',
  'content_type',
] as const
export type AuthFailure = (typeof authFailures)[number]

/** What a limit is counted by; `everything` = all together, `several` = a combination. */
export const limitScopeNames = ['everything', 'key', 'team', 'route', 'user', 'ip', 'several'] as const
export const limitKinds = ['requests', 'tokens', 'concurrency'] as const

/** Why somebody was turned away before anything was asked: a list of addresses, a block, wrong keys, a page asked for too often. */
export const doorReasons = ['address', 'blocked', 'wrong_keys', 'page'] as const

/** A label with a known, finite set of values: stored as an index, not as a string. */
export type ClosedLabel = readonly [name: string, values: readonly string[]]

export interface MetricSpec {
  readonly kind: 'counter' | 'histogram' | 'gauge'
  readonly name: string
  readonly help: string
  /** Labels whose values come from the configuration; bounded at run time. */
  readonly labels: readonly string[]
  /** Counters only. */
  readonly closed?: readonly ClosedLabel[]
  /** Counters only: combinations of the closed labels that are shown before they count, in rows of configured names. All unless given. */
  readonly shown?: readonly (readonly string[])[]
  /** Counters only: how many of what is counted make one of what is shown. Integers sum exactly, fractions do not. */
  readonly per?: number
  /** Read at scrape from the system, which does the counting. */
  readonly read?: true
  /** Histograms only: upper bounds in the metric's unit, ascending, without +Inf. */
  readonly bounds?: readonly number[]
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300]
// Overhead is Turnout's own time: tens of microseconds when all is well.
const overheadSeconds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1]

export const metricTable = {
  ...journeyMetrics,
  ...budgetMetrics,
  requests: {
    kind: 'counter',
    name: 'turnout_requests_total',
    help: 'Client requests that ended, by route, the target whose answer or fault the client got, class of the status sent, and outcome.',
    labels: ['route', 'target'],
    closed: [
      ['status', statusClasses],
      ['outcome', requestOutcomes],
    ],
    shown: [
      ['2xx', 'ok'],
      ['2xx', 'partial'],
      ['4xx', 'failed'],
      ['5xx', 'failed'],
      ['4xx', 'refused'],
      ['5xx', 'refused'],
      ['none', 'client_disconnected'],
    ],
  },
  requestDuration: {
    kind: 'histogram',
    name: 'turnout_request_duration_seconds',
    help: 'Time from the request line to the last byte sent, in seconds.',
    labels: ['route', 'stream'],
    bounds: seconds,
  },
  firstToken: {
    kind: 'histogram',
    name: 'turnout_time_to_first_token_seconds',
    help: 'Time from the request line to the first generated content sent to the client, in seconds. Streams only.',
    labels: ['route'],
    bounds: seconds,
  },
  overhead: {
    kind: 'histogram',
    name: 'turnout_overhead_seconds',
    help: 'Time of a request spent inside Turnout, without the wait for upstreams, in seconds.',
    labels: [],
    bounds: overheadSeconds,
  },
  inFlight: {
    kind: 'gauge',
    name: 'turnout_requests_in_flight',
    help: 'Client requests that have begun and not ended.',
    labels: [],
  },
  attempts: {
    kind: 'counter',
    name: 'turnout_upstream_attempts_total',
    help: 'Upstream calls that ended, by target and outcome: ok, cancelled, or a kind of fault.',
    labels: ['target'],
    closed: [['outcome', attemptOutcomes]],
  },
  attemptDuration: {
    kind: 'histogram',
    name: 'turnout_upstream_duration_seconds',
    help: 'Time from the dispatch of an upstream call to its end, in seconds.',
    labels: ['target'],
    bounds: seconds,
  },
  tokens: {
    kind: 'counter',
    name: 'turnout_tokens_total',
    help: 'Tokens of upstream calls by target and class; the classes do not overlap. Includes estimates where a provider reports none.',
    labels: ['target'],
    closed: [['class', Object.values(tokenClasses)]],
  },
  cost: {
    kind: 'counter',
    name: 'turnout_cost_usd_total',
    help: 'Cost of upstream calls with a known price, in USD, by target. Calls without one are in turnout_unpriced_attempts_total.',
    labels: ['target'],
    per: 1_000_000_000,
  },
  unpriced: {
    kind: 'counter',
    name: 'turnout_unpriced_attempts_total',
    help: 'Upstream calls whose price is not known, by target: their cost is missing in turnout_cost_usd_total.',
    labels: ['target'],
  },
  droppedParams: {
    kind: 'counter',
    name: 'turnout_dropped_params_total',
    help: 'Upstream calls that could not be told a parameter as it was meant, by target and parameter; other = names beyond the known ones.',
    labels: ['target'],
    closed: [['param', lossLabels]],
  },
  authFailures: {
    kind: 'counter',
    name: 'turnout_auth_failures_total',
    help: 'Requests that were not let in, on the data plane and the admin API, by reason.',
    labels: [],
    closed: [['reason', authFailures]],
  },
  limitRefusals: {
    kind: 'counter',
    name: 'turnout_limit_refusals_total',
    help: 'Requests refused by a limit, by what the limit is counted by and what ran out: requests, tokens or concurrency.',
    labels: [],
    closed: [
      ['scope', limitScopeNames],
      ['kind', limitKinds],
    ],
  },
  limitWaiting: {
    kind: 'gauge',
    name: 'turnout_limit_waiting',
    help: 'Requests that wait for their turn because a limit has no room for them.',
    labels: [],
  },
  limitEntities: {
    kind: 'gauge',
    name: 'turnout_limit_entities',
    help: 'Keys, addresses, users and so on that limits remember at the moment.',
    labels: [],
  },
  blocks: {
    kind: 'gauge',
    name: 'turnout_blocks',
    help: 'Blocks in force, by what is kept out: ip, user or key.',
    labels: ['kind'],
  },
  doorRefusals: {
    kind: 'counter',
    name: 'turnout_door_refusals_total',
    help: 'Requests turned away at the door: by a list of addresses, by a block, for wrong keys, or for asking for a page too often.',
    labels: [],
    closed: [['reason', doorReasons]],
  },
  loopLag: {
    kind: 'gauge',
    name: 'turnout_event_loop_lag_seconds',
    help: 'How late the event loop ran its timers since the last reading at least 5 s ago, in seconds, by quantile; 1 is the longest.',
    labels: ['quantile'],
  },
  cpu: {
    kind: 'counter',
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time of the process, in seconds.',
    labels: ['mode'],
    read: true,
  },
  memory: {
    kind: 'gauge',
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process, in bytes.',
    labels: [],
  },
  heap: {
    kind: 'gauge',
    name: 'turnout_heap_bytes',
    help: 'Memory of the JavaScript engine, in bytes: heap used, heap reserved, buffers and other memory outside the heap.',
    labels: ['part'],
  },
  openFiles: {
    kind: 'gauge',
    name: 'process_open_fds',
    help: 'Open file descriptors, sockets included. Only where /proc exists.',
    labels: [],
  },
  startTime: {
    kind: 'gauge',
    name: 'process_start_time_seconds',
    help: 'Start of the process, in seconds since 1970.',
    labels: [],
  },
  build: {
    kind: 'gauge',
    name: 'turnout_build_info',
    help: 'Always 1; the labels say what is running.',
    labels: ['version', 'node'],
  },
  config: {
    kind: 'gauge',
    name: 'turnout_config_version',
    help: 'Version of the configuration in force.',
    labels: [],
  },
  ...rolloutMetrics,
  ...ledgerTable,
  alertsFiring: {
    kind: 'gauge',
    name: 'turnout_alerts_firing',
    help: 'Keys, teams, routes, targets or budgets that an alert fires for, by alert and severity.',
    labels: ['alert', 'severity'],
  },
  alertMessages: {
    kind: 'counter',
    name: 'turnout_alert_messages_total',
    help: 'What alerts have said, by alert and state: firing, or resolved.',
    labels: ['alert'],
    closed: [['state', ['firing', 'resolved']]],
  },
  ...cacheTable,
  webhookAttempts: {
    kind: 'counter',
    name: 'turnout_webhook_deliveries_total',
    help: 'Attempts to deliver a message to a webhook, by webhook and outcome: delivered, failed (tried again later), dead (given up).',
    labels: ['webhook'],
    closed: [['outcome', ['delivered', 'failed', 'dead']]],
  },
  webhookMessages: {
    kind: 'gauge',
    name: 'turnout_webhook_messages',
    help: 'Messages in the database that are not delivered, by webhook and state: waiting, or dead (given up, can be sent again).',
    labels: ['webhook', 'state'],
  },
} as const satisfies Record<string, MetricSpec>

type Table = typeof metricTable
type KeysOf<K extends MetricSpec['kind']> = { [P in keyof Table]: Table[P]['kind'] extends K ? P : never }[keyof Table]
type SystemKey = { [P in keyof Table]: Table[P] extends { read: true } ? P : never }[keyof Table]
/** Counters that count here. */
export type CounterKey = Exclude<KeysOf<'counter'>, SystemKey>
export type HistogramKey = KeysOf<'histogram'>
/** What is read at scrape from whoever keeps the number. */
export type ReadKey = KeysOf<'gauge'> | SystemKey
