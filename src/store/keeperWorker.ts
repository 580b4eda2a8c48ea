// The thread that keeps the database small: moves the write-ahead log into the file, and deletes old rows, in short steps.
import { parentPort, workerData } from 'node:worker_threads'
import { loadDriver } from './driver.ts'
import type { KeeperAnswer, KeeperAsk } from './keeper.ts'
import { checkpoint, deleteBefore, eraseUser } from './upkeep.ts'

const port = parentPort
if (!port) throw new Error('keeperWorker runs as a worker thread')
const Database = loadDriver()
// This thread may sleep while the writer holds the lock; the writer itself never waits in its event loop.
const db = new Database((workerData as { file: string }).file, { timeout: 2000 })
db.pragma('synchronous = NORMAL')
db.pragma('wal_autocheckpoint = 0')

port.on('message', (ask: KeeperAsk) => {
  try {
    const value = act(ask)
    port.postMessage({ id: ask.id, value } satisfies KeeperAnswer)
  } catch (error) {
    port.postMessage({
      id: ask.id,
      error: error instanceof Error ? error.message : String(error),
    } satisfies KeeperAnswer)
  }
  if (ask.verb === 'close') port.close()
})

function act(ask: KeeperAsk): unknown {
  switch (ask.verb) {
    case 'checkpoint':
      return checkpoint(db)
    case 'retain':
      return deleteBefore(db, ask.before, ask.limit)
    case 'erase':
      return eraseUser(db, ask.user, ask.limit)
    case 'close':
      db.close()
      return undefined
  }
}
