// Stands in for `src/thread.ts` in tests (vitest.config.ts): threads run what is shipped. From sources each of them starts a loader, in one
// more thread, and that takes more of a processor than most tests do.
import { basename, join } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { buildTurnout } from './crash/build.ts'

/** Starts a compiled module as a worker: `module` is its file without the ending, from the folder of the code. */
export function startThread(module: string, options: WorkerOptions = {}): Worker {
  const file = join(buildTurnout().folder, 'dist', `${module}.js`)
  return new Worker(file, { execArgv: [], name: `turnout-${basename(module)}`, ...options })
}
