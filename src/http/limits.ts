// GET /v1/limits: what a caller may still ask for, by its own limits and whatever else bounds it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal } from '../dialects/errors.ts'
import type { Caller, LimitGate } from '../gateway/limitGate.ts'
import { type Looking, requireModel } from './models.ts'
import { sendJson } from './reply.ts'

/** One field of the answer, and what stands in it for a caller. A list, empty where nothing bounds the caller in that way. */
export type Allowance = readonly [
  field: string,
  of: (caller: Caller) => readonly unknown[] | Promise<readonly unknown[]>,
]

/** The limits of a gate as an allowance. */
export const limitAllowance = (gate: LimitGate): Allowance => [
  'limits',
  (caller) =>
    gate.states(caller).map(({ name, kind, scope, limit, remaining, resetMs, windowMs }) => ({
      name,
      kind,
      scope,
      limit,
      remaining,
      reset_seconds: kind === 'concurrency' ? null : Math.ceil(resetMs / 1000),
      window_seconds: kind === 'concurrency' ? null : windowMs / 1000,
    })),
]

/**
 * Answers for the key that asks. With `?model=` also what bounds that model's route, with `?user=` what bounds that end user.
 * Rejects with a `Refusal`: `invalid_value` for other parameters, `model_not_found`, `model_not_allowed`, `ledger_unavailable`.
 */
export async function showLimits(
  allowances: readonly Allowance[],
  looking: Looking,
  req: IncomingMessage,
  res: ServerResponse,
  headers: readonly string[],
): Promise<void> {
  const { snapshot, key } = looking
  const { model, user } = readQuestion(req)
  const route = model === undefined ? undefined : requireModel(looking, model).route
  const caller: Caller = { snapshot, key, route, user: key?.user ?? user, req }
  const fields = await Promise.all(allowances.map(async ([field, of]) => [field, await of(caller)] as const))
  sendJson(
    req,
    res,
    200,
    {
      object: 'limits',
      key: key?.name ?? null,
      team: key?.team ?? null,
      route: route?.name ?? null,
      ...Object.fromEntries(fields),
    },
    headers,
  )
}

function readQuestion(req: IncomingMessage): { model?: string; user?: string } {
  const { url = '' } = req
  const at = url.indexOf('?')
  const asked: { model?: string; user?: string } = {}
  for (const [name, value] of new URLSearchParams(at === -1 ? '' : url.slice(at))) {
    if (name !== 'model' && name !== 'user')
      throw new Refusal('invalid_value', 'This URL takes the parameters `model` and `user`.', name.slice(0, 64))
    if (value !== '') asked[name] = value
  }
  return asked
}
