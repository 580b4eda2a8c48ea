// For who reads the ledger from outside of the gateway: what only the journal holds comes into the database first.
import { rmSync } from 'node:fs'
import { makeBatchWriter } from './batch.ts'
import { StoreError } from './driver.ts'
import { type Damage, hasRecords, journalFile, readJournal } from './journal.ts'
import { isBefore, type JournalPlace, readJournalPlace } from './journalPlace.ts'
import { describeDamage, keepDamaged, replayJournal } from './journalReplay.ts'
import { isHeld } from './lock.ts'
import { isOlder, packageMigrations, readMigrations } from './migrate.ts'
import { openStore, type Store } from './open.ts'
import { waitUntil } from './patience.ts'
import { describeRestore } from './restore.ts'
import { strayLogOf } from './strayLog.ts'

/**
 * Brings the database up to what was durable at the moment of the call: who has got a reply before it finds its row. A gateway that runs
 * on it does so within 20 ms, and is waited for; what a dead one left is brought in here, and its journal removed. Resolves to false when
 * some of it is still in the journal alone: the running gateway cannot write for longer than 2 seconds, or a dead one was of an older program.
 * Rejects with `StoreError` or what SQLite throws when the rows of a dead run cannot be written.
 * @param told why some of it is missing, and what had to be put right for this: a restore that died, a journal that was damaged
 */
export async function catchUp(file: string, told?: (text: string) => void): Promise<boolean> {
  const end = endOfJournal(file)
  if (!end) return true
  const left = bringInLeftovers(file, told)
  if (left !== 'held') return left === 'in'
  const reader = openStore({ file, readonly: true })
  try {
    if (await waitUntil(() => !isBefore(readJournalPlace(reader.db), end))) return true
  } finally {
    reader.close()
  }
  // It may have died meanwhile.
  const last = bringInLeftovers(file, told)
  if (last === 'held')
    told?.(`The gateway that runs on ${file} cannot write to it at the moment: its last rows are not here yet.`)
  return last === 'in'
}

/**
 * Writes what only the journal of a dead run holds into its database, and removes it: `in`. `held` where a gateway runs on the database:
 * it does so by itself, all the time. `left` where a start would change the schema: nothing is done, and that is told. Throws `StoreError` or
 * what SQLite throws when it cannot be written.
 */
export function bringInLeftovers(file: string, told?: (text: string) => void): 'in' | 'held' | 'left' {
  if (!endOfJournal(file)) return 'in'
  if (isOfOlderProgram(file)) {
    // An older gateway may run on it: then nothing is missing in a moment.
    if (isHeld(file)) return 'held'
    // Only a start of the gateway changes the schema: the older program may still be wanted, and could not open it any more.
    told?.(`The last rows of ${file} are missing: a run of an older Turnout died, and the next start brings them in.`)
    return 'left'
  }
  let store: Store
  try {
    // Nothing is served here: for who looks at the runs, the one that died stays the last, and its calls in flight.
    store = openStore({ file, offline: true })
  } catch (error) {
    if (error instanceof StoreError && error.code === 'locked') return 'held'
    throw error
  }
  try {
    if (store.brokenRestore) told?.(describeRestore(file, store.brokenRestore))
    const last = store.db.prepare('SELECT id FROM instance ORDER BY started_at DESC LIMIT 1').pluck().get()
    const damage: Damage = { bytes: 0 }
    replayJournal(store, makeBatchWriter(store.db, (last as string | undefined) ?? ''), undefined, damage)
    const damaged = keepDamaged(file, damage)
    if (damaged) told?.(describeDamage(file, damaged))
    rmSync(journalFile(file), { force: true })
    return 'in'
  } finally {
    store.close()
  }
}

/** Whether a start would change its schema. Throws `StoreError` when there is none, or one that this program does not know. */
export function isOfOlderProgram(file: string): boolean {
  const store = openStore({ file, readonly: true })
  try {
    return isOlder(store.db, readMigrations(packageMigrations))
  } finally {
    store.close()
  }
}

/**
 * The place behind the last record that the database has not; undefined when it has all. Asked first without the writer's lock, which a
 * gateway that starts just now needs.
 */
function endOfJournal(file: string): JournalPlace | undefined {
  // One that was moved aside is back when the database has been opened.
  if (!hasRecords(journalFile(file)) && strayLogOf(file) === undefined) return undefined
  const store = openStore({ file, readonly: true })
  try {
    let end: JournalPlace | undefined
    for (const { place } of readJournal(journalFile(file), readJournalPlace(store.db))) end = place
    return end
  } finally {
    store.close()
  }
}
