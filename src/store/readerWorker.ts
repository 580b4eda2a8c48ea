// The thread that reads: reports, pages, exports, verification and backups, on a connection that cannot write.
import { parentPort, workerData } from 'node:worker_threads'
import { backupTo } from './backup.ts'
import { loadDriver } from './driver.ts'
import { exportPiece } from './export.ts'
import type { ReaderAnswer, ReaderAsk } from './reader.ts'
import { readPage, readRequest, readSettled } from './requestRead.ts'
import { readSpend } from './spend.ts'
import { verifyLedger } from './verify.ts'

const port = parentPort
if (!port) throw new Error('readerWorker runs as a worker thread')
const Database = loadDriver()
const db = new Database((workerData as { file: string }).file, { readonly: true, fileMustExist: true, timeout: 5000 })

port.on('message', async (ask: ReaderAsk) => {
  try {
    port.postMessage({ id: ask.id, value: await act(ask) } satisfies ReaderAnswer)
  } catch (error) {
    port.postMessage({
      id: ask.id,
      error: error instanceof Error ? error.message : String(error),
    } satisfies ReaderAnswer)
  }
  if (ask.verb === 'close') port.close()
})

function act(ask: ReaderAsk): unknown {
  switch (ask.verb) {
    case 'spend':
      return readSpend(db, ask.ask)
    case 'page':
      return readPage(db, ask.ask)
    case 'request':
      return readRequest(db, ask.request)
    case 'settled':
      return readSettled(db, ask.since, ask.window, ask.limit)
    case 'export':
      return exportPiece(db, ask.ask)
    case 'verify':
      return verifyLedger(db)
    case 'backup':
      return backupTo(db, ask.to)
    case 'close':
      db.close()
      return undefined
  }
}
