// The thread that reads: reports, pages, exports, verification and backups, on a connection that cannot write.
import { parentPort, workerData } from 'node:worker_threads'
import { readAlertSpend, readFirstRecord } from './alertSpend.ts'
import { backupTo } from './backup.ts'
import { readBudgetSpend } from './budgetSpend.ts'
import type { Sqlite } from './driver.ts'
import { exportPiece } from './export.ts'
import { readOlderRows } from './olderRows.ts'
import type { ReaderAnswer, ReaderAsk } from './reader.ts'
import { readPage, readRequest, readSettled } from './requestRead.ts'
import { readRolloutPage } from './rolloutRequests.ts'
import { openSame } from './sameFile.ts'
import { readSpend } from './spend.ts'
import { readTrace, readTraces } from './traceRead.ts'
import { verifyLedger } from './verify.ts'

const port = parentPort
if (!port) throw new Error('readerWorker runs as a worker thread')
const { file, name } = workerData as { file: string; name: string }
let opened: Sqlite | undefined

/** Opened with the first question, so that a failure is an answer to it. */
function open(): Sqlite {
  opened ??= openSame(file, name, { readonly: true, timeout: 5000 })
  return opened
}

let hasRows = false

/** For questions about rollouts. Others go without: a damaged file has to be verified, and backed up, as far as it can be read. */
function openRows(): Sqlite {
  const db = open()
  if (!hasRows) readOlderRows(db)
  hasRows = true
  return db
}

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
  if (ask.gone && Atomics.load(ask.gone, 0) !== 0) throw new Error('whoever asked has gone')
  switch (ask.verb) {
    case 'spend':
      return readSpend(open(), ask.ask)
    case 'budgetSpend':
      return readBudgetSpend(open(), ask.ask)
    case 'page':
      return readPage(openRows(), ask.ask)
    case 'rolloutPage':
      return readRolloutPage(openRows(), ask.ask)
    case 'request':
      return readRequest(open(), ask.request)
    case 'settled':
      return readSettled(open(), ask.since, ask.window, ask.limit)
    case 'export':
      return exportPiece(openRows(), ask.ask)
    case 'alertSpend':
      return readAlertSpend(open(), ask.ask)
    case 'firstRecord':
      return readFirstRecord(open())
    case 'traces':
      return readTraces(open(), ask.ask)
    case 'trace':
      return readTrace(open(), ask.ask)
    case 'verify':
      return verifyLedger(open())
    case 'backup':
      return backupTo(open(), ask.to)
    case 'close':
      opened?.close()
      return undefined
  }
}
