// Answers a request that gets no reply: our own refusals, and upstream failures after the last target.
import { errorOf, Refusal, UpstreamFault } from '../dialects/errors.ts'
import { type Call, speakerOf } from './call.ts'
import { costLine } from './costHeaders.ts'
import { passedHeaders, secretsOf, writeHead } from './headers.ts'

/** Writes the error reply in the client's own shape. A vendor's own error body passes as it is, less our credentials. */
export function refuse(call: Call, cause: Refusal | UpstreamFault): void {
  const { res } = call
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  const vendors = cause instanceof UpstreamFault ? vendorBody(call, cause) : undefined
  const error = errorOf(cause)
  if (cause instanceof UpstreamFault && call.attempts.length > 0) {
    error.metadata = { attempts: attemptsOf(call), ...(cause.details ? { details: cause.details } : {}) }
  }
  const body = withoutSecrets(call, vendors ?? Buffer.from(call.dialect.inbound!.error(error)))
  const headers = [
    'content-type',
    'application/json',
    'content-length',
    String(body.length),
    'x-turnout-error',
    cause instanceof Refusal ? cause.code : cause.kind,
  ]
  if (cause instanceof UpstreamFault) pushUpstream(headers, cause, call)
  else headers.push(...retryHeaders(cause))
  writeHead(call, error.status, headers, call.attempts.length > 0 ? costLine(call) : '')
  res.end(call.req.method === 'HEAD' ? undefined : body)
}

/** Ends a stream that has begun with the error, so that nobody takes it for whole. */
export function breakOff(call: Call, cause: Refusal | UpstreamFault): void {
  call.res.end(withoutSecrets(call, Buffer.from(call.dialect.inbound!.errorFrame(errorOf(cause)))))
}

/** SDKs wait as long as they are told, up to a minute; beyond that they come back in seconds, and in vain. */
const PATIENCE_OF_SDKS = 60

/**
 * Whether and when to ask again: a refusal may be over in a moment. Flat name-value list. SDKs retry 408, 409, 429 and 5xx by themselves,
 * which is pointless where it was our own decision and stays it.
 */
export function retryHeaders({ status, metadata }: Refusal): string[] {
  const told = metadata?.retry_after_seconds
  // `null` is a wait that nobody knows the end of: every target is switched off until an operator switches one on.
  const wait = typeof told === 'number' ? told : status === 503 && told !== null ? 1 : undefined
  if (wait === undefined) return ['x-should-retry', 'false']
  const pointless = status !== 503 && (status !== 429 || wait > PATIENCE_OF_SDKS)
  return ['retry-after', String(wait), ...(pointless ? ['x-should-retry', 'false'] : [])]
}

/** Google tells the wait in its error's body, and it may be the longer one: clients look at the header alone. */
function pushUpstream(headers: string[], cause: UpstreamFault, call: Call): void {
  const { 'retry-after': told, ...others } = cause.headers ?? {}
  const speaker = speakerOf(call)
  const wait = cause.retryAfterMs === undefined ? undefined : Math.ceil(cause.retryAfterMs / 1000)
  const isEnough = wait === undefined || Number(told) >= wait || speaker?.lane === 'identity'
  const passes = told !== undefined && isEnough
  headers.push(...passedHeaders(passes ? { 'retry-after': told, ...others } : others, call, speaker))
  if (!passes && wait !== undefined) headers.push('retry-after', String(wait))
}

/**
 * The vendor's error body, if it has its words where OpenAI's clients look for them. SDKs would else say "422 status code (no body)": the
 * body of many compatible servers (`{"message"}`, `{"detail"}`, a list), or a proxy's HTML, gets our own shape.
 */
function vendorBody(call: Call, cause: UpstreamFault): Buffer | undefined {
  if (cause.body === undefined || cause.status === undefined || cause.status < 400) return undefined
  if (speakerOf(call)?.lane !== 'identity') return undefined
  return call.dialect.inbound!.isError(cause.body) ? cause.body : undefined
}

/** Error text without our credentials: some servers echo the one that they reject. */
export function withoutSecrets(call: Call, body: Buffer): Buffer {
  const text = body.toString('utf8')
  let clean = text
  for (const { target } of call.attempts)
    for (const secret of secretsOf(target.provider)) clean = clean.replace(inJson(secret), '***')
  return clean === text ? body : Buffer.from(clean)
}

/**
 * Finds a text as JSON may have it: what is no letter and no digit may be escaped, and PHP, Java and .NET do so with `/`, `=` and `+`. Case
 * counts but for an escape's: some keys are common words, as vLLM's `EMPTY` is.
 */
const inJson = (text: string): RegExp =>
  new RegExp(
    text.replace(/[^a-z\d]/gi, (char) => {
      const code = char.charCodeAt(0).toString(16).padStart(4, '0')
      const eitherCase = code.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)
      return `(?:\\\\?\\u${code}|\\\\u${eitherCase})`
    }),
    'g',
  )

function attemptsOf(call: Call): unknown[] {
  return call.attempts.map(({ target, fault, status }) => ({
    target: target.id,
    provider: target.provider.name,
    fault: fault?.kind ?? null,
    status: status ?? null,
  }))
}
