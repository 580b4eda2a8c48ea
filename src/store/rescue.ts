// Notices that the database's files are taken away or replaced under the open ledger, and saves what is in it beside where they were.
import { existsSync, renameSync, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import { removeCopy, syncFile } from './backup.ts'
import { type Sqlite, StoreError } from './driver.ts'
import { journalFile } from './journal.ts'
import { LedgerError } from './ledgerRow.ts'
import { makePrivate } from './privateFile.ts'
import { nameOf, nameOfFile } from './sameFile.ts'
import { logOf, putLogAside, putLogBack } from './strayLog.ts'

export interface Rescue {
  /**
   * Looks whether the files are those that were opened. What SQLite writes to others is gone with the process: from then on this is the
   * trouble to refuse new calls with, and all that the database holds is copied to `FILE.rescued-TIME`. The log is moved out of the place
   * where SQLite would play it into whatever file is put there, and back when its own is. Never rejects.
   */
  look(): Promise<void>
  /** Another journal has been begun in the place of the one that was taken away. */
  followJournal(): void
  /** The last look: what came since the last copy is in it. */
  close(): Promise<void>
  readonly trouble: LedgerError | undefined
}

/**
 * While the trouble lasts refused calls are rows all the same, so that there is always something to copy. A large copy holds up the thread and
 * the disk: the next one waits for a minute, and for so many times what the last one took.
 */
const copyEvery = 60_000
const restOfCopies = 20

/**
 * @param now Unix milliseconds
 * @param keepLock throws where another process has become the writer
 * @param clock milliseconds, never set back
 */
export function makeRescue(
  db: Sqlite,
  file: string,
  now: () => number,
  tell: (error: LedgerError) => void,
  clock: () => number = () => performance.now(),
  keepLock: () => void = () => {},
): Rescue {
  // At once: those that the store has just opened.
  const stats = [...filesOf(file), journalFile(file)].map((part) =>
    statSync(part, { bigint: true, throwIfNoEntry: false }),
  )
  const was = stats.map(nameOf)
  const logAside = stats[0] && logOf(file, stats[0])
  const changesOf = db.prepare('SELECT total_changes()').pluck()
  let trouble: LedgerError | undefined
  let aside: string | undefined
  let saved = -1
  let nextCopy = 0
  let looking: Promise<void> = Promise.resolve()

  // What was not there at first is nothing to be missed, and where nobody can look nobody can tell.
  const isOther = (is: readonly string[], place: number): boolean =>
    was[place] !== '' && is[place] !== unknown && was[place] !== is[place]
  const isOwn = (part: string): boolean => {
    const name = nameOfFile(part)
    return name !== '' && was.includes(name)
  }

  /** At once, before the copy is made: a kill may come at any moment. Returns what is to be said where it cannot be done. */
  function moveLog(isElsewhere: boolean): string {
    if (logAside === undefined) return ''
    try {
      if (isElsewhere) putLogAside(file, logAside, isOwn)
      else if (trouble) putLogBack(file, logAside, isOwn)
      return ''
    } catch (error) {
      return ` ${file}-wal belongs to it, and cannot be moved (${(error as Error).message}): it spoils any other file there.`
    }
  }

  /** Two writers would spend a budget twice: who has not the lock makes no more calls. */
  function lockTrouble(): LedgerError | undefined {
    try {
      keepLock()
      return undefined
    } catch (error) {
      // Where nobody can look nobody can tell.
      if (!(error instanceof StoreError)) return undefined
      return new LedgerError('io', `The lock of ${file} was removed while it is in use. ${error.message}`)
    }
  }

  async function look(isLast: boolean): Promise<void> {
    let is = await identify(file)
    const stuck = moveLog(isOther(is, 0))
    if (!isOther(is, 0)) is = await identify(file)
    if (!isOther(is, 0) && !isOther(is, 1)) {
      trouble = lockTrouble()
      if (trouble) tell(trouble)
      nextCopy = 0
      return
    }
    aside ??= `${file}.rescued-${new Date(now()).toISOString().replaceAll(/[:.]/g, '-')}`
    // Refused from here on: a copy of a large database takes its time.
    const what = isOther(is, 0) ? `The database ${file}` : `The log ${file}-wal of the database`
    trouble ??= describe(what, `being saved to ${aside}.${stuck}`)
    // The copy was taken away as well.
    if (saved >= 0 && !existsSync(aside)) {
      saved = -1
      nextCopy = 0
    }
    if (!isLast && clock() < nextCopy) return tell(trouble)
    const begun = clock()
    try {
      const changes = changesOf.get() as number
      if (changes !== saved) await save(db, aside)
      saved = changes
      trouble = describe(
        what,
        `saved to ${aside}: stop the gateway, and put that back with \`turnout restore\`.${stuck}`,
      )
    } catch (error) {
      trouble = describe(
        what,
        `lost with this process, for it cannot be saved to ${aside} (${(error as Error).message}).${stuck}${hintOf(logAside)}`,
      )
    }
    nextCopy = clock() + Math.max(copyEvery, (clock() - begun) * restOfCopies)
    tell(trouble)
  }

  return {
    look() {
      looking = looking.then(() => look(false))
      return looking
    },
    followJournal() {
      was[3] = nameOfFile(journalFile(file))
    },
    close() {
      looking = looking.then(() => look(true))
      return looking
    },
    get trouble() {
      return trouble
    },
  }
}

function describe(what: string, fate: string): LedgerError {
  return new LedgerError('io', `${what} was removed or replaced while it is in use. What was recorded is ${fate}`)
}

const hintOf = (log: string | undefined): string =>
  log !== undefined && existsSync(log) ? ` The log with its last rows is ${log}.` : ''

/** The copy is whole, or not there. */
async function save(db: Sqlite, target: string): Promise<void> {
  const part = `${target}.part`
  // The folder may have gone with it.
  makeFolder(dirname(target))
  removeCopy(part)
  try {
    makePrivate(part)
    await db.backup(part)
    syncFile(part)
    renameSync(part, target)
  } finally {
    removeCopy(part)
  }
}

const filesOf = (file: string): string[] => [file, `${file}-wal`, `${file}-shm`]

/** Which files the database, its log and the log's index are now. */
const identify = (file: string): Promise<string[]> =>
  Promise.all(
    filesOf(file).map((part) =>
      stat(part, { bigint: true }).then(nameOf, ({ code }: NodeJS.ErrnoException) =>
        code === 'ENOENT' ? nameOf(undefined) : unknown,
      ),
    ),
  )

const unknown = 'unknown'
