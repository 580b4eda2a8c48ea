// Files that hold what nobody else on the machine may read.
import { closeSync, existsSync, openSync } from 'node:fs'

/**
 * Makes an empty file where there is none, for its owner alone: SQLite takes it for a new database, and would itself let all read it whom the folder
 * lets in. In one of ours stand the versions of the configuration, with the secrets that its file spells out. Throws what `fs` throws.
 */
export function makePrivate(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600))
}
