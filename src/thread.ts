// Starts worker threads of this program, from TypeScript sources and from compiled files alike.
import { createRequire } from 'node:module'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { packageFolder } from './packageFolder.ts'

const isSource = import.meta.url.endsWith('.ts')
/** The bundle starts compiled files, too: each thread loads little. */
const codeFolder = join(packageFolder, isSource ? 'src' : 'dist')

/**
 * Starts a module as a worker: `module` is its file without the ending, from the folder of the code (`store/keeperWorker`) or absolute. Compiled
 * files are run as they are. Sources (tests, `tsx`) need a loader inside the thread: Node 20 gives a worker's first file to no loader that
 * came by `--import`, so a line of plain JavaScript registers it first. It is found from here and not from the working directory.
 */
export function startThread(module: string, options: WorkerOptions = {}): Worker {
  const file = pathToFileURL(`${resolve(codeFolder, module)}${isSource ? '.ts' : '.js'}`)
  // The flags of the process are for its main thread: a worker that inherits a loader or an inspector fails or waits.
  const all = { execArgv: [], name: `turnout-${basename(module)}`, ...options }
  if (!isSource) return new Worker(file, all)
  const loader = new URL(
    'dist/esm/api/index.mjs',
    pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json')),
  ).href
  const first = `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(file.href)}) })`
  return new Worker(first, { ...all, eval: true })
}
