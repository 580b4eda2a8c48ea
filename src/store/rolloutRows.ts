// Reads back what requests have added to the evidence of a rollout, out of their rows.
import { policyFor } from '../config/rolloutSettings.ts'
import type { RolloutDefinition, StoredRecord } from '../config/rolloutTypes.ts'
import type { Sqlite } from './driver.ts'
import { firstIdOf } from './ledgerId.ts'

/** Requests are given their ids at the door, and their place in the rollout when their body is there: not later than this, in milliseconds. */
const slowestBody = 3_600_000

interface Row {
  id: number
  revision: number
  arm: string
  propensity_ppm: number
  unit: string | null
  arrival_seq: number
  first_attempt: string
  bad_mask: number
  epoch: number
  seen: number
  shares: string | null
}

/** Those of one attempt that are evidence, in the order of their ids. Rows are read one by one: there may be millions. */
export const readRecords = (db: Sqlite, rollout: number, attempt: number, since: number): Generator<StoredRecord> =>
  readBetween(db, rollout, attempt, firstIdFor(since), Number.MAX_SAFE_INTEGER)

/** No row of an attempt has a smaller id. @param since Unix milliseconds with which it began */
export const firstIdFor = (since: number): number => firstIdOf(since - slowestBody)

/** Those with ids of `[from, to)`. */
export function* readBetween(
  db: Sqlite,
  rollout: number,
  attempt: number,
  from: number,
  to: number,
): Generator<StoredRecord> {
  const rows = db
    .prepare(
      `SELECT x.id, c.revision, a.text AS arm, c.propensity_ppm, x.unit, x.arrival_seq, f.text AS first_attempt, c.bad_mask, x.epoch,
        c.seen, x.shares
       FROM request_rollout x CROSS JOIN rollout_case c ON c.id = x.case_id
       JOIN name a ON a.id = c.arm JOIN name f ON f.id = c.first_attempt_class
       WHERE x.id >= @from AND x.id < @to AND x.case_id IN
         (SELECT id FROM rollout_case WHERE rollout_id = @rollout AND attempt = @attempt AND seen IS NOT NULL) ORDER BY x.id`,
    )
    .iterate({ from, to, rollout, attempt }) as IterableIterator<Row>
  for (const row of rows) {
    yield {
      id: row.id,
      revision: row.revision,
      arrival: row.arrival_seq,
      unit: row.unit ?? undefined,
      firstAttempt: row.first_attempt,
      record: {
        epoch: row.epoch,
        ppm: row.propensity_ppm,
        canary: row.arm === 'canary',
        seen: row.seen,
        bad: row.bad_mask,
        shares: row.shares === null ? undefined : (JSON.parse(row.shares) as Record<number, number>),
      },
    }
  }
}

/** What early ones lack is what holds for everybody who says nothing. */
export function readDefinition(text: string): RolloutDefinition {
  const stored = JSON.parse(text) as RolloutDefinition
  const lacked = { policy: policyFor(stored.assign.unit), excludeKeys: [], inFlight: 'redispatch', notify: [] } as const
  return 'policy' in stored ? stored : { ...(stored as RolloutDefinition), ...lacked }
}
