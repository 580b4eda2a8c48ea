// What people may ask of their own rows: to see them, and to have themselves taken out of them.
import * as z from 'zod'
import { forgetAnswers } from './cache.ts'
import { findUser, hashesOf, readPieces, withLedger } from './reading.ts'
import { filterShape, inOrder, outOfOrder } from './requests.ts'
import { type AdminAnswer, type AdminCall, defineRoute } from './route.ts'
import { named, type Shown, whole, word } from './shape.ts'

const contentTypes = { jsonl: 'application/x-ndjson', csv: 'text/csv; charset=utf-8' } as const

export const exportUser = defineRoute({
  method: 'GET',
  path: '/users/:user/records',
  role: 'operator',
  summary: 'All rows of one end user, as JSON lines or CSV.',
  answers: ['application/x-ndjson', 'text/csv'],
  query: z
    .strictObject({
      format: z.enum(['jsonl', 'csv'], { error: 'expected jsonl or csv' }).default('jsonl'),
      rows: z.enum(['requests', 'attempts'], { error: 'expected requests or attempts' }).default('requests'),
      from: filterShape.from,
      to: filterShape.to,
    })
    .refine(inOrder, outOfOrder),
  async answer({ params, query: { format, rows, from, to }, deps, gone }) {
    const user = await withLedger({ deps, gone }, (ledger) => findUser(ledger, params.user!))
    const pieces = readPieces(deps, ({ reader }) => reader.export({ format, rows, from, to, user }))
    return { streamed: { contentType: contentTypes[format], fileName: `${rows}.${format}`, pieces } }
  },
})

const erasure = named('Erasure', { object: word('erasure'), user: z.string(), requests: whole, answers: whole })

export const eraseUser = defineRoute({
  method: 'DELETE',
  path: '/users/:user/records',
  role: 'admin',
  summary:
    "Takes one end user's hash and tags out of all rows, and the answers to their requests out of the cache. Cannot be undone.",
  reply: erasure,
  answer: (call) => erase(call, call.params.user!),
})

/** The same with the id in the body: paths end up in the access logs of proxies. */
export const eraseUserQuietly = defineRoute({
  method: 'POST',
  path: '/users/erase',
  role: 'admin',
  summary: 'The same, with the user in the body in place of the URL.',
  body: z.strictObject({ user: z.string({ error: 'expected a text' }).min(1).max(512) }),
  reply: erasure,
  answer: (call) => erase(call, call.body.user),
})

async function erase(
  { deps, key }: AdminCall<unknown, unknown>,
  user: string,
): Promise<AdminAnswer<Shown<typeof erasure>>> {
  let erased = 0
  const hashes = await withLedger({ deps }, async (ledger) => {
    const all = hashesOf(ledger, user)
    for (const hash of all) {
      // Before the rows: what is told of a budget meanwhile would be remembered again.
      deps.alerts?.forgetUser(hash)
      erased += await ledger.keeper.erase(hash)
    }
    return all
  })
  // What was answered to them goes, too.
  let answers = 0
  if (deps.cache) {
    for (const owner of hashes) answers += Math.max(...countsOf(await forgetAnswers(deps.cache, { owner })))
  }
  // Not under which hash: the log must not remember whom the ledger has forgotten.
  deps.log.warn('rows of a user were erased', { event: 'erased', key: key.name, count: erased })
  return { json: { object: 'erasure', user: hashes.at(-1)!, requests: erased, answers } }
}

/** An answer may be in memory, in the file, or in both. */
const countsOf = ({ removed, removed_from_disk }: { removed: number; removed_from_disk: number | null }) => [
  removed,
  removed_from_disk ?? 0,
]
