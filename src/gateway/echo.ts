// Shows an operator the request that a target would be sent, in place of sending it: for debugging translations.
import { parseJson, writeJson } from '../dialects/exactJson.ts'
import type { Call } from './call.ts'
import { requestHeaders, writeHead } from './headers.ts'
import { laneFor } from './lanes.ts'
import type { Plan } from './plan.ts'
import { says } from './switches.ts'

/**
 * `x-turnout-echo: request`, with an admin key; where the gateway knows no keys at all for everyone, who is on this machine then. A file
 * without keys is not enough: virtual keys and signed tokens let others in, and what is shown has the operator's prompt and parameters.
 */
export function wantsEcho({ req, key }: Call): boolean {
  return says(req.headers, 'x-turnout-echo', 'request') && (key === undefined || key.role === 'admin')
}

/** Answers with the first target's request. Credentials are left out. Nothing goes upstream. */
export function echo(call: Call, plan: Plan): void {
  const target = plan.targets[0]!
  const { lane } = laneFor(call, target)
  const secrets = new Set(Object.keys(target.provider.headers))
  const headers: Record<string, string> = {}
  const flat = requestHeaders(call.req, target, lane, call.inspected!.ask.stream, 0)
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at]!
    headers[name] = secrets.has(name) ? '***' : flat[at + 1]!
  }
  const body = writeJson({
    target: target.id,
    lane: lane.name,
    method: 'POST',
    url: `${target.provider.origin}${target.provider.basePath}${lane.path}`,
    headers,
    body: parseJson(lane.body.toString('utf8')),
    losses: lane.losses,
  })
  call.status = 200
  call.outcome = 'ok'
  writeHead(call, 200, ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))])
  call.res.end(body)
}
