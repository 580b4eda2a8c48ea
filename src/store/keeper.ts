// Hands upkeep to a thread of its own, so that neither checkpoints nor deletions ever run in the event loop.
import { setTimeout as pause } from 'node:timers/promises'
import { startThread } from '../thread.ts'
import type { Leap } from './leap.ts'
import { makeRemote, type Remote } from './remote.ts'
import type { Folded } from './rolloutFolds.ts'
import { nameOfFile } from './sameFile.ts'
import type { Checkpoint } from './upkeep.ts'

export type KeeperAsk = { id: number } & (
  | { verb: 'checkpoint' }
  | { verb: 'retain'; before: number; limit: number }
  | { verb: 'retainTraces'; before: number; limit: number }
  | { verb: 'erase'; user: string; limit: number }
  | { verb: 'fold'; rollout: number; attempt: number; before: number }
  | { verb: 'foldBefore'; before: number }
  | { verb: 'noteLeap'; leap: Leap }
  | { verb: 'close' }
)

export interface KeeperAnswer {
  id: number
  value?: unknown
  error?: string
  /** SQLite's name for it: what kind of trouble it is goes by that. */
  code?: string
}

export interface Keeper {
  /** Moves the log into the file. A call while one runs shares its result. */
  checkpoint(): Promise<Checkpoint>
  /**
   * Deletes all requests with ids below `before`, in short steps with pauses; those that are evidence of a rollout that runs are folded
   * first. Returns the number deleted.
   */
  retain(before: number, options?: { batch?: number; signal?: AbortSignal }): Promise<number>
  /** As `retain`, for traces alone. */
  retainTraces(before: number, signal?: AbortSignal): Promise<number>
  /** See `leapOf`. */
  noteLeap(leap: Leap): Promise<void>
  /** Takes a user's hash out of all rows. Returns the number of requests changed. */
  erase(user: string): Promise<number>
  /**
   * Folds rows of a rollout's attempt that runs, up to those with ids below `before`, which must all be written. Returns the number of
   * rows that were not folded yet.
   */
  fold(rollout: number, attempt: number, before: number): Promise<number>
  close(): Promise<void>
}

/** A step holds the writer for about a millisecond; the pause lets it catch up. */
const stepSize = 200
const stepPause = 10

/** The thread starts with the first thing to do. */
export function makeKeeper(file: string): Keeper {
  const name = nameOfFile(file)
  let remote: Remote | undefined
  const ask = (question: Record<string, unknown>): Promise<unknown> => {
    if (!remote || remote.ended) remote = makeRemote(startThread('store/keeperWorker', { workerData: { file, name } }))
    return remote.ask(question)
  }
  let running: Promise<Checkpoint> | undefined

  async function repeat(step: () => Promise<unknown>, size: number, signal?: AbortSignal): Promise<number> {
    let total = 0
    for (;;) {
      const changed = (await step()) as number
      total += changed
      if (changed < size || signal?.aborted) return total
      await pause(stepPause)
    }
  }

  return {
    checkpoint() {
      running ??= (ask({ verb: 'checkpoint' }) as Promise<Checkpoint>).finally(() => {
        running = undefined
      })
      return running
    },
    async retain(before, options = {}) {
      const limit = options.batch ?? stepSize
      // What rollouts that run have learnt of these rows stays.
      while (!(await ask({ verb: 'foldBefore', before }))) {
        if (options.signal?.aborted) return 0
        await pause(stepPause)
      }
      return repeat(() => ask({ verb: 'retain', before, limit }), limit, options.signal)
    },
    retainTraces: (before, signal) =>
      repeat(() => ask({ verb: 'retainTraces', before, limit: stepSize }), stepSize, signal),
    noteLeap: (leap) => ask({ verb: 'noteLeap', leap }) as Promise<void>,
    erase: (user) => repeat(() => ask({ verb: 'erase', user, limit: stepSize }), stepSize),
    async fold(rollout, attempt, before) {
      let total = 0
      for (;;) {
        const { rows, isDone } = (await ask({ verb: 'fold', rollout, attempt, before })) as Folded
        total += rows
        if (isDone) return total
        await pause(stepPause)
      }
    },
    async close() {
      await remote?.close()
    },
  }
}
