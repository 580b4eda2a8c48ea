// The file that the log is appended to: made with its folders, and opened again after another program has moved it away.
import { close, closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import type { Destination, Held } from './logQueue.ts'

const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants

/**
 * No write to it waits, whatever it is: a thread that waits for a pipe's reader (`/dev/stdout` may be one) would keep the process from ending
 * for as long as that stands still.
 */
export function openLogFile(file: string): number {
  makeFolder(dirname(file))
  const open = (): number => openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
  try {
    return open()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error
    // A pipe that nobody reads yet.
    const waited = openSync(file, 'a')
    try {
      return open()
    } finally {
      closeSync(waited)
    }
  }
}

/** Not a pipe or a terminal. Standard output may be one, and a log's file need not. */
export function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile()
  } catch {
    // Standard output that was closed.
    return false
  }
}

/**
 * Writes on to the file of that name where it is another one by now, or gone: `logrotate` has renamed it. No line is lost and none is cut in two: a
 * write that is under way ends in the old file. Throws when the file cannot be opened; then all goes on in the old one.
 */
export function reopenLogFile(destination: Destination, file: string): void {
  const held = destination as unknown as Held
  // A pipe's opening would wait for its reader, and it is the same one.
  if (isSame(file, held.fd)) return
  const next = openLogFile(file)
  const swap = (): void => {
    destination.off('write', written).off('error', swap)
    const old = held.fd
    held.fd = next
    close(old, () => {})
  }
  // sonic-boom's own `reopen` knows only files that it has opened itself.
  const written = (bytes: number): void => {
    if (held._writingBuf.length <= bytes) swap()
  }
  if (!held._writing) swap()
  else destination.on('write', written).on('error', swap)
}

function isSame(file: string, fd: number): boolean {
  const there = statSync(file, { throwIfNoEntry: false })
  const open = fstatSync(fd)
  return there !== undefined && there.ino === open.ino && there.dev === open.dev
}
