// The other writer that was measured: the same transactions, made in a worker thread.
import { parentPort, workerData } from 'node:worker_threads'
import { type Entry, makeBatchWriter } from '../../src/store/batch.ts'
import { loadDriver } from '../../src/store/driver.ts'

const { file, instance } = workerData as { file: string; instance: string }
const Database = loadDriver()
const db = new Database(file, { timeout: 2000 })
db.pragma('synchronous = NORMAL')
db.pragma('wal_autocheckpoint = 0')
const writer = makeBatchWriter(db, instance)

let commits = 0
parentPort?.on('message', ({ id, entries }: { id: number; entries: Entry[] }) => {
  writer.write(entries)
  parentPort?.postMessage(id)
  if (++commits % 1000 === 0) db.pragma('wal_checkpoint(PASSIVE)')
})
