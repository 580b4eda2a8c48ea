// The main thread's side of the worker writer: gathers the entries of one turn of the event loop and posts them together.
import { fileURLToPath } from 'node:url'
import type { Entry } from '../../src/store/batch.ts'
import { makeIdSource } from '../../src/store/ledgerId.ts'
import type { AttemptRow, Intent, RequestRow } from '../../src/store/ledgerRow.ts'
import type { Store } from '../../src/store/open.ts'
import { startThread } from '../../src/thread.ts'

export function openWorkerLedger(store: Store) {
  const worker = startThread(fileURLToPath(new URL('writerThread', import.meta.url)), {
    workerData: { file: store.file, instance: store.instance },
  })
  const ids = makeIdSource(0)
  const posted = new Map<number, (() => void)[]>()
  let entries: Entry[] = []
  let waiting: (() => void)[] = []
  let turn: NodeJS.Immediate | undefined
  let last = 0
  let commits = 0
  worker.on('message', (id: number) => {
    commits++
    const done = posted.get(id) ?? []
    posted.delete(id)
    for (const resolve of done) resolve()
  })

  function post(): void {
    turn = undefined
    posted.set(++last, waiting)
    worker.postMessage({ id: last, entries })
    entries = []
    waiting = []
  }

  function enqueue(entry: Entry): Promise<void> {
    entries.push(entry)
    if (!turn) turn = setImmediate(post)
    return new Promise((resolve) => waiting.push(resolve))
  }

  return {
    nextRequestId: ids.next,
    intend: (intent: Intent) => enqueue({ kind: 'intent', intent }),
    settle: (request: RequestRow, attempts: readonly AttemptRow[]) => enqueue({ kind: 'settle', request, attempts }),
    commits: () => commits,
    close: async () => void (await worker.terminate()),
  }
}
