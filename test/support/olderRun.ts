// What a run of an older program leaves when it dies: a database without the last migration, and one request in its journal alone.
import { loadDriver } from '../../src/store/driver.ts'
import { journalFile, openJournal } from '../../src/store/journal.ts'
import type { RequestRow } from '../../src/store/ledgerRow.ts'
import { migrate, packageMigrations, readMigrations } from '../../src/store/migrate.ts'
import { attemptRow, requestRow } from './ledgerRows.ts'

/** What a journal said of a rollout's request before there were cases. */
export const olderFacts = {
  ...{ rollout: 'my move', revision: 3, arm: 'canary', propensityPpm: 50_000, assignment: 'hash', arrivalSeq: 9 },
  ...{
    firstAttemptClass: 'ok',
    badMask: 4,
    servedArm: 'canary',
    rolloutId: 7,
    attempt: 1,
    epoch: 2_900_000,
    seen: 511,
  },
} as const

export function leaveOlderRun(file: string): void {
  const all = readMigrations(packageMigrations)
  const Database = loadDriver()
  const old = new Database(file)
  migrate(old, file, all, 1, all.length - 1)
  old.close()
  const journal = openJournal(journalFile(file), 0)
  const request = { ...requestRow(64), rollout: olderFacts }
  // The program of then had another form of these.
  journal.append([{ kind: 'settle', request: request as unknown as RequestRow, attempts: [attemptRow(64)] }])
  journal.close(false)
}
