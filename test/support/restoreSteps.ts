// A process that restores a backup, or opens databases, and keeps a copy of the folder as it stood before each change to its files.
import { cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openStore } from '../../src/store/open.ts'
import { restoreFrom } from '../../src/store/restore.ts'
import { watchSteps } from './fileSteps.ts'

// OUT gets a folder of copies for each of FOLDERS, which are beside each other. BACKUP is empty for opening.
const [out, backup, ...folders] = process.argv.slice(2) as [string, string, ...string[]]

let watched = ''
let into = ''
let count = 0
// The lock is SQLite's own: a look at it through `fs` would let go of it.
const keep = (): void =>
  cpSync(watched, join(into, String(count++).padStart(2, '0')), {
    recursive: true,
    filter: (path) => !path.endsWith('.lock'),
  })

for (const [place, folder] of folders.entries()) {
  watched = folder
  into = join(out, String(place).padStart(2, '0'))
  count = 0
  if (place === 0) watchSteps(dirname(folder), keep)
  const file = join(folder, 'turnout.db')
  if (backup !== '') restoreFrom(backup, file)
  else openStore({ file, offline: true }).close()
  keep()
}
