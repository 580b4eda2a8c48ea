// The log of a database that was taken from its place: beside another file SQLite would play it into that one, and spoil it.
import { type BigIntStats, existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { StoreError } from './driver.ts'
import { hasRecords, journalFile } from './journal.ts'

/**
 * Where the log of that very file waits for it. A number of an inode is given anew to later files, the time of birth is not; where the
 * file system knows none, only the process that put the log aside takes it back.
 */
export const logOf = (file: string, { dev, ino, birthtimeNs }: BigIntStats): string =>
  `${file}.log-of-${dev}-${ino}-${birthtimeNs}`

/**
 * Of the log; its index would be made anew by a next process, but the one that has it open goes on with it; and of the journal, whose rows
 * the next start would bring into whatever database it finds beside it.
 */
const pairs = (file: string, aside: string): [part: string, aside: string][] => [
  [`${file}-wal`, aside],
  [`${file}-shm`, `${aside}.index`],
  [journalFile(file), `${aside}.journal`],
]

/**
 * Moves log, index and journal out of the place of `file`, as far as they are those that were opened. Who has them open goes on writing to them.
 * The journal only with the log: a log that somebody else has moved comes back without us.
 */
export function putLogAside(file: string, aside: string, isOwn: (part: string) => boolean): void {
  for (const [part, to] of pairs(file, aside))
    if (isOwn(part) && (part !== journalFile(file) || existsSync(aside))) renameSync(part, to)
}

/**
 * Back to the file that they belong to, in the process that has them open. Never over rows that another program has written there; a log
 * without any is what a program leaves that has only read. The log comes last: as long as it is aside, this is not done.
 */
export function putLogBack(file: string, aside: string, isOwn: (part: string) => boolean): void {
  if (!existsSync(aside)) {
    // Somebody else had the log, and has brought it back: a process that reads has to find the index that is in use.
    if (existsSync(`${aside}.index`) && isOwn(`${file}-wal`)) renameSync(`${aside}.index`, `${file}-shm`)
    return
  }
  if (hasOthers(file, aside)) return
  for (const [part, from] of pairs(file, aside).toReversed()) if (existsSync(from)) renameSync(from, part)
}

/** Rows of another database than the one whose log waits: in a log, or in a journal beside the one that waits, too. */
const hasOthers = (file: string, aside: string): boolean =>
  (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0 ||
  (existsSync(`${aside}.journal`) && hasRecords(journalFile(file)))

/** The log that waits for the file that stands there now. */
export function strayLogOf(file: string): string | undefined {
  const is = statSync(file, { bigint: true, throwIfNoEntry: false })
  if (!is || is.birthtimeNs === 0n) return undefined
  const aside = logOf(file, is)
  return existsSync(aside) ? aside : undefined
}

/**
 * Moves what is of another database out of the way of the log that waits: whoever puts a copy in place has decided which is whose. Only for who
 * holds the writer's lock.
 */
export function putOthersAside(file: string, now: number): void {
  const aside = strayLogOf(file)
  if (aside === undefined || !hasOthers(file, aside)) return
  const to = `${file}.log-of-another-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`
  // Where ours has none waiting it stands there itself.
  if (existsSync(`${aside}.journal`) && existsSync(journalFile(file))) renameSync(journalFile(file), `${to}.journal`)
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, to)
}

/**
 * What `putLogBack` does, by a later process, which must hold the writer's lock. Throws `StoreError` where another log is in its place: whichever were
 * taken, the other one would be played into the file after it, and undo what is written from now on.
 */
export function takeLogBack(file: string): void {
  const aside = strayLogOf(file)
  if (aside === undefined) return
  if (hasOthers(file, aside)) {
    throw new StoreError(
      'two_logs',
      file,
      `Two logs claim the database ${file}: its own waits as ${aside}, and ${file}-wal or ${journalFile(file)} is of another that stood there meanwhile. Move these and ${file}-shm to that one, or put the copy ${file}.rescued-… in place with \`turnout restore\`.`,
    )
  }
  // Another index belongs to the log that was there, and is made anew.
  rmSync(`${file}-shm`, { force: true })
  if (existsSync(`${aside}.journal`)) renameSync(`${aside}.journal`, journalFile(file))
  renameSync(aside, `${file}-wal`)
  rmSync(`${aside}.index`, { force: true })
}
