// The doors of the data plane: which path and method leads where. Plain node:http; nothing else stands on the hot path.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { dialects } from '../dialects/index.ts'
import { type Gatekeeper, refuseStrangers } from '../gateway/admit.ts'
import type { Handle } from '../gateway/handle.ts'
import type { TokenCounter } from '../telemetry/tokens/counter.ts'
import { isAdminPath } from './admin/index.ts'
import { corsHeaders, preflightHeaders } from './cors.ts'
import { listModels, showModel } from './models.ts'
import { sendJson, sendRefusal } from './reply.ts'
import { answerScrape } from './scrape.ts'
import type { StatusPage } from './status.ts'
import { countTokens } from './tokensCount.ts'

export interface DataPlane {
  snapshot(): Snapshot
  readonly insecure: boolean
  readonly gatekeeper: Gatekeeper
  readonly handle: Handle
  readonly tokens: TokenCounter
  readonly status: StatusPage
  /** The control plane: everything under /admin. */
  readonly admin: (req: IncomingMessage, res: ServerResponse) => void
  /** While draining each reply closes its connection. */
  draining(): boolean
  /** The Prometheus exposition. */
  metrics(): Promise<{ contentType: string; body: string }>
}

type Door = (
  req: IncomingMessage,
  res: ServerResponse,
  rest: string,
  headers: readonly string[],
) => void | Promise<void>

interface Entry {
  methods: readonly string[]
  open: Door
}

/** The listener for `http.createServer`. Paths that are nobody's get OpenAI's 404. */
export function createDataPlane(plane: DataPlane): (req: IncomingMessage, res: ServerResponse) => void {
  const chat: Entry = {
    methods: ['POST'],
    open: (req, res, _rest, headers) => plane.handle(req, res, dialects.get('openai-chat')!, headers),
  }
  const models: Entry = {
    methods: ['GET', 'HEAD'],
    open: withKey(plane, (req, res, _rest, headers) => listModels(plane.snapshot(), req, res, headers)),
  }
  const tokens: Entry = {
    methods: ['POST'],
    open: withKey(plane, (req, res, _rest, headers) => countTokens(plane.snapshot(), plane.tokens, req, res, headers)),
  }
  const exact = new Map<string, Entry>([
    ['/v1/chat/completions', chat],
    ['/chat/completions', chat],
    ['/v1/models', models],
    ['/models', models],
    ['/v1/tokens/count', tokens],
    ['/health', get((req, res) => plane.status.live(req, res))],
    ['/health/live', get((req, res) => plane.status.live(req, res))],
    ['/health/ready', get((req, res) => plane.status.ready(req, res))],
    ['/status', page(plane, (req, res) => plane.status.show(req, res))],
    ['/metrics', page(plane, (req, res) => answerScrape(req, res, plane.snapshot(), plane.metrics))],
    [
      '/',
      get((req, res) =>
        sendJson(req, res, 200, { name: 'turnout', docs: 'Point an OpenAI SDK at /v1', status: '/status' }),
      ),
    ],
  ])
  const oneModel: Entry = {
    methods: ['GET', 'HEAD'],
    open: withKey(plane, (req, res, rest, headers) => showModel(plane.snapshot(), rest, req, res, headers)),
  }

  return (req, res) => {
    if (plane.draining()) res.shouldKeepAlive = false
    const url = req.url ?? '/'
    const query = url.indexOf('?')
    const path = query === -1 ? url : url.slice(0, query)
    let entry = exact.get(path)
    if (path === '/metrics' && plane.snapshot().metrics.port !== undefined) entry = undefined
    if (!entry && isAdminPath(path)) return plane.admin(req, res)
    let rest = ''
    if (!entry && path.startsWith('/v1/models/')) {
      entry = oneModel
      rest = path.slice('/v1/models/'.length)
    }
    enter(plane, req, res, entry, rest)
  }
}

function enter(
  plane: DataPlane,
  req: IncomingMessage,
  res: ServerResponse,
  entry: Entry | undefined,
  rest: string,
): void {
  const headers = req.headers.origin === undefined ? [] : corsHeaders(req, plane.snapshot())
  try {
    if (!entry)
      throw new Refusal(
        'invalid_url',
        `Unknown request URL: ${req.method} ${(req.url ?? '').split('?', 1)[0]!.slice(0, 256)}`,
      )
    if (req.method === 'OPTIONS' && headers.length > 0) {
      res.writeHead(204, [...headers, ...preflightHeaders(req)])
      res.end()
      return
    }
    if (!entry.methods.includes(req.method!)) {
      throw new Refusal('method_not_allowed', `Not allowed to ${req.method} on this URL: use ${entry.methods[0]}.`)
    }
    Promise.resolve(entry.open(req, res, rest, headers)).catch((error: unknown) => fail(req, res, error, headers))
  } catch (error) {
    fail(
      req,
      res,
      error,
      error instanceof Refusal && error.code === 'method_not_allowed'
        ? [...headers, 'allow', entry!.methods.join(', ')]
        : headers,
    )
  }
}

function fail(req: IncomingMessage, res: ServerResponse, error: unknown, headers: readonly string[]): void {
  if (res.headersSent) {
    res.destroy()
    return
  }
  sendRefusal(
    req,
    res,
    error instanceof Refusal
      ? error
      : new Refusal('internal_error', 'The gateway failed while it handled this request.'),
    headers,
  )
}

const get = (open: Door): Entry => ({ methods: ['GET', 'HEAD'], open })

/** Names of routes and targets are no secret, but a web page that resolves its own name to loopback need not read them. */
const page = (plane: DataPlane, open: Door): Entry =>
  get((req, res, rest, headers) => {
    refuseStrangers(req, plane.snapshot(), plane.insecure)
    return open(req, res, rest, headers)
  })

function withKey(plane: DataPlane, open: Door): Door {
  return (req, res, rest, headers) => {
    const key = plane.gatekeeper.admit(req, plane.snapshot())
    return key instanceof Promise ? key.then(() => open(req, res, rest, headers)) : open(req, res, rest, headers)
  }
}
