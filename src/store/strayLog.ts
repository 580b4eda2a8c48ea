// The log of a database that was taken from its place: beside another file SQLite would play it into that one, and spoil it.
import { type BigIntStats, existsSync, renameSync, rmSync, statSync } from 'node:fs'

/**
 * Where the log of that very file waits for it. A number of an inode is given anew to later files, the time of birth is not; where the
 * file system knows none, only the process that put the log aside takes it back.
 */
export const logOf = (file: string, { dev, ino, birthtimeNs }: BigIntStats): string =>
  `${file}.log-of-${dev}-${ino}-${birthtimeNs}`

/** Of the log; that of its index would be made anew by a next process, but the one that has it open goes on with it. */
const pairs = (file: string, aside: string): [part: string, aside: string][] => [
  [`${file}-wal`, aside],
  [`${file}-shm`, `${aside}.index`],
]

/** Moves log and index out of the place of `file`, as far as they are those that were opened. Who has them open goes on writing to them. */
export function putLogAside(file: string, aside: string, isOwn: (part: string) => boolean): void {
  for (const [part, to] of pairs(file, aside)) if (isOwn(part)) renameSync(part, to)
}

/** Back to the file that they belong to, in the process that has them open. Never over a log that another program has made there. */
export function putLogBack(file: string, aside: string): void {
  if (pairs(file, aside).some(([part]) => existsSync(part))) return
  for (const [part, from] of pairs(file, aside)) if (existsSync(from)) renameSync(from, part)
}

/** The log that waits for the file that stands there now. */
export function strayLogOf(file: string): string | undefined {
  const is = statSync(file, { bigint: true, throwIfNoEntry: false })
  if (!is || is.birthtimeNs === 0n) return undefined
  const aside = logOf(file, is)
  return existsSync(aside) ? aside : undefined
}

/** The same by a later process, which must hold the writer's lock. A log without a row beside the file is nobody's. */
export function takeLogBack(file: string): void {
  const aside = strayLogOf(file)
  if (aside === undefined || (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) return
  // Another index belongs to the log that was there, and is made anew.
  rmSync(`${file}-shm`, { force: true })
  renameSync(aside, `${file}-wal`)
  rmSync(`${aside}.index`, { force: true })
}
