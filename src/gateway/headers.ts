// Which headers cross the gateway, in which direction, under which name.
import type { IncomingMessage } from 'node:http'
import type { Provider, Target } from '../config/snapshot.ts'
import type { Loss } from '../dialects/chat.ts'
import type { Held } from './budgetGate.ts'
import { type CacheTurn, tellCache } from './cacheTurn.ts'
import { type Attempt, type Call, speakerOf } from './call.ts'
import { HOPS_HEADER } from './hops.ts'
import type { Lane } from './lane.ts'
import { setLines } from './linedResponse.ts'

const USER_AGENT = 'turnout'

/** Flat name-value list of an upstream call. Nothing of the client's passes but what the provider's own list names. */
export function requestHeaders(
  req: IncomingMessage,
  target: Target,
  lane: Lane,
  stream: boolean,
  hops: number,
): string[] {
  const { provider } = target
  const headers = [
    'content-type',
    'application/json',
    'accept',
    stream ? 'text/event-stream' : 'application/json',
    'accept-encoding',
    'identity',
    'user-agent',
    USER_AGENT,
    HOPS_HEADER,
    String(hops + 1),
  ]
  for (const name in provider.headers) if (!(name in lane.headers)) headers.push(name, provider.headers[name]!)
  for (const name in lane.headers) headers.push(name, lane.headers[name]!)
  for (const name of provider.passHeaders) {
    const value = req.headers[name]
    if (typeof value === 'string' && !(name in provider.headers) && !(name in lane.headers)) headers.push(name, value)
  }
  return headers
}

/**
 * Upstream headers that never reach a client: the hop's own, cookies, those that we set, the vendor's edge talking to browsers, whose
 * account the gateway has at the vendor, and orders to a server in front of us, which would fetch files or addresses of its own for them.
 */
const dropped = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'set-cookie',
  'set-cookie2',
  'content-length',
  'content-encoding',
  'content-type',
  'date',
  'server',
  'via',
  'alt-svc',
  'nel',
  'report-to',
  'reporting-endpoints',
  'strict-transport-security',
  'content-security-policy',
  'x-powered-by',
  'x-accel-buffering',
  'x-accel-charset',
  'x-accel-expires',
  'x-accel-limit-rate',
  'x-accel-redirect',
  'x-lighttpd-send-file',
  'x-reproxy-url',
  'x-sendfile',
  'www-authenticate',
  'clear-site-data',
  'refresh',
  'openai-organization',
  'openai-project',
  'anthropic-organization-id',
  'cf-cache-status',
  'vary',
  'location',
])

/** Characters of a vendor's headers that pass. Clients take 16 KB at most, proxies 8, and a reply with more would be lost with its answer. */
const MOST_PASSED = 6 * 1024

type UpstreamHeaders = Readonly<Record<string, string | string[] | undefined>>

const secrets = new WeakMap<Provider, readonly string[]>()

/** A provider's credentials. Some servers echo what they were sent: whatever of theirs goes to a client is searched for these. */
export function secretsOf(provider: Provider): readonly string[] {
  let found = secrets.get(provider)
  if (!found) {
    // A configured header may be the key of a proxy in between, who says it back without its scheme; short ones are flags and versions.
    const values = Object.values(provider.headers).flatMap((value) => [
      value,
      ...value.split(/^(?:Basic|Bearer) +/i).slice(1),
    ])
    const long = values.filter((value) => value.length >= 16)
    found = provider.apiKey === undefined || provider.apiKey.length < 4 ? long : [provider.apiKey, ...long]
    secrets.set(provider, found)
  }
  return found
}

/**
 * Flat name-value list of what the upstream's reply tells the client. What there is no room for is left out.
 * @param attempt whose reply it is
 */
export function passedHeaders(upstream: UpstreamHeaders, call: Call, attempt = call.attempts.at(-1)): string[] {
  const hidden = secretsOf(attempt!.target.provider)
  const headers: string[] = []
  let room = MOST_PASSED
  const listed = connectionListed(upstream)
  for (const name in upstream) {
    if (dropped.has(name) || name.startsWith('access-control-') || name.startsWith('x-turnout-') || listed?.has(name))
      continue
    const value = upstream[name]
    if (value === undefined) continue
    let text = typeof value === 'string' ? value : value.join(', ')
    for (const secret of hidden) if (text.includes(secret)) text = text.replaceAll(secret, '***')
    text = printable(text)
    if (name.length + text.length > room) continue
    room -= name.length + text.length
    headers.push(clientName(name, call), text)
  }
  return headers
}

/** Its request id moves aside for ours, and so does what it says of its limits where ours are what counts. */
function clientName(name: string, call: Call): string {
  if (name === 'x-request-id') return 'x-upstream-request-id'
  return call.lease && name.startsWith('x-ratelimit-') ? `x-upstream-${name.slice(2)}` : name
}

/** Headers that `Connection` names are the hop's own too (RFC 9110, 7.6.1). */
function connectionListed(upstream: UpstreamHeaders): Set<string> | undefined {
  const { connection } = upstream
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined
  // It may come more than once.
  return new Set(
    String(connection)
      .split(',')
      .map((name) => name.trim().toLowerCase()),
  )
}

/**
 * Begins the reply with what every one of ours carries, as far as it is known.
 * @param headers the rest: what Node has to know of, and all that others choose
 * @param lines more of our own, as `setLines` takes them
 */
export function writeHead(call: Call, status: number, headers: string[], lines = ''): void {
  const { res, doorHeaders } = call
  setLines(res, ownLines(call) + lines)
  res.writeHead(status, doorHeaders.length === 0 ? headers : [...doorHeaders, ...headers])
}

/** All values are of our own making, or from `headerText`. */
function ownLines(call: Call): string {
  let lines = `x-request-id: ${call.id}\r\nx-turnout-config: ${call.snapshot.version}\r\n`
  if (call.trace) lines += `x-turnout-trace: ${call.trace.traceId}\r\n`
  const attempt = speakerOf(call)
  if (call.cache) lines += cacheLines(call, call.cache, attempt)
  else if (attempt) lines += attemptLines(call, attempt)
  if (call.snapshot.bypass) lines += 'x-turnout-bypass: on\r\n'
  if (call.assigned) lines += `x-turnout-rollout: ${headerText(call.assigned.label)}\r\n`
  if (call.lease) lines += call.lease.lines()
  if (call.degradedFrom !== undefined) lines += `x-turnout-degraded-from: ${headerText(call.degradedFrom)}\r\n`
  return lines
}

/** An answer out of the cache names whom it came from, and what that target was not told. */
function cacheLines(call: Call, turn: CacheTurn, attempt: Attempt | undefined): string {
  let lines = `x-turnout-cache: ${tellCache(turn)}\r\n`
  if (turn.key !== undefined) lines += `x-turnout-cache-key: ${turn.key}\r\n`
  const source = turn.entry ?? turn.source
  if (!source) return attempt ? lines + attemptLines(call, attempt) : lines
  const { target, provider, model, dropped } = source
  lines += targetLines(target, provider, model)
  lines += `x-turnout-attempts: ${call.attempts.length}\r\n`
  if (dropped !== '') lines += `x-turnout-dropped-params: ${dropped}\r\n`
  return lines
}

/** What was said of each target last: mostly the same is to be said again. */
const said = new WeakMap<Target, { readonly model: string; readonly lane: string; readonly lines: string }>()

function attemptLines(call: Call, { target, lane, losses, held }: Attempt): string {
  const model = modelFor(target, call)
  let last = said.get(target)
  if (last === undefined || last.model !== model || last.lane !== lane) {
    last = { model, lane, lines: `${targetLines(target.id, target.provider.name, model)}x-turnout-lane: ${lane}\r\n` }
    said.set(target, last)
  }
  let lines = `${last.lines}x-turnout-attempts: ${call.attempts.length}\r\n`
  if (losses.length > 0) lines += `x-turnout-dropped-params: ${lossNames(losses)}\r\n`
  if (held) lines += heldLines(held)
  return lines
}

const targetLines = (target: string, provider: string, model: string): string =>
  `x-turnout-target: ${headerText(target)}\r\nx-turnout-provider: ${headerText(provider)}\r\nx-turnout-model: ${headerText(model)}\r\n`

/** What budgets did to the request: the cap that they gave it, soft ones that it may take over, and whether its cost has no bound. */
function heldLines({ cap, reservation }: Held): string {
  let lines = ''
  if (cap !== undefined) lines += `x-turnout-max-tokens: ${cap}\r\n`
  if (reservation.exceeded.length > 0)
    lines += `x-turnout-budget-exceeded: ${headerText(reservation.exceeded.join(', '))}\r\n`
  if (reservation.unbounded) lines += 'x-turnout-budget-unbounded: true\r\n'
  return lines
}

/** The model that a target is asked for: `*` passes the client's own word on, less the provider's name before it. */
export function modelFor(target: Target, call: Call): string {
  return wireModel(target, call.inspected?.ask.model ?? '')
}

/** As `modelFor`, for the name that was asked for. */
export function wireModel(target: Target, asked: string): string {
  if (target.model !== '*') return target.model
  const prefix = `${target.provider.name}/`
  return asked.startsWith(prefix) ? asked.slice(prefix.length) : asked
}

/** A value that no header check refuses: other characters are percent-encoded, and it is cut at 256 characters. */
function headerText(value: string): string {
  return value.length <= 256 ? printable(value) : printable(value.slice(0, 256)).slice(0, 768)
}

const printable = (value: string): string =>
  /^[\x20-\x7e]*$/.test(value) ? value : value.replace(/[^\x20-\x7e]+/g, (odd) => encodeOdd(odd))

function encodeOdd(text: string): string {
  return Array.from(Buffer.from(text, 'utf8'), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(
    '',
  )
}

/** The parameters that a target was not told of: names alone, each once, in the order found. */
export const lossNames = (losses: readonly Loss[]): string =>
  losses.length === 0 ? '' : headerText([...new Set(losses.map(({ param }) => param))].join(', '))
