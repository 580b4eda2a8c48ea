// Microseconds of one request (an intent and a settlement) in the main-thread writer, by rows in a transaction, nothing else running.
//
//   npx tsx bench/ledger-writers/micro.ts
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Entry, makeBatchWriter } from '../../src/store/batch.ts'
import { makeIdSource } from '../../src/store/ledgerId.ts'
import { openStore } from '../../src/store/open.ts'
import { attemptRow, intentOf, requestRow } from '../../test/support/ledgerRows.ts'

function measure(batch: number, user: boolean): number {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-micro-'))
  const store = openStore({ file: join(folder, 'turnout.db') })
  const writer = makeBatchWriter(store.db, store.instance)
  const ids = makeIdSource(0)
  // As under load: half of the entries of a transaction are intents, half settle requests of earlier ones.
  let open: number[] = []
  let spent = 0
  const step = (): void => {
    const half = Math.max(1, batch / 2)
    const settles: Entry[] = open.map((id) => {
      const who = user ? { user: `u_${(id * 7919) % 1_000_003}` } : {}
      return { kind: 'settle', request: requestRow(id, who), attempts: [attemptRow(id)] }
    })
    open = Array.from({ length: half }, () => ids.next())
    const intents: Entry[] = open.map((id) => ({ kind: 'intent', intent: intentOf(id) }))
    const start = performance.now()
    if (batch === 1) {
      if (settles.length) writer.write(settles)
      writer.write(intents)
    } else writer.write([...settles, ...intents])
    spent += performance.now() - start
  }
  const run = (requests: number): number => {
    spent = 0
    const steps = requests / Math.max(1, batch / 2)
    for (let i = 0; i < steps; i++) {
      step()
      if (i % 500 === 499) store.db.pragma('wal_checkpoint(RESTART)')
    }
    return (spent * 1000) / requests
  }
  run(8000)
  const result = Math.min(run(16_000), run(16_000), run(16_000))
  store.close()
  rmSync(folder, { recursive: true })
  return result
}

for (const user of [false, true]) {
  for (const batch of [1, 4, 8, 16, 32, 64])
    console.log(user ? 'with user' : 'no user', `${batch} rows`, measure(batch, user).toFixed(1), 'µs')
}
