// A gateway with a ledger in a file of its own, and a reader of it, for tests that look at what was recorded.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TurnoutOptions } from '../../src/app.ts'
import { openLedger } from '../../src/store/ledger.ts'
import { parseId } from '../../src/store/ledgerId.ts'
import { openStore } from '../../src/store/open.ts'
import { openReader, type Reader } from '../../src/store/reader.ts'
import type { StoredAttempt, StoredRequest } from '../../src/store/requestRead.ts'
import { startGateway, type TestGateway } from './gateway.ts'

export interface RecordedGateway extends TestGateway {
  readonly reader: Reader
  /** The rows of the request that a reply's `x-request-id` names. Throws when there are none. */
  rowsOf(requestId: string): Promise<{ request: StoredRequest; attempts: StoredAttempt[] }>
  /** Resolves when everything that was settled so far is in the file. */
  flush(): Promise<void>
}

/** @param config the document of a `turnout.yaml` */
export async function startRecordedGateway(
  config: Record<string, unknown>,
  told: Pick<TurnoutOptions, 'onTransition'> = {},
): Promise<RecordedGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-ledger-'))
  const store = openStore({ file: join(folder, 'turnout.db') })
  const ledger = openLedger(store)
  const reader = openReader(store.file, ledger.bringIn)
  const gateway = await startGateway(config, { books: { ledger, reader, hashUser: (user) => `u_${user}`, ...told } })
  return {
    ...gateway,
    reader,
    async rowsOf(requestId) {
      const id = parseId(requestId)
      const rows = id === undefined ? undefined : await reader.request(id)
      if (!rows) throw new Error(`The ledger has no row of ${requestId}.`)
      return rows
    },
    flush: () => ledger.flush(),
    async close() {
      await gateway.close()
      await reader.close()
      await ledger.close()
      store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
