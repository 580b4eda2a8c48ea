// The doors of the data plane: which path and method leads where. Plain node:http; nothing else stands on the hot path.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiKey, Snapshot } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { dialects } from '../dialects/index.ts'
import { type Gatekeeper, refuseStrangers } from '../gateway/admit.ts'
import type { Door, PageName } from '../gateway/door.ts'
import type { Handle } from '../gateway/handle.ts'
import type { LimitGate } from '../gateway/limitGate.ts'
import { setLines } from '../gateway/linedResponse.ts'
import type { TokenCounter } from '../telemetry/tokens/counter.ts'
import { isAdminPath } from './admin/door.ts'
import { corsHeaders, preflightHeaders } from './cors.ts'
import { type Allowance, showLimits } from './limits.ts'
import { type Looking, listModels, showModel, type TargetsOf } from './models.ts'
import { sendJson, sendRefusal } from './reply.ts'
import { answerScrape, type Expose } from './scrape.ts'
import type { StatusPage } from './status.ts'
import { countTokens } from './tokensCount.ts'

export interface DataPlane {
  snapshot(): Snapshot
  readonly targetsOf: TargetsOf
  readonly insecure: boolean
  readonly gatekeeper: Gatekeeper
  readonly door: Door
  readonly limits: LimitGate
  /** What `GET /v1/limits` tells. */
  readonly allowances: readonly Allowance[]
  readonly handle: Handle
  readonly tokens: TokenCounter
  readonly status: StatusPage
  /** The control plane: everything under /admin. */
  readonly admin: (req: IncomingMessage, res: ServerResponse) => void
  /** While draining each reply closes its connection. */
  draining(): boolean
  /** The Prometheus exposition. */
  readonly metrics: Expose
}

type Open = (
  req: IncomingMessage,
  res: ServerResponse,
  rest: string,
  headers: readonly string[],
) => void | Promise<void>

/** As `Open`, for whoever showed this key. */
type Serve = (...args: [...Parameters<Open>, key: ApiKey | undefined]) => void | Promise<void>

/**
 * How a route is admitted; the functions of these names below make it so. `journey`: by the steps of a chat request. `caller`: with a key,
 * as a request of its limits. `account`: with a key, as often as an address may. `page`: without a key, as often as an address may.
 * `probe`: always, because a balancer has to know.
 */
export type Admission = 'journey' | 'caller' | 'account' | 'page' | 'probe'

/** A path of the data plane; a star in it stands for any text. */
export interface DataRoute {
  readonly methods: readonly string[]
  readonly admission: Admission
  readonly open: Open
}

/** All routes but those of the control plane, by path. What is not in it does not exist. */
export function dataRoutes(plane: DataPlane): ReadonlyMap<string, DataRoute> {
  const openai = dialects.get('openai-chat')!
  const chat = journey((req, res, _rest, headers) => plane.handle(req, res, openai, headers))
  const models = caller(plane, ['GET', 'HEAD'], (req, res, _rest, headers, key) =>
    listModels(lookingOf(plane, key), req, res, headers),
  )
  const model = caller(plane, ['GET', 'HEAD'], (req, res, rest, headers, key) =>
    showModel(lookingOf(plane, key), rest, req, res, headers),
  )
  const live = probe((req, res) => plane.status.live(req, res))
  return new Map<string, DataRoute>([
    ['/v1/chat/completions', chat],
    ['/chat/completions', chat],
    ['/openai/v1/chat/completions', chat],
    [
      // Where Azure's clients ask (`AzureOpenAI`, `AzureChatOpenAI`): a deployment there is a route or a model here.
      '/openai/deployments/*/chat/completions',
      journey((req, res, rest, headers) => plane.handle(req, res, openai, headers, decoded(req, rest))),
    ],
    ['/v1/models', models],
    ['/models', models],
    ['/openai/models', models],
    ['/openai/v1/models', models],
    ['/v1/models/*', model],
    ['/openai/models/*', model],
    ['/openai/v1/models/*', model],
    [
      '/v1/tokens/count',
      caller(plane, ['POST'], (req, res, _rest, headers, key) =>
        countTokens(lookingOf(plane, key), plane.tokens, req, res, headers),
      ),
    ],
    ['/v1/limits', account(plane)],
    ['/health', live],
    ['/health/live', live],
    ['/health/ready', probe((req, res) => plane.status.ready(req, res))],
    ['/status', page(plane, 'status', (req, res) => plane.status.show(req, res))],
    ['/metrics', page(plane, 'metrics', (req, res) => answerScrape(req, res, plane.snapshot(), plane.metrics))],
    [
      '/',
      probe((req, res) =>
        sendJson(req, res, 200, { name: 'turnout', docs: 'Point an OpenAI SDK at /v1', status: '/status' }),
      ),
    ],
  ])
}

/** A part of a path. @throws Refusal `invalid_url` where a percent sign stands for nothing */
function decoded(req: IncomingMessage, part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw unknownUrl(req)
  }
}

/** Finds routes whose path has a star, and what stands in its place. */
function makeFinder(
  routes: ReadonlyMap<string, DataRoute>,
): (path: string) => { route: DataRoute; rest: string } | undefined {
  const open = [...routes].flatMap(([pattern, route]) => {
    const star = pattern.indexOf('*')
    return star === -1 ? [] : [{ start: pattern.slice(0, star), end: pattern.slice(star + 1), route }]
  })
  return (path) => {
    const found = open.find(
      ({ start, end }) => path.length > start.length + end.length && path.startsWith(start) && path.endsWith(end),
    )
    return found && { route: found.route, rest: path.slice(found.start.length, path.length - found.end.length) }
  }
}

/** Some clients ask it unless they are told otherwise. */
const noResponses =
  ". Turnout does not serve the Responses API: let the client use chat completions (@ai-sdk/openai: openai.chat(model); @openai/agents: setOpenAIAPI('chat_completions'); LangChain: useResponsesApi: false)."

function unknownUrl(req: IncomingMessage): Refusal {
  const path = (req.url ?? '').split('?', 1)[0]!.slice(0, 256)
  const hint = /\/responses(?:\/|$)/.test(path) ? noResponses : ''
  return new Refusal('invalid_url', `Unknown request URL: ${req.method} ${path}${hint}`)
}

/** The listener for `http.createServer`. Paths that are nobody's get OpenAI's 404. */
export function createDataPlane(plane: DataPlane): (req: IncomingMessage, res: ServerResponse) => void {
  const routes = dataRoutes(plane)
  const find = makeFinder(routes)
  return (req, res) => {
    if (plane.draining()) res.shouldKeepAlive = false
    const url = req.url ?? '/'
    const query = url.indexOf('?')
    const path = query === -1 ? url : url.slice(0, query)
    const known = routes.get(path)
    const found = known ? undefined : find(path)
    let route = known ?? found?.route
    if (path === '/metrics' && plane.snapshot().metrics.port !== undefined) route = undefined
    if (route?.admission !== 'probe') {
      const refusal = plane.door.stop(req)
      if (refusal) return sendRefusal(req, res, refusal)
    }
    if (!route && isAdminPath(path)) return plane.admin(req, res)
    enter(plane, req, res, route, found?.rest ?? '')
  }
}

function enter(
  plane: DataPlane,
  req: IncomingMessage,
  res: ServerResponse,
  entry: DataRoute | undefined,
  rest: string,
): void {
  const headers = req.headers.origin === undefined ? [] : corsHeaders(req, plane.snapshot())
  try {
    if (!entry) throw unknownUrl(req)
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

const journey = (open: Open): DataRoute => ({ methods: ['POST'], admission: 'journey', open })

const probe = (open: Open): DataRoute => ({ methods: ['GET', 'HEAD'], admission: 'probe', open })

/** Names of routes and targets are no secret, but a web page that resolves its own name to loopback need not read them. */
const page = (plane: DataPlane, name: PageName, open: Open): DataRoute => ({
  methods: ['GET', 'HEAD'],
  admission: 'page',
  open(req, res, rest, headers) {
    plane.door.visit(name, req)
    refuseStrangers(req, plane.snapshot(), plane.insecure)
    return open(req, res, rest, headers)
  },
})

const lookingOf = (plane: DataPlane, key: ApiKey | undefined): Looking => ({
  snapshot: plane.snapshot(),
  key,
  targetsOf: plane.targetsOf,
})

const keyOf = (plane: DataPlane, req: IncomingMessage): ReturnType<Gatekeeper['admit']> =>
  plane.door.enter(req, () => plane.gatekeeper.admit(req, plane.snapshot()))

/** What is left of its limits a caller may ask although nothing is. */
const account = (plane: DataPlane): DataRoute => ({
  methods: ['GET', 'HEAD'],
  admission: 'account',
  async open(req, res, _rest, headers) {
    plane.door.visit('limits', req)
    const key = await keyOf(plane, req)
    await showLimits(plane.allowances, lookingOf(plane, key), req, res, headers)
  },
})

const caller = (plane: DataPlane, methods: readonly string[], serve: Serve): DataRoute => ({
  methods,
  admission: 'caller',
  async open(req, res, rest, headers) {
    let key = await keyOf(plane, req)
    const entry = plane.limits.enter({ snapshot: plane.snapshot(), key, req }, res)
    if (!entry) return serve(req, res, rest, headers, key)
    const { lease, refusal } = await entry
    try {
      setLines(res, lease.lines())
      if (refusal) return sendRefusal(req, res, refusal, headers)
      if (entry instanceof Promise) {
        // As in the journey: while it waited for its turn its address or its key may have been kept out.
        const stopped = plane.door.stop(req)
        if (stopped) throw stopped
        key = await keyOf(plane, req)
      }
      await serve(req, res, rest, headers, key)
    } finally {
      lease.release()
    }
  },
})
