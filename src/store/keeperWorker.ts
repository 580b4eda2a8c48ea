// The thread that keeps the database small: moves the write-ahead log into the file, and deletes old rows, in short steps.
import { parentPort, workerData } from 'node:worker_threads'
import type { Sqlite } from './driver.ts'
import type { KeeperAnswer, KeeperAsk } from './keeper.ts'
import { noteLeap } from './leap.ts'
import { foldBefore, foldRows } from './rolloutFolds.ts'
import { openSame } from './sameFile.ts'
import { checkpoint, deleteBefore, deleteTraces, eraseUser } from './upkeep.ts'

const port = parentPort
if (!port) throw new Error('keeperWorker runs as a worker thread')
const { file, name } = workerData as { file: string; name: string }
let opened: Sqlite | undefined

/** Opened with the first thing to do, so that a failure is an answer to it. */
function open(): Sqlite {
  if (opened) return opened
  // This thread may sleep while the writer holds the lock; the writer itself never waits in its event loop.
  opened = openSame(file, name, { timeout: 2000 })
  opened.pragma('synchronous = NORMAL')
  opened.pragma('wal_autocheckpoint = 0')
  return opened
}

port.on('message', (ask: KeeperAsk) => {
  try {
    const value = act(ask)
    port.postMessage({ id: ask.id, value } satisfies KeeperAnswer)
  } catch (error) {
    const { code } = error as { code?: unknown }
    port.postMessage({
      id: ask.id,
      error: error instanceof Error ? error.message : String(error),
      ...(typeof code === 'string' && { code }),
    } satisfies KeeperAnswer)
  }
  if (ask.verb === 'close') port.close()
})

function act(ask: KeeperAsk): unknown {
  switch (ask.verb) {
    case 'checkpoint':
      return checkpoint(open())
    case 'retain':
      return deleteBefore(open(), ask.before, ask.limit)
    case 'retainTraces':
      return deleteTraces(open(), ask.before, ask.limit)
    case 'erase':
      return eraseUser(open(), ask.user, ask.limit)
    case 'foldBefore':
      return foldBefore(open(), ask.before)
    case 'noteLeap':
      return noteLeap(open(), ask.leap)
    case 'fold':
      return foldRows(open(), ask.rollout, ask.attempt, ask.before)
    case 'close':
      opened?.close()
      return undefined
  }
}
