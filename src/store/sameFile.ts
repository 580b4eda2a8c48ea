// Opens a database once more by its name, and only where that is still the file that was open under it.
import { type BigIntStats, statSync } from 'node:fs'
import { loadDriver, type Sqlite } from './driver.ts'

/** Which file it is; empty for one that is not there. */
export const nameOf = (stat: BigIntStats | undefined): string => (stat ? `${stat.dev}:${stat.ino}` : '')

export const nameOfFile = (file: string): string => nameOf(statSync(file, { bigint: true, throwIfNoEntry: false }))

/**
 * A thread opens its connection with the first thing to do, maybe days later: another file there would be read as if it were the ledger, and
 * lose its old rows.
 * @param was its `nameOfFile`; empty where it was not there, then any file will do
 */
export function openSame(file: string, was: string, options: { readonly?: boolean; timeout: number }): Sqlite {
  const Database = loadDriver()
  const isOther = (): boolean => was !== '' && nameOfFile(file) !== was
  const replaced = `The database ${file} was removed or replaced while it is in use.`
  if (isOther()) throw new Error(replaced)
  const opened = new Database(file, { ...options, fileMustExist: true })
  if (!isOther()) return opened
  opened.close()
  throw new Error(replaced)
}
