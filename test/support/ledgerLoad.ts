// A process of its own that loads a ledger and says on stdout, line by line, what it was promised.
//
// In mode `journal` no row of few goes to SQLite directly.
//
// `I id` intent durable, `S id cost` settled, `F code` refused. Written with writeSync: what is said is in the pipe, come what may.
import { writeSync } from 'node:fs'
import { type LedgerMode, openLedger } from '../../src/store/ledger.ts'
import { attemptId } from '../../src/store/ledgerId.ts'
import type { LedgerError } from '../../src/store/ledgerRow.ts'
import { openStore } from '../../src/store/open.ts'
import { attemptRow, intentOf, requestRow } from './ledgerRows.ts'

const [file = '', mode = 'process', most = '1000000'] = process.argv.slice(2)
const moment = new Int32Array(new SharedArrayBuffer(4))

/** What is said is in the pipe when this returns. A pipe that its reader has not emptied yet takes a part, or nothing (EAGAIN). */
function say(line: string): void {
  let rest = Buffer.from(`${line}\n`)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(moment, 0, 0, 1)
    }
  }
}

// With a file-size limit the kernel sends this signal; unhandled it ends the process, handled the write fails.
process.on('SIGXFSZ', () => {})

const ledger = openLedger(openStore({ file }), mode === 'journal' ? { smallCommits: 0 } : { mode: mode as LedgerMode })
say(`O ${ledger.stats.orphans}`)
let left = Number(most)

/** One request after the other, some with a failed first attempt, with a turn of the event loop for the "upstream". */
async function client(number: number): Promise<void> {
  while (left-- > 0) {
    const id = ledger.nextRequestId()
    const cost = (id / 64) % 1_000_003
    try {
      const attempts = []
      const legs = (id / 64 + number) % 5 === 0 ? 2 : 1
      for (let n = 1; n <= legs; n++) {
        await ledger.intend(intentOf(id, n, { user: `u_${number}` }))
        say(`I ${attemptId(id, n)}`)
        await new Promise((resolve) => setTimeout(resolve, number % 4))
        attempts.push(attemptRow(id, n, n < legs ? { fault: 'reset', cost: 0 } : { cost }))
      }
      await ledger.settle(requestRow(id, { user: `u_${number}` }), attempts)
      say(`S ${id} ${cost}`)
    } catch (error) {
      say(`F ${(error as LedgerError).code}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

await Promise.all(Array.from({ length: 16 }, (_, number) => client(number)))
say('E')
