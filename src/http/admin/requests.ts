// GET /admin/requests and /admin/requests/{id}: single requests out of the ledger, with their attempts.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import { parseId } from '../../store/ledgerId.ts'
import { moment } from './moment.ts'
import { attemptShape, presentAttempt, presentRequest, requestFields } from './present.ts'
import { findUser, withLedger } from './reading.ts'
import { defineRoute } from './route.ts'
import { listed, named, page, word } from './shape.ts'

export const outcome = z.enum(['ok', 'partial', 'failed', 'refused', 'client_disconnected', 'interrupted'], {
  error: 'expected ok, partial, failed, refused, client_disconnected or interrupted',
})

const text = z.string().min(1, { error: 'may not be empty' }).max(512).optional()

/** A number of a query. Nothing written is none, where JavaScript takes it for 0. */
export const number = (least: number, most: number, error: string) =>
  z.preprocess(
    (text) => (typeof text === 'string' && text.trim() === '' ? Number.NaN : text),
    z.coerce.number({ error }).int().min(least).max(most),
  )

/** A whole one that may be left out. */
export const whole = (least: number, most: number) =>
  number(least, most, `expected a number, a whole one from ${least} to ${most}`).optional()

/** Which page, and how long. */
export const pageShape = {
  limit: whole(1, 1000),
  cursor: z
    .string()
    .transform((value, context) => {
      const before = readCursor(value)
      if (before !== undefined) return before
      context.addIssue({ code: 'custom', message: 'expected the `next_cursor` of the page before' })
      return z.NEVER
    })
    .optional(),
}

/** What a page is of. `model`, `target` and `provider`: some attempt was of it. */
export const filterShape = {
  route: text,
  key: text,
  team: text,
  target: text,
  provider: text,
  model: text,
  outcome: outcome.optional(),
  error: text,
  status: whole(0, 999),
  rollout: text,
  from: moment('from').optional(),
  to: moment('to').optional(),
}

export const inOrder = ({ from, to }: { from?: number | undefined; to?: number | undefined }): boolean =>
  from === undefined || to === undefined || from < to
export const outOfOrder = { path: ['to'], error: 'lies before `from`' }

const query = z
  .strictObject({
    ...filterShape,
    user: text,
    ...pageShape,
  })
  .refine(inOrder, outOfOrder)

export const listRequests = defineRoute({
  method: 'GET',
  path: '/requests',
  role: 'viewer',
  summary: 'Requests, newest first, filtered and in pages.',
  query,
  reply: listed('RequestList', named('Request', requestFields), page),
  async answer({ query: { user, cursor, limit, ...filter }, deps, gone }) {
    const { rows, next } = await withLedger({ deps, gone }, async (ledger) =>
      ledger.reader.requests({
        ...filter,
        user: user === undefined ? undefined : await findUser(ledger, user),
        before: cursor,
        limit: limit ?? 50,
      }),
    )
    return { json: { object: 'list', data: rows.map(presentRequest), ...placeOf(next) } }
  },
})

export const showRequest = defineRoute({
  method: 'GET',
  path: '/requests/:id',
  role: 'viewer',
  summary: 'One request with all its attempts.',
  reply: named('RequestDetail', { object: word('request'), ...requestFields, attempts: z.array(attemptShape) }),
  async answer({ params, deps, gone }) {
    const id = parseId(params.id!)
    if (id === undefined)
      throw new Refusal('invalid_value', "'id': expected the id of a request, such as req_0123456789a.", 'id')
    const found = await withLedger({ deps, gone }, ({ reader }) => reader.request(id))
    if (!found) throw new Refusal('not_found', 'The ledger has no such request.', 'id')
    const { request, attempts } = found
    return { json: { object: 'request', ...presentRequest(request), attempts: attempts.map(presentAttempt) } }
  },
})

/** Where the next page begins. */
export const placeOf = (next: number | undefined) => ({
  has_more: next !== undefined,
  next_cursor: next === undefined ? null : writeCursor(next),
})

/** Opaque, so that what pages go by may change. */
const writeCursor = (before: number): string => Buffer.from(`1:${before}`).toString('base64url')

function readCursor(cursor: string): number | undefined {
  const [, digits] = /^1:(\d{1,16})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
  const before = Number(digits)
  return Number.isSafeInteger(before) ? before : undefined
}
