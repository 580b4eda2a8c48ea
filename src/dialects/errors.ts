// Every failure there is, classified once: what the client is told, whether another target is tried, and who is to blame.

/** How far a fault reaches: `request` = the same everywhere, give up; `target` = try the next one; `retry` = the same target may do. */
export type Scope = 'request' | 'target' | 'retry'

interface FaultRule {
  /** Status for the client when the upstream gave none of its own. */
  status: number
  scope: Scope
  /** `count` adds to the consecutive failures, `hard` makes the target unhealthy at once, `none` is not the target's doing. */
  breaker: 'none' | 'count' | 'hard'
  /** Counts as a bad event of a rollout's canary. */
  bad: boolean
  type: string
}

const upstream = (status: number, over: Partial<FaultRule> = {}): FaultRule => ({
  status,
  scope: 'retry',
  breaker: 'count',
  bad: true,
  type: 'upstream_error',
  ...over,
})

/** The one failure table of upstream faults. Keys are stable: they are metric labels, ledger values and `error.code`s. */
export const faultRules = {
  dial_failed: upstream(502),
  // Ours: no vendor is to blame for it, and no canary.
  no_socket: upstream(503, { breaker: 'none', bad: false, type: 'gateway_error' }),
  connect_timeout: upstream(504, { type: 'upstream_timeout' }),
  tls_failed: upstream(502, { scope: 'target' }),
  first_token_timeout: upstream(504, { type: 'upstream_timeout' }),
  idle_timeout: upstream(504, { type: 'upstream_timeout' }),
  total_timeout: upstream(504, { type: 'upstream_timeout', scope: 'target' }),
  reset: upstream(502),
  cut: upstream(502),
  garbage: upstream(502),
  empty: upstream(502),
  too_large: upstream(502, { scope: 'target', breaker: 'none' }),
  redirect: upstream(502, { scope: 'target' }),
  in_band: upstream(502),
  overloaded: upstream(503),
  server_error: upstream(502),
  // A gateway behind us found itself in a circle: asking again would multiply with every turn of it.
  loop: upstream(508, { scope: 'target', breaker: 'none', bad: false, type: 'gateway_error' }),
  rate_limited: upstream(429, { type: 'rate_limit_error' }),
  quota_exhausted: upstream(429, { scope: 'target', breaker: 'hard', type: 'insufficient_quota' }),
  auth_failed: upstream(401, { scope: 'target', breaker: 'hard', type: 'authentication_error' }),
  permission_denied: upstream(403, { scope: 'target', breaker: 'hard', type: 'permission_error' }),
  model_not_found: upstream(404, { scope: 'target', breaker: 'hard', type: 'not_found_error' }),
  upstream_request_timeout: upstream(408, { type: 'upstream_timeout' }),
  conflict: upstream(409),
  // Ours: a rollout was aborted while the request waited for its canary's first byte.
  withdrawn: upstream(503, { scope: 'target', breaker: 'none', bad: false }),
  context_window: upstream(400, { scope: 'request', breaker: 'none', bad: false, type: 'invalid_request_error' }),
  content_policy: upstream(400, { scope: 'request', breaker: 'none', bad: false, type: 'invalid_request_error' }),
  bad_request: upstream(400, { scope: 'request', breaker: 'none', bad: false, type: 'invalid_request_error' }),
} as const satisfies Record<string, FaultRule>

export type FaultKind = keyof typeof faultRules

const statusFaults: Readonly<Record<number, FaultKind>> = {
  401: 'auth_failed',
  402: 'quota_exhausted',
  403: 'permission_denied',
  404: 'model_not_found',
  // Whoever answers is not the API that was asked: method and address are ours. A static page of maintenance takes no POST.
  405: 'server_error',
  421: 'server_error',
  // A proxy between us and the vendor wants a credential.
  407: 'auth_failed',
  408: 'upstream_request_timeout',
  409: 'conflict',
  425: 'conflict',
  429: 'rate_limited',
  // Groq: https://console.groq.com/docs/errors, "Flex Tier Capacity Exceeded".
  498: 'overloaded',
  503: 'overloaded',
  508: 'loop',
  529: 'overloaded',
}

/** What OpenAI's API calls these in `error.code`. Applications branch on it: they shorten the conversation, or wait. */
const openaiCodes: Readonly<Partial<Record<FaultKind, string>>> = {
  context_window: 'context_length_exceeded',
  content_policy: 'content_policy_violation',
  rate_limited: 'rate_limit_exceeded',
  quota_exhausted: 'insufficient_quota',
  model_not_found: 'model_not_found',
}

/** The code of a fault that another vendor than OpenAI names by a word of its own, which then stands in the details. */
export function codeOf(
  kind: FaultKind,
  word: string | undefined,
  details: Readonly<Record<string, unknown>> = {},
): { code: string | undefined; details?: Readonly<Record<string, unknown>> } {
  const code = openaiCodes[kind] ?? word
  const told = code === word || word === undefined ? details : { ...details, code: word }
  return Object.keys(told).length > 0 ? { code, details: told } : { code }
}

/**
 * Whether a vendor's 404 is about something that the request names, and not about the model: a file of Anthropic's or OpenAI's, a container. From
 * the first word on: further inside it may be what a client wrote. "File not found" by itself names none: a server says it of a path.
 */
export const isOfNamedThing = (message: string | undefined): boolean =>
  /^(?!file not found\W*$)(?:no such |the |requested |input )*(?:files?|containers?|skills?|vector stores?|cached ?contents?)\b/i.test(
    message ?? '',
  )

/** What a status of 300 and above means by itself, where the vendor's words say nothing more. */
export function faultOfStatus(status: number): FaultKind {
  if (status < 400) return 'redirect'
  return statusFaults[status] ?? (status >= 500 ? 'server_error' : 'bad_request')
}

/** A failure of one upstream call. `body` is the vendor's own error body, kept raw for clients of the same dialect. */
export class UpstreamFault extends Error {
  readonly kind: FaultKind
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined
  readonly body: Buffer | undefined
  /** The headers of the vendor's error reply. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>> | undefined
  readonly param: string | undefined
  readonly code: string | undefined
  /** What the vendor said beyond the message, in its own names: quota ids, limits, reset times. */
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(
    kind: FaultKind,
    message: string,
    more: {
      status?: number
      retryAfterMs?: number | undefined
      body?: Buffer
      headers?: Readonly<Record<string, string | string[] | undefined>>
      param?: string | undefined
      code?: string | undefined
      details?: Readonly<Record<string, unknown>> | undefined
    } = {},
  ) {
    super(message)
    this.name = 'UpstreamFault'
    this.kind = kind
    this.status = more.status
    this.retryAfterMs = more.retryAfterMs
    this.body = more.body
    this.headers = more.headers
    this.param = more.param
    this.code = more.code
    this.details = more.details
  }

  get rule(): FaultRule {
    return faultRules[this.kind]
  }

  /**
   * The status that the client gets: the vendor's own where it is an error of HTTP (above 599 there are none), else the table's. 407 is for
   * whoever called that proxy: to a client it would speak of its own, and `fetch` hands out no reply then.
   */
  get clientStatus(): number {
    const { status } = this
    return status !== undefined && status >= 400 && status < 600 && status !== 407 ? status : this.rule.status
  }
}

interface RefusalRule {
  status: number
  type: string
}

const invalid = (status = 400): RefusalRule => ({ status, type: 'invalid_request_error' })

/** What we refuse or fail at ourselves. Never counts against a target. The key is the client's `error.code`. */
export const refusalRules = {
  invalid_json: invalid(),
  invalid_encoding: invalid(),
  duplicate_key: invalid(),
  json_too_deep: invalid(),
  missing_required_parameter: invalid(),
  invalid_type: invalid(),
  invalid_value: invalid(),
  invalid_tool_arguments: invalid(),
  unsupported_content: invalid(),
  unsupported_parameter: invalid(),
  too_many_messages: invalid(),
  too_many_values: invalid(),
  invalid_url: invalid(404),
  not_found: invalid(404),
  model_not_found: invalid(404),
  method_not_allowed: invalid(405),
  rollout_conflict: invalid(409),
  precondition_failed: invalid(412),
  invalid_configuration: invalid(422),
  idempotency_key_reused: invalid(422),
  precondition_required: invalid(428),
  request_timeout: invalid(408),
  request_too_large: invalid(413),
  unsupported_media_type: invalid(415),
  headers_too_large: invalid(431),
  bad_http: invalid(),
  host_not_allowed: invalid(403),
  invalid_api_key: { status: 401, type: 'authentication_error' },
  key_expired: { status: 401, type: 'authentication_error' },
  key_disabled: { status: 401, type: 'authentication_error' },
  permission_denied: { status: 403, type: 'permission_error' },
  model_not_allowed: { status: 403, type: 'permission_error' },
  address_not_allowed: { status: 403, type: 'permission_error' },
  blocked: { status: 403, type: 'permission_error' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error' },
  budget_exceeded: { status: 402, type: 'budget_exceeded' },
  not_cached: { status: 504, type: 'gateway_error' },
  loop_detected: { status: 508, type: 'gateway_error' },
  no_target: { status: 503, type: 'gateway_error' },
  shutting_down: { status: 503, type: 'gateway_error' },
  not_available: { status: 503, type: 'gateway_error' },
  ledger_unavailable: { status: 503, type: 'gateway_error' },
  internal_error: { status: 500, type: 'gateway_error' },
} as const satisfies Record<string, RefusalRule>

export type RefusalCode = keyof typeof refusalRules

/** A request that Turnout itself turns down. The message may go to the client as it is: it never quotes the body. */
export class Refusal extends Error {
  readonly code: RefusalCode
  readonly param: string | null
  readonly metadata: Record<string, unknown> | undefined

  constructor(code: RefusalCode, message: string, param: string | null = null, metadata?: Record<string, unknown>) {
    super(message)
    this.name = 'Refusal'
    this.code = code
    this.param = param
    this.metadata = metadata
  }

  get status(): number {
    return refusalRules[this.code].status
  }
}

/** The vendor-neutral form of an error that a dialect turns into its own shape. */
export interface GatewayError {
  status: number
  message: string
  type: string
  code: string
  param: string | null
  metadata?: Record<string, unknown>
}

/** What a client is told of a failure, before its dialect gives it a shape. */
export function errorOf(cause: Refusal | UpstreamFault): GatewayError {
  if (cause instanceof Refusal) {
    const error: GatewayError = {
      status: cause.status,
      message: cause.message,
      type: refusalRules[cause.code].type,
      code: cause.code,
      param: cause.param,
    }
    if (cause.metadata) error.metadata = cause.metadata
    return error
  }
  return {
    status: cause.clientStatus,
    message: cause.message,
    type: cause.rule.type,
    code: cause.code ?? cause.kind,
    param: cause.param ?? null,
  }
}
