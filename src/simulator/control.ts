// The simulator's own HTTP surface under `/__sim`: scripts and statistics at run time.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { FOLLOWED_PATH } from './faults.ts'
import type { Ledger } from './record.ts'
import type { ScriptRegistry } from './registry.ts'
import { ScriptError } from './script.ts'

export const CONTROL_PREFIX = '/__sim'

export interface Controlled {
  registry: ScriptRegistry
  ledger: Ledger
  /** Scripts a model, or takes its script away. Throws `ScriptError`. */
  script(model: string, script: unknown): void
}

/** Answers one request. `path` is without the query. */
export function control(req: IncomingMessage, res: ServerResponse, path: string, body: Buffer, it: Controlled): void {
  const { method } = req
  if (path === FOLLOWED_PATH) {
    it.ledger.follow()
    return send(res, 200, { followed: true })
  }
  const model = /^\/__sim\/scripts\/(.+)$/.exec(path)?.[1]
  if (model !== undefined) return controlScript(res, method, model, body, it)
  switch (`${method} ${path}`) {
    case 'GET /__sim':
    case 'GET /__sim/':
      return send(res, 200, { models: it.registry.names })
    case 'GET /__sim/scripts':
      return send(res, 200, it.registry.scripts)
    case 'GET /__sim/stats':
      return send(res, 200, it.ledger.totals())
    case 'DELETE /__sim/stats':
      it.ledger.reset()
      return send(res, 200, it.ledger.totals())
    case 'GET /__sim/calls':
      // The bodies stay inside: they hold prompts, and whoever started the simulator has them at hand.
      return send(
        res,
        200,
        it.ledger.calls.map(({ body: _, ...call }) => call),
      )
    default:
      return send(res, 404, {
        error:
          'Known: GET /__sim, /__sim/calls, GET and DELETE /__sim/stats, GET /__sim/scripts, GET, PUT and DELETE /__sim/scripts/{model}.',
      })
  }
}

function controlScript(
  res: ServerResponse,
  method: string | undefined,
  part: string,
  body: Buffer,
  it: Controlled,
): void {
  const model = decode(part)
  if (model === undefined) return send(res, 400, { error: 'The model name in the path is not URL-encoded text.' })
  if (method === 'GET') {
    const script = it.registry.find(model, undefined)
    return send(res, 200, script)
  }
  if (method === 'DELETE') {
    it.script(model, undefined)
    return send(res, 200, {})
  }
  if (method !== 'PUT') return send(res, 405, { error: 'Use GET, PUT or DELETE.' })
  let value: unknown
  try {
    value = JSON.parse(body.toString('utf8'))
  } catch {
    return send(res, 400, { error: 'The body is not JSON.' })
  }
  try {
    it.script(model, value)
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error
    return send(res, 400, { error: error.message })
  }
  return send(res, 200, it.registry.find(model, undefined))
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

function send(res: ServerResponse, status: number, value: unknown): void {
  const text = Buffer.from(`${JSON.stringify(value)}\n`)
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length })
  res.end(text)
}
