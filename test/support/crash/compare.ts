// Holds three stories of one round against each other: what clients saw, what the vendor delivered, what the ledger holds.
import type { Call } from '../../../src/simulator/call.ts'
import { parseId } from '../../../src/store/ledgerId.ts'
import type { StoredAttempt, StoredRequest } from '../../../src/store/requestRead.ts'
import { billOf } from '../ledgerGateway.ts'
import { groupBy, type Rows } from './rows.ts'
import type { Sighting } from './traffic.ts'

export interface Stories {
  readonly sightings: readonly Sighting[]
  /** With their bodies. */
  readonly calls: readonly Call[]
  readonly rows: Rows
  /** The installation's hash of a user's id. */
  hash(user: string): string
  /** From this moment on a row may be missing: what the mode `relaxed` admits. Both clocks; nothing may where it is absent. */
  readonly forgiven?: { readonly monotonic: number; readonly unix: number } | undefined
}

export interface Findings {
  /** In words; empty when all agree. */
  readonly wrong: string[]
  requests: number
  whole: number
  refused: number
  cut: number
  calls: number
  rows: number
  attempts: number
  /** Calls of the run that died, booked by estimate. */
  orphans: number
  /** Whole replies and calls without a row, forgiven. */
  lost: number
  /** Nano-USD of the attempts whose tokens are the vendor's, and what the vendor charges for the same calls. */
  exactCost: bigint
  exactBill: bigint
  /** Nano-USD of the others. */
  estimatedCost: bigint
}

export const noFindings = (): Findings => ({
  wrong: [],
  requests: 0,
  whole: 0,
  refused: 0,
  cut: 0,
  calls: 0,
  rows: 0,
  attempts: 0,
  orphans: 0,
  lost: 0,
  exactCost: 0n,
  exactBill: 0n,
  estimatedCost: 0n,
})

/** What the vendor never gave a usage for; all other calls that ended are exact. */
const withoutUsage = new Set(['sim-silent', 'sim-broken'])

/** Call when the round is over, the next run has settled what was left, and no call is running at the vendor. */
export function compare(stories: Stories): Findings {
  const found = noFindings()
  const { sightings, rows } = stories
  const calls = groupBy(stories.calls, userOf)
  const known = new Set<string>()
  for (const sighting of sightings) {
    const hash = stories.hash(sighting.user)
    known.add(hash)
    const own = rows.requests.get(hash) ?? []
    found.requests++
    found[sighting.seen]++
    found.wrong.push(...compareOne(sighting, calls.get(sighting.user) ?? [], own, stories, found))
    calls.delete(sighting.user)
  }
  for (const [user, list] of calls) found.wrong.push(`the vendor had ${list.length} calls of ${user}, whom nobody sent`)
  for (const [hash, list] of rows.requests) {
    found.rows += list.length
    if (!known.has(hash)) found.wrong.push(`${list.length} rows of the user ${hash}, whom nobody sent`)
  }
  if (found.exactCost !== found.exactBill)
    found.wrong.push(`the exact rows cost ${found.exactCost}, the vendor's bill is ${found.exactBill}`)
  return found
}

function compareOne(
  sighting: Sighting,
  calls: readonly Call[],
  own: readonly StoredRequest[],
  { rows, forgiven }: Stories,
  found: Findings,
): string[] {
  found.calls += calls.length
  const name = `${sighting.model}${sighting.stream ? ' (stream)' : ''} ${sighting.user}, seen ${sighting.seen} ${sighting.status}`
  const [row, ...more] = own
  if (more.length > 0) return [`${name}: ${own.length} rows`]
  const isForgiven =
    forgiven !== undefined &&
    (sighting.seen === 'cut' || sighting.at >= forgiven.monotonic) &&
    calls.every(({ startedAt }) => startedAt >= forgiven.unix)
  const isDenied = sighting.text.includes('"code":"ledger_unavailable"')
  if (!row) {
    if ((sighting.seen === 'cut' || isDenied) && calls.length === 0) return []
    if (!isForgiven) return [`${name}: no row, ${calls.length} upstream calls`]
    found.lost++
    return []
  }
  const attempts = rows.attempts.get(row.id) ?? []
  found.attempts += attempts.length
  const wrong = row.outcome === 'interrupted' ? [] : compareSeen(sighting, calls, row, isDenied)
  if (row.outcome !== 'interrupted') wrong.push(...compareSettled(calls, attempts, found))
  else if (sighting.seen !== 'cut' && !isForgiven && !isDenied) wrong.push('interrupted')
  else if (sighting.seen !== 'cut' && !isDenied) found.lost++
  if (row.outcome === 'interrupted') wrong.push(...compareOrphans(calls, attempts, isForgiven, found))
  return wrong.map((text) => `${name}: row ${row.outcome} ${row.status}, ${text}`)
}

/** A client that was told that its reply is not on record may find it there later: rows are kept until they can be written. */
function compareSeen(sighting: Sighting, calls: readonly Call[], row: StoredRequest, isDenied: boolean): string[] {
  const wrong: string[] = []
  const seen = isDenied ? 'cut' : sighting.seen
  const expected = { whole: ['ok'], refused: ['failed', 'refused'], cut: ['ok', 'partial', 'failed', 'refused'] }[seen]
  if (!expected.includes(row.outcome)) wrong.push(`not one of ${expected}`)
  if (seen !== 'cut' && row.status !== sighting.status) wrong.push('another status')
  if (sighting.requestId !== undefined && parseId(sighting.requestId) !== row.id)
    wrong.push(`another id than ${sighting.requestId}`)
  if (seen === 'whole' && !sighting.replyId?.endsWith(calls.at(-1)?.id ?? 'none'))
    wrong.push(`${sighting.replyId} is not the vendor's ${calls.at(-1)?.id}`)
  return wrong
}

/** The gateway lived to the end of the request: every call is a row and every row a call, token for token. */
function compareSettled(calls: readonly Call[], attempts: readonly StoredAttempt[], found: Findings): string[] {
  if (attempts.length !== calls.length) return [`${attempts.length} attempts of ${calls.length} upstream calls`]
  return attempts.flatMap((attempt, at) => {
    const call = calls[at]!
    if (attempt.model !== call.model) return [`attempt ${at + 1} is of ${attempt.model}, the call was of ${call.model}`]
    if (attempt.estimated === 1) {
      found.estimatedCost += BigInt(attempt.cost ?? 0)
      return withoutUsage.has(attempt.model) ? [] : [`attempt ${at + 1} of ${attempt.model} is an estimate`]
    }
    found.exactCost += BigInt(attempt.cost ?? 0)
    found.exactBill += billOf([call])
    const booked = [
      attempt.input + attempt.cache_read + attempt.cache_write_5m + attempt.cache_write_1h + attempt.audio_in,
      attempt.cache_read,
      attempt.output + attempt.reasoning + attempt.audio_out,
      attempt.reasoning,
    ]
    const billed = [call.promptTokens, call.cachedTokens, call.completionTokens, call.reasoningTokens]
    return booked.join() === billed.join() ? [] : [`attempt ${at + 1} books ${booked}, the vendor counted ${billed}`]
  })
}

/** The gateway died in the middle: a call is announced before it is made, so that there are as many rows as calls or more. */
function compareOrphans(
  calls: readonly Call[],
  attempts: readonly StoredAttempt[],
  isForgiven: boolean,
  found: Findings,
): string[] {
  found.orphans += attempts.length
  if (attempts.length < calls.length && !isForgiven)
    return [`${attempts.length} attempts of ${calls.length} upstream calls`]
  return attempts.flatMap(({ estimated, cost, fault, input, n }) => {
    found.estimatedCost += BigInt(cost ?? 0)
    const isEstimate = estimated === 1 && cost !== null && cost > 0 && input > 0 && fault === 'interrupted'
    return isEstimate ? [] : [`attempt ${n} is no estimate`]
  })
}

function userOf(call: Call): string {
  try {
    const { user } = JSON.parse(call.body?.toString('utf8') ?? '') as { user?: string }
    return user ?? ''
  } catch {
    return ''
  }
}
