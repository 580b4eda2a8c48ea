// Reads the requests of one rollout out of the ledger, in pages.
import type { Sqlite } from './driver.ts'
import { type RequestPage, readRequests } from './requestRead.ts'
import { firstIdFor } from './rolloutRows.ts'

export interface RolloutPageAsk {
  /** The rollout, and when it was made (Unix milliseconds): it has no requests that are older. */
  readonly rollout: number
  readonly since: number
  readonly arm?: 'stable' | 'canary' | undefined
  readonly assignment?: string | undefined
  readonly attempt?: number | undefined
  readonly revision?: number | undefined
  readonly outcome?: string | undefined
  /** Requests with ids below it: the `next` of the page before. */
  readonly before?: number | undefined
  readonly limit: number
}

/** Newest first. `next` is undefined on the last page. */
export function readRolloutPage(db: Sqlite, ask: RolloutPageAsk): RequestPage {
  const { since, limit, ...filter } = ask
  const cases = ['rollout_id = @rollout']
  const nameId = (name: string): string => `coalesce((SELECT id FROM name WHERE text = @${name}), -1)`
  if (filter.arm !== undefined) cases.push(`arm = ${nameId('arm')}`)
  if (filter.assignment !== undefined) cases.push(`assignment = ${nameId('assignment')}`)
  if (filter.attempt !== undefined) cases.push('attempt = @attempt')
  if (filter.revision !== undefined) cases.push('revision = @revision')
  const terms = ['x.id >= @from', `x.case_id IN (SELECT id FROM rollout_case WHERE ${cases.join(' AND ')})`]
  if (filter.before !== undefined) terms.push('x.id < @before')
  if (filter.outcome !== undefined)
    terms.push(`EXISTS (SELECT 1 FROM request r WHERE r.id = x.id AND r.outcome = ${nameId('outcome')})`)
  const values = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
  const ids = db
    .prepare(`SELECT x.id FROM request_rollout x WHERE ${terms.join(' AND ')} ORDER BY x.id DESC LIMIT @most`)
    .pluck()
    .all({ ...values, from: firstIdFor(since), most: limit + 1 }) as number[]
  const shown = ids.slice(0, limit)
  return { rows: readRequests(db, shown), next: ids.length > limit ? shown.at(-1) : undefined }
}
