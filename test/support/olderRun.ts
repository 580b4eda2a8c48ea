// What a run of an older program leaves when it dies: a database without the last migration, and one request in its journal alone.
import { loadDriver } from '../../src/store/driver.ts'
import { journalFile, openJournal } from '../../src/store/journal.ts'
import { migrate, packageMigrations, readMigrations } from '../../src/store/migrate.ts'
import { attemptRow, requestRow } from './ledgerRows.ts'

export function leaveOlderRun(file: string): void {
  const all = readMigrations(packageMigrations)
  const Database = loadDriver()
  const old = new Database(file)
  migrate(old, file, all, 1, all.length - 1)
  old.close()
  const journal = openJournal(journalFile(file), 0)
  journal.append([{ kind: 'settle', request: requestRow(64), attempts: [attemptRow(64)] }])
  journal.close(false)
}
