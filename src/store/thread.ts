// Starts the store's worker threads, from TypeScript sources and from compiled files alike.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'

/**
 * Starts file `NAME` beside `from` (this folder) as a worker. Compiled files are run as they are. Sources (`.ts`: tests, `tsx`) need a loader inside the
 * thread: Node 20 gives a worker's first file to no loader that came by `--import`, so a line of plain JavaScript registers it
 * first. It is found from here and not from the working directory.
 */
export function startThread(name: string, data: unknown, from: string = import.meta.url): Worker {
  // The flags of the process are for its main thread: a worker that inherits a loader or an inspector fails or waits.
  const options = { workerData: data, execArgv: [], name: `turnout-${name}` }
  if (!from.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, from), options)
  const loader = new URL(
    'dist/esm/api/index.mjs',
    pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json')),
  ).href
  const file = new URL(`./${name}.ts`, from).href
  const first = `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(file)}) })`
  return new Worker(first, { ...options, eval: true })
}
