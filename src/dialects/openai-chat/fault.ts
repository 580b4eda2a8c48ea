// Classifies what OpenAI-shaped upstreams answer instead of a reply: error statuses, and errors inside a 200.
import { type FaultKind, faultOfStatus, isOfNamedThing, UpstreamFault } from '../errors.ts'
import { retryAfterOf } from '../retryAfter.ts'
import { asObject, type Json } from '../usage.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** The fault of a reply with a status other than 2xx. `now` (ms since the epoch) turns a `Retry-After` date into a wait. */
export function faultOf(status: number, headers: Headers, body: Buffer, now = Date.now()): UpstreamFault {
  const wire = parse(body)
  const error = errorFieldsOf(wire)
  const kind = kindOf(status, error)
  const details = saysWhatIsWrong(wire)
    ? undefined
    : (asObject(wire) ?? (Array.isArray(wire) ? { errors: wire } : undefined))
  return new UpstreamFault(kind, error.message ?? `The upstream answered with status ${status}.`, {
    status,
    retryAfterMs: retryAfterOf(headers, now),
    body,
    headers,
    param: error.param,
    code: error.code,
    ...(details && Object.keys(details).length > 0 && canBeTold(details) ? { details } : {}),
  })
}

/** Bytes of a body beyond which its words alone are told. */
const longestDetails = 16 * 1024

/** What is nested a hundred thousand deep can be read, and not be written again. */
function canBeTold(details: object): boolean {
  try {
    return JSON.stringify(details).length <= longestDetails
  } catch {
    return false
  }
}

/** Whether clients find in the body what is wrong. */
export const isError = (body: Buffer): boolean => saysWhatIsWrong(parse(body))

/** Of a body and of an event: the AI SDK reads nothing but the `message` of an object under `error`. */
export function saysWhatIsWrong(wire: unknown): boolean {
  const message = asObject(asObject(wire)?.error)?.message
  return typeof message === 'string' && message !== ''
}

/** Whether a 200 reply or a chunk tells of an error, in either of the two forms. */
export const tellsError = (wire: Json): boolean => Boolean(wire.error) || wire.object === 'error'

/** The fault of an error inside a 200 reply or stream. */
export function inBandFaultOf(wire: unknown, body?: Buffer): UpstreamFault {
  const error = errorFieldsOf(wire)
  const status = Number(error.code ?? error.status)
  const kind = Number.isInteger(status) && status >= 400 && status < 600 ? kindOf(status, error) : ownKindOf(error)
  return new UpstreamFault(kind ?? 'in_band', error.message ?? 'The upstream reported an error inside its reply.', {
    ...(body ? { body } : {}),
    param: error.param,
    code: error.code,
  })
}

/** Finish reasons that tell of an answer which the vendor gave up. */
const givenUp: Readonly<Record<string, FaultKind>> = {
  error: 'in_band',
  // vLLM and SGLang, when the server lets go of a request.
  abort: 'in_band',
  // https://api-docs.deepseek.com/api/create-chat-completion: "interrupted due to insufficient resource of the inference system".
  insufficient_system_resource: 'overloaded',
}

/** The fault of a choice that ended in a failure; undefined for every other. OpenRouter says in the choice itself what it was. */
export function faultOfFinish(choice: Json): UpstreamFault | undefined {
  const reason = choice.finish_reason
  const kind = typeof reason === 'string' && Object.hasOwn(givenUp, reason) ? givenUp[reason] : undefined
  if (kind === undefined) return undefined
  if (asObject(choice.error)) return inBandFaultOf(choice)
  return new UpstreamFault(kind, `The upstream ended the answer with finish reason "${reason}".`)
}

interface ErrorFields {
  message: string | undefined
  type: string | undefined
  code: string | undefined
  param: string | undefined
  status: string | undefined
}

/**
 * The error object's fields wherever compatible servers put them: under `error`, at the top, or in the first element of an array. Servers
 * on FastAPI write `detail`, Mistral that within `message`, AWS a `Message`, Cloudflare a list of `errors`.
 */
function errorFieldsOf(wire: unknown): ErrorFields {
  const top = asObject(Array.isArray(wire) ? wire[0] : wire)
  const error = asObject(top?.error) ?? top
  const message =
    wordsOf(error?.message) ??
    wordsOf(top?.error) ??
    wordsOf(top?.message) ??
    wordsOf(top?.detail) ??
    wordsOf(top?.Message) ??
    wordsOf(top?.errors)
  return {
    message: message?.slice(0, 2000),
    type: text(error?.type),
    code: text(error?.code),
    param: text(error?.param),
    status: text(error?.status),
  }
}

/** A message in whatever it is wrapped. FastAPI's items also quote the input, which is not repeated. */
function wordsOf(value: unknown, depth = 0): string | undefined {
  if (depth > 3) return undefined
  if (Array.isArray(value)) {
    const said = value.slice(0, 5).flatMap((item) => wordsOf(item, depth + 1) ?? [])
    return said.length > 0 ? said.join('; ') : undefined
  }
  const object = asObject(value)
  if (!object) return text(value)
  const said = wordsOf(object.msg ?? object.message ?? object.detail ?? object.error, depth + 1)
  const place = Array.isArray(object.loc) ? object.loc.filter((step) => text(step) !== undefined).join('.') : ''
  return said !== undefined && place !== '' ? `${place}: ${said}` : said
}

function text(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

function kindOf(status: number, error: ErrorFields): FaultKind {
  if (status < 400) return 'redirect'
  const words = kindOfWords(error)
  // Account troubles hide behind 400, 402, 403 and 429; the words tell them from a user's own mistake and from mere haste.
  if (status === 400 && (words === 'quota_exhausted' || words === 'auth_failed')) return accountOr400(words, error)
  if (status === 400 && (words === 'content_policy' || (words === 'context_window' && isOfLength(error)))) return words
  if (status === 400 && isGone(error)) return 'model_not_found'
  if (words === 'quota_exhausted' && quotaStatuses.has(status)) return words
  // OpenRouter and xAI refuse what somebody wrote with the status of an account that may not.
  if (status === 403 && words === 'content_policy') return words
  // OpenRouter has the model, but none that takes the picture or the tools of this request.
  if (status === 404 && (unfit.test(error.message ?? '') || isOfNamedThing(error.message))) return 'bad_request'
  // Groq's status for more tokens than the account has in any minute: no request of that size passes there, others' accounts may take it.
  if (status === 413 && error.code === 'rate_limit_exceeded') return 'rate_limited'
  if (status === 413 || status === 422) return words === 'context_window' ? words : 'bad_request'
  return faultOfStatus(status)
}

/** Statuses that stand for several things, of which a lack of money is one. 412 is Fireworks' for an account that is suspended. */
const quotaStatuses: ReadonlySet<number> = new Set([403, 412, 429])

/** What names a parameter that has nothing to do with the length of a prompt may only quote the words. */
const isOfLength = (error: ErrorFields): boolean =>
  error.param === undefined ||
  /^(?:none|null|messages|input|prompt|max_)/i.test(error.param) ||
  kindOfWords({ ...error, message: undefined }) === 'context_window'

/**
 * Groq, Mistral, DeepSeek and OpenAI say with 400 that they do not have the model, or have it no more. OpenRouter's "… is not a valid model
 * ID" is not among them: it may speak of the client's own `models`, and would shut the target for everybody.
 */
function isGone({ code, type, message, param }: ErrorFields): boolean {
  if (param !== undefined && !/^(?:none|null|model)$/i.test(param)) return false
  if ([code, type].some((word) => /^(?:model_not_found|model_decommissioned|invalid_model)$/.test(word ?? '')))
    return true
  return /^(?:model not exist|invalid model id)\.?$/i.test(message ?? '')
}

const quota =
  /insufficient_quota|billing_hard_limit|billing_not_active|blocked_api_access|credit balance|exceeded your current quota|insufficient[ _]balance|out of credits|all available credits|have any credits|monthly spending limit/i
// In the words of xAI ("maximum prompt length"), vLLM ("maximum model length"), llama.cpp ("context size"), SGLang ("context length"), and
// TGI and Together (the parameters).
const context =
  /context_length_exceeded|context (?:window|length)|available context size|exceed_context_size|maximum (?:prompt|model) length|prompt is too long|too many tokens|`max_new_tokens` must be <=|`inputs` must have less than/i
const policy =
  /content_policy_violation|content_filter|ResponsibleAIPolicyViolation|(?:input|prompt) was flagged|violates usage guidelines/i
const unfit = /no endpoints found that/i
const auth = /organization_restricted|invalid_api_key|invalid api key|incorrect api key|authentication_error/i
const overload = /overloaded|capacity exceeded|server is busy|service_unavailable/i
const rate = /rate_limit|too many requests|RESOURCE_EXHAUSTED/i
const server = /server_error|internal_error|api_error|timeout/i

/** What the words of an error say where the status does not. The vendors' own codes first, then their English. */
function kindOfWords(error: ErrorFields): FaultKind | undefined {
  const words = [error.code, error.type, error.status, error.message].filter(Boolean).join('\n')
  if (quota.test(words)) return 'quota_exhausted'
  if (auth.test(words)) return 'auth_failed'
  if (context.test(words)) return 'context_window'
  if (policy.test(words)) return 'content_policy'
  if (overload.test(words)) return 'overloaded'
  if (rate.test(words)) return 'rate_limited'
  if (server.test(words)) return 'in_band'
  return undefined
}

/** What the words say where there is no status, but for an account that only a quotation speaks of: see `accountOr400`. */
function ownKindOf(error: ErrorFields): FaultKind | undefined {
  const kind = kindOfWords(error)
  if (kind !== 'quota_exhausted' && kind !== 'auth_failed') return kind
  return accountOr400(kind, error) === kind ? kind : undefined
}

/**
 * A message may repeat what the client wrote, as in "Invalid value: 'insufficient_quota'", and that must not shut a target for everybody: what
 * names a parameter is the request's fault, and a quoted name says nothing. An apostrophe within a word begins no quotation.
 */
function accountOr400(kind: FaultKind, error: ErrorFields): FaultKind {
  if (error.param !== undefined && !/^(none|null)$/i.test(error.param))
    return kindOfWords({ ...error, message: undefined }) === kind ? kind : 'bad_request'
  // vLLM's list of what is wrong has what the client wrote behind this word.
  const said = error.message?.replace(/(['"])input\1\s*:.*$/s, '')
  // What a proxy has wrapped, quotes and all.
  const isWrapped = error.message?.includes('{')
  const own = isWrapped ? said : said?.replace(/(?<!\w)'[^'\s]*'(?!\w)|"[^"\s]*"|`[^`\s]*`/g, '')
  return kindOfWords({ ...error, message: own }) === kind ? kind : 'bad_request'
}
