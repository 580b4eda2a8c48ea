// Holds the ledger's database as another program would, from a connection of its own.
import { setImmediate as turn } from 'node:timers/promises'
import { loadDriver } from '../../../src/store/driver.ts'

export interface DbLock {
  /** Lets others write again. Safe to call twice. */
  release(): void
  /**
   * Ends the connection, too. The last one to be closed moves the log into the file and removes it: after a kill that is
   * the next start's work, so close only then.
   */
  close(): void
}

/** Waits for its turn between the writer's commits without stopping the event loop. `EXCLUSIVE` is the same in WAL mode. */
export async function lockDatabase(file: string, kind: 'IMMEDIATE' | 'EXCLUSIVE' = 'IMMEDIATE'): Promise<DbLock> {
  const Database = loadDriver()
  const db = new Database(file, { fileMustExist: true, timeout: 0 })
  for (;;) {
    try {
      db.exec(`BEGIN ${kind}`)
      break
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
      await turn()
    }
  }
  const release = (): void => void (db.inTransaction && db.exec('ROLLBACK'))
  return {
    release,
    close() {
      release()
      db.close()
    },
  }
}
