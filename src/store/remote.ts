// Asks a worker thread questions and gives each answer to the one who asked.
import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'

interface Answer {
  id: number
  value?: unknown
  error?: string
  code?: string
}

export interface Remote {
  /** Resolves with the thread's answer; rejects with its error, or when the thread ends. What is in `transfer` is the thread's from then on. */
  ask(question: Record<string, unknown>, transfer?: readonly ArrayBuffer[]): Promise<unknown>
  /** Nobody answers any more: a new thread is needed. */
  readonly ended: boolean
  /** Lets the thread finish what it was asked before, and end. */
  close(): Promise<void>
}

/** The thread does not keep the process alive, except while a question is open. */
export function makeRemote(worker: Worker): Remote {
  const open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let last = 0
  let ended: Error | undefined
  worker.unref()

  worker.on('message', ({ id, value, error, code }: Answer) => {
    const asked = open.get(id)
    open.delete(id)
    if (open.size === 0) worker.unref()
    if (error === undefined) asked?.resolve(value)
    else asked?.reject(Object.assign(new Error(error), code !== undefined && { code }))
  })
  worker.on('error', (error) => end(error))
  worker.on('exit', () => end(new Error('the store thread has ended')))

  function end(error: Error): void {
    ended ??= error
    for (const asked of open.values()) asked.reject(ended)
    open.clear()
  }

  function ask(question: Record<string, unknown>, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (ended) return Promise.reject(ended)
    const id = ++last
    return new Promise((resolve, reject) => {
      open.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage({ ...question, id }, transfer)
    })
  }

  return {
    ask,
    get ended() {
      return ended !== undefined
    },
    async close() {
      if (ended) return
      const gone = once(worker, 'exit')
      await ask({ verb: 'close' }).catch(() => worker.terminate())
      // Its answer let go of the process, which would end before whoever waits for the end of the thread.
      worker.ref()
      await gone
    },
  }
}
