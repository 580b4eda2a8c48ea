// Notices that the database's files are taken away or replaced under the open ledger, and saves what is in it beside where they were.
import { type BigIntStats, mkdirSync, renameSync, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { removeCopy, syncFile } from './backup.ts'
import type { Sqlite } from './driver.ts'
import { LedgerError } from './ledgerRow.ts'

export interface Rescue {
  /**
   * Looks whether the files are those that were opened. What SQLite writes to others is gone with the process: from then on this is the
   * trouble to refuse new calls with, and all that the database holds is copied to `FILE.rescued-TIME`. Never rejects.
   */
  look(): Promise<void>
  readonly trouble: LedgerError | undefined
}

/** @param now Unix milliseconds */
export function makeRescue(db: Sqlite, file: string, now: () => number, tell: (error: LedgerError) => void): Rescue {
  // At once: those that the store has just opened.
  const was = filesOf(file).map((part) => nameOf(statSync(part, { bigint: true, throwIfNoEntry: false })))
  const changesOf = db.prepare('SELECT total_changes()').pluck()
  let trouble: LedgerError | undefined
  let aside: string | undefined
  let saved = -1
  let looking: Promise<void> = Promise.resolve()

  async function look(): Promise<void> {
    const is = await identify(file)
    // What was not there at first is nothing to be missed, and where nobody can look nobody can tell.
    const isGone = was.some((one, place) => one !== '' && is[place] !== unknown && one !== is[place])
    if (!isGone) {
      trouble = undefined
      return
    }
    aside ??= `${file}.rescued-${new Date(now()).toISOString().replaceAll(/[:.]/g, '-')}`
    // Refused from here on: a copy of a large database takes its time.
    trouble ??= describe(file, `being saved to ${aside}`)
    try {
      const changes = changesOf.get() as number
      if (changes !== saved) await save(db, aside)
      saved = changes
      trouble = describe(file, `saved to ${aside}: stop the gateway, and put that back with \`turnout restore\``)
    } catch (error) {
      trouble = describe(
        file,
        `lost with this process, for it cannot be saved to ${aside} (${(error as Error).message})`,
      )
    }
    tell(trouble)
  }

  return {
    look() {
      looking = looking.then(look)
      return looking
    },
    get trouble() {
      return trouble
    },
  }
}

function describe(file: string, fate: string): LedgerError {
  return new LedgerError(
    'io',
    `The database ${file} was removed or replaced while it is in use. What it held is ${fate}.`,
  )
}

/** The copy is whole, or not there. */
async function save(db: Sqlite, target: string): Promise<void> {
  const part = `${target}.part`
  // The folder may have gone with it.
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  removeCopy(part)
  try {
    await db.backup(part)
    syncFile(part)
    renameSync(part, target)
  } finally {
    removeCopy(part)
  }
}

const filesOf = (file: string): string[] => [file, `${file}-wal`]

/** Which file it is; empty for one that is not there. */
const nameOf = (stat: BigIntStats | undefined): string => (stat ? `${stat.dev}:${stat.ino}` : '')

/** Which files the database and its log are now. */
const identify = (file: string): Promise<string[]> =>
  Promise.all(
    filesOf(file).map((part) =>
      stat(part, { bigint: true }).then(nameOf, ({ code }: NodeJS.ErrnoException) =>
        code === 'ENOENT' ? nameOf(undefined) : unknown,
      ),
    ),
  )

const unknown = 'unknown'
