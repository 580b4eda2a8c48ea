// Owns the counting thread: a bounded queue before it, a deadline on it, and a new one when it misses that.
import type { Worker } from 'node:worker_threads'
import { startThread } from '../../thread.ts'
import type { CountDone, CountJob, EncodingName } from './worker.ts'

/** Tokens, or why there are none. */
export type Outcome = number | 'deadline' | 'queue-full' | 'failed'

export interface CountingThread {
  count(encoding: EncodingName, texts: string[]): Promise<Outcome>
  close(): Promise<void>
  readonly recycled: number
  readonly queued: number
  /** Whether there is a thread now. */
  readonly alive: boolean
}

interface Waiting {
  encoding: EncodingName
  texts: string[]
  settle(outcome: Outcome): void
  timer: NodeJS.Timeout
}

/** Loading a module or an encoding's tables is slow on a busy machine, but its size is known: it has a deadline of its own. */
const loadDeadline = 20_000

/** All times in milliseconds. */
export function createCountingThread(limits: {
  deadline: number
  maxWait: number
  maxQueue: number
  idle: number
}): CountingThread {
  const queue: Waiting[] = []
  let worker: Worker | undefined
  let loaded = new Set<EncodingName>()
  let ready = false
  let running: { id: number; load: EncodingName | undefined; settle: (outcome: Outcome) => void } | undefined
  let watch: NodeJS.Timeout | undefined
  let idle: NodeJS.Timeout | undefined
  let lastId = 0
  let recycled = 0
  let closed = false

  const start = (): void => {
    ready = false
    loaded = new Set()
    const mine = startThread('telemetry/tokens/worker', { resourceLimits: { maxOldGenerationSizeMb: 256 } })
    worker = mine
    mine.unref() // Counting must never be what keeps the process alive.
    mine.on('message', (message: 'ready' | CountDone) => {
      if (worker !== mine) return // A late word of a thread that was given up.
      if (message === 'ready') {
        ready = true
        clearTimeout(watch)
      } else finish(message)
      pump()
    })
    mine.on('error', () => drop(mine, 'failed'))
    mine.on('exit', () => drop(mine, 'failed'))
    watchFor(loadDeadline)
  }

  /** Gives the thread up; the job on it gets `outcome`. The others wait for the next thread. */
  const drop = (mine: Worker, outcome: Outcome): void => {
    if (worker !== mine) return
    worker = undefined
    clearTimeout(watch)
    const job = running
    running = undefined
    void mine.terminate()
    job?.settle(outcome)
    // A thread that cannot even start must not be tried for ever by what waits.
    if (!ready) for (const waiting of queue.splice(0)) waiting.settle(outcome)
    if (!closed && queue.length > 0) start()
  }

  const watchFor = (milliseconds: number): void => {
    clearTimeout(watch)
    const mine = worker
    watch = setTimeout(() => {
      if (!mine) return
      recycled++
      drop(mine, 'deadline')
    }, milliseconds)
  }

  const finish = (done: CountDone): void => {
    if (running?.id !== done.id) return
    clearTimeout(watch)
    const { load, settle } = running
    running = undefined
    if (load && done.tokens !== undefined) loaded.add(load)
    settle(done.tokens ?? 'failed')
  }

  const pump = (): void => {
    clearTimeout(idle)
    if (!worker || !ready || running) return
    const next = queue[0]
    if (!next) {
      const mine = worker
      idle = setTimeout(() => drop(mine, 'failed'), limits.idle)
      idle.unref()
      return
    }
    if (!loaded.has(next.encoding)) {
      // An empty count loads the tables. If it fails, so would the count that asked for it.
      const failed = (outcome: Outcome): void => {
        if (typeof outcome !== 'number' && queue[0] === next) queue.shift()?.settle(outcome)
      }
      send({ id: ++lastId, encoding: next.encoding, texts: [] }, loadDeadline, next.encoding, failed)
      return
    }
    queue.shift()
    clearTimeout(next.timer)
    send({ id: ++lastId, encoding: next.encoding, texts: next.texts }, limits.deadline, undefined, next.settle)
  }

  const send = (
    job: CountJob,
    milliseconds: number,
    load: EncodingName | undefined,
    settle: (outcome: Outcome) => void,
  ): void => {
    running = { id: job.id, load, settle }
    worker?.postMessage(job)
    watchFor(milliseconds)
  }

  return {
    count(encoding, texts) {
      if (closed) return Promise.resolve('failed')
      if (queue.length >= limits.maxQueue) return Promise.resolve('queue-full')
      return new Promise((resolve) => {
        const waiting: Waiting = {
          encoding,
          texts,
          settle(outcome) {
            clearTimeout(waiting.timer)
            resolve(outcome)
          },
          timer: setTimeout(() => {
            const place = queue.indexOf(waiting)
            if (place >= 0) queue.splice(place, 1)
            resolve('deadline')
          }, limits.maxWait),
        }
        queue.push(waiting)
        if (worker) pump()
        else start()
      })
    },
    async close() {
      closed = true
      clearTimeout(idle)
      clearTimeout(watch)
      const mine = worker
      worker = undefined
      running?.settle('failed')
      running = undefined
      for (const waiting of queue.splice(0)) waiting.settle('failed')
      await mine?.terminate()
    },
    get recycled() {
      return recycled
    },
    get queued() {
      return queue.length
    },
    get alive() {
      return worker !== undefined
    },
  }
}
