// Makes a folder with those that it is in.
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * For its owner alone. Node's own way (`recursive`) tries for ever where a file system takes no folders and says that there is none, as /proc does.
 * @throws where one cannot be made
 */
export function makeFolder(path: string): void {
  if (isFolder(path)) return
  const parent = dirname(path)
  if (parent !== path) makeFolder(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Another process was faster.
    if (!isFolder(path)) throw error
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
