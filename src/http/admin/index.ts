// The control plane: an Express app for /admin. Nothing in it is reached without a key of enough role.
import type { IncomingMessage, ServerResponse } from 'node:http'
import express, { type NextFunction, type Request, type Response, Router } from 'express'
import type { ApiKey } from '../../config/snapshot.ts'
import { Refusal } from '../../dialects/errors.ts'
import { ClientGone } from '../../gateway/call.ts'
import { Denied } from '../../gateway/denied.ts'
import { looksSigned } from '../../gateway/signed.ts'
import { sendRefusal } from '../reply.ts'
import { securityHeaders, sendAnswer } from './answer.ts'
import { readJson, readQuery } from './ask.ts'
import { adminPaths } from './door.ts'
import { verifyToken } from './jwt.ts'
import { mayAct, type Role, roleOf } from './role.ts'
import type { AdminAnswer, AdminCall, AdminDeps, AdminRoute } from './route.ts'
import { adminRoutes } from './table.ts'

export type { AdminDeps, AdminLedger } from './route.ts'

/** A listener for all paths of `isAdminPath`. `routes` is the whole table unless a test hands in its own. */
export function createAdmin(
  deps: AdminDeps,
  routes: readonly AdminRoute[] = adminRoutes,
): (req: IncomingMessage, res: ServerResponse) => void {
  const app = express()
  app.disable('x-powered-by').disable('etag').disable('query parser')
  app.use((_req, res, next) => {
    for (const [name, value] of securityHeaders) res.setHeader(name, value)
    next()
  })
  // Before any route is looked for: who may not come in learns nothing of what there is.
  app.use(async (req, res, next) => {
    const shown = () => deps.gatekeeper.counted(req, () => keyOf(req, deps))
    res.locals.key = await (deps.admission ? deps.admission.door.enter(req, shown) : shown())
    next()
  })
  const router = Router({ caseSensitive: true, strict: true })
  for (const route of routes) {
    router[verbOf(route)](route.path, (req, res, next) => serve(route, req, res, deps).catch(next))
  }
  for (const path of new Set(routes.map((route) => route.path))) {
    const allowed = routes.filter((route) => route.path === path).map((route) => route.method)
    router.all(path, (req, res) => {
      res.setHeader('allow', allowed.join(', '))
      throw new Refusal('method_not_allowed', `Not allowed to ${req.method} on this URL: use ${allowed.join(' or ')}.`)
    })
  }
  app.use([...adminPaths], router)
  app.use((req) => {
    throw new Refusal('invalid_url', `Unknown request URL: ${req.method} ${req.path.slice(0, 256)}`)
  })
  app.use((error: unknown, req: Request, res: Response, _next: NextFunction) => fail(error, req, res, deps))
  return app
}

/** @throws Denied `invalid_api_key` without a good key, `permission_denied` with one that has no role here */
async function keyOf(req: IncomingMessage, deps: AdminDeps): Promise<ApiKey> {
  const snapshot = deps.snapshot()
  const { jwt } = snapshot
  const token = /^bearer +(\S+)$/i.exec(req.headers.authorization ?? '')?.[1]
  if (jwt && token !== undefined && looksSigned(token)) return verifyToken(token, jwt)
  if (snapshot.keys.size === 0 && !deps.keyring?.size) {
    throw new Denied(
      'missing',
      'invalid_api_key',
      'The admin API needs a key, and none is configured: set TURNOUT_MASTER_KEY, or a key with `role: admin`.',
    )
  }
  const key = deps.gatekeeper.operator(req, snapshot)
  if (roleOf(key) === undefined)
    throw new Denied('role', 'permission_denied', 'This key may call models, not operate Turnout.')
  return key
}

async function serve(route: AdminRoute, req: Request, res: Response, deps: AdminDeps): Promise<void> {
  const key = res.locals.key as ApiKey
  requireRole(roleOf(key)!, route.role)
  const query = readQuery(req.url, route.query)
  const body = await readJson(req, route.body)
  const isStillIn = () =>
    keyOf(req, deps).then(
      (now) => mayAct(roleOf(now)!, route.role),
      () => false,
    )
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  const call = { params: paramsOf(req), query, body, key, isStillIn, req, gone: gone.signal, deps }
  const answer = await route.answer(call as never)
  if (route.method !== 'GET' && !('repeated' in answer && answer.repeated)) await audit(route, call, answer)
  await sendAnswer(req, res, answer)
}

/** What was done cannot be taken back because its row could not be written: then the log has to hold it. */
async function audit(
  route: AdminRoute,
  { key, params, deps: { control, log } }: AdminCall<unknown, unknown>,
  answer: AdminAnswer,
): Promise<void> {
  const told = 'json' in answer ? answer.audit : undefined
  // Never other parts of the path: those of `users` are people.
  const { subject = params.id ?? '', before = null, after = null } = told ?? {}
  const verb = route.verb ?? `${route.method} ${route.path}`
  try {
    await control?.audit.add({ actor: key.name, role: key.role, verb, subject, before, after })
  } catch (error) {
    log.error(`no audit row could be written: ${verb} ${subject} by ${key.name}`, {
      event: 'audit',
      key: key.name,
      error,
    })
  }
}

/** A part that takes slashes comes as a list. */
function paramsOf({ params }: Request): Record<string, string> {
  return Object.fromEntries(
    Object.entries(params as Record<string, string | string[]>).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join('/') : value,
    ]),
  )
}

function requireRole(held: Role, needed: Role): void {
  if (mayAct(held, needed)) return
  throw new Refusal('permission_denied', `This needs the role '${needed}'; the key has '${held}'.`)
}

const verbOf = ({ method }: AdminRoute) =>
  ({ GET: 'get', POST: 'post', PUT: 'put', PATCH: 'patch', DELETE: 'delete' })[method] as 'get'

function fail(error: unknown, req: Request, res: Response, { log }: AdminDeps): void {
  if (error instanceof ClientGone || res.destroyed) return
  const refusal = error instanceof Refusal ? error : refusalOf(error)
  if (refusal.code === 'internal_error') log.error('the admin API failed', { event: 'admin', error })
  if (res.headersSent) {
    res.destroy()
    return
  }
  sendRefusal(req, res, refusal, refusal.status === 401 ? ['www-authenticate', 'Bearer'] : [])
}

/** Express marks what is wrong with the request itself (a path that is not validly encoded) with a status. */
function refusalOf(error: unknown): Refusal {
  return (error as { status?: unknown }).status === 400
    ? new Refusal('invalid_value', 'The URL is not validly encoded.')
    : new Refusal('internal_error', 'The gateway failed while it handled this request.')
}
