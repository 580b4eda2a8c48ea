// Starts a worker thread from a module of ours, compiled or (in tests and under tsx) as TypeScript source.
import { Worker, type WorkerOptions } from 'node:worker_threads'

/** Starts `name` (without its ending) from the folder of `from`, a module's `import.meta.url`. */
export function spawnModule(from: string, name: string, options: WorkerOptions = {}): Worker {
  const source = from.endsWith('.ts')
  const url = new URL(`./${name}${source ? '.ts' : '.js'}`, from)
  if (!source) return new Worker(url, options)
  // Node 20 cannot read TypeScript, and a loader that is registered in this thread is not one in a new thread (nor does `--import tsx`
  // in its execArgv register one there): register it inside, then load the module. Never reached in a build.
  const tsx = import.meta.resolve('tsx/esm/api')
  const boot = `import(${JSON.stringify(tsx)}).then((tsx) => tsx.tsImport(${JSON.stringify(url.href)}, ${JSON.stringify(from)}))`
  return new Worker(boot, { ...options, eval: true })
}
