// Waits until commits are on the disk, without stopping the event loop: syncs the write-ahead log from a thread of the pool.
import { close, fdatasync, openSync } from 'node:fs'
import { dirname } from 'node:path'

export interface DiskSync {
  /** Resolves when everything committed before the call is on the disk. Calls that come while a sync runs share the next one. */
  sync(): Promise<void>
  close(): void
}

/**
 * SQLite's own `synchronous=FULL` would sync inside the commit, in the event loop, once per commit. A commit is frames in the log;
 * recovery takes all whole frames; so syncing the log after the commit gives the same promise.
 * The log is kept open: SQLite keeps the same file as long as the database is open.
 */
export function makeDiskSync(file: string): DiskSync {
  const log = openSync(`${file}-wal`, 'r+')
  syncFolder(file)
  let running: Promise<void> | undefined
  let next: Promise<void> | undefined

  const run = (): Promise<void> =>
    new Promise((resolve, reject) => fdatasync(log, (error) => (error ? reject(error) : resolve())))

  function start(): Promise<void> {
    running = run().finally(() => {
      running = undefined
    })
    return running
  }

  return {
    sync() {
      if (!running) return start()
      next ??= running.then(ignore, ignore).then(() => {
        next = undefined
        return start()
      })
      return next
    },
    close() {
      const after = next ?? running ?? Promise.resolve()
      after.then(ignore, ignore).then(() => close(log, ignore))
    },
  }
}

const ignore = (): void => {}

/** Makes the log's name durable: a new file is lost in a power cut when its folder was not synced. */
function syncFolder(file: string): void {
  const folder = openSync(dirname(file), 'r')
  fdatasync(folder, () => close(folder, ignore))
}
