// Starts the gateway as its operators do, a process of its own, and ends it in every way that a process can end.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Build } from './build.ts'

export interface ServerOptions {
  build: Build
  config: string
  /** Working directory, and the only home that the process knows. */
  folder: string
  /** A command that runs the rest of its arguments as a command, in place of itself: limits are set by one. */
  under?: readonly string[]
}

/** A gateway process, listening. */
export interface Server {
  readonly url: string
  readonly pid: number
  /** What it wrote to standard output so far: the log, a JSON object a line. */
  log(): string
  /** Kills it as nothing can be caught or refused, and waits until it is gone. */
  kill(): Promise<void>
  /** Asks it to drain and stop. Resolves to its exit code. */
  stop(): Promise<number | null>
}

/** @throws Error with all that it said, when it ends before it listens */
export async function startServer(options: ServerOptions): Promise<Server> {
  const started = spawnServer(options)
  const url = await started.listening
  return { ...started, url, pid: started.child.pid! }
}

export interface Starting extends Pick<Server, 'log' | 'kill' | 'stop'> {
  readonly child: ChildProcess
  /** The address, once it listens. */
  readonly listening: Promise<string>
}

/** Starts one without waiting: it may be killed before it listens, too. */
export function spawnServer({ build, config, folder, under = [] }: ServerOptions): Starting {
  const command = [...under, build.node ?? process.execPath, build.main, 'serve', '--config', config]
  const child = spawn(command[0]!, command.slice(1), {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    out += chunk
  })
  const gone = once(child, 'close') as Promise<[number | null]>
  const listening = new Promise<string>((resolve, reject) => {
    child.stderr!.on('data', (chunk: Buffer) => {
      err += chunk
      const found = /listens on (\S+) with/.exec(err)
      if (found) resolve(found[1]!)
    })
    child.once('close', (code) => reject(new Error(`The gateway ended with ${code}: ${err}${out}`)))
  })
  // Whoever kills it before it listens does not wait for that.
  listening.catch(() => {})
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal)
    const [code] = await gone
    return code
  }
  return {
    child,
    listening,
    log: () => out,
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
  }
}

/** Runs the command line to its end. */
export async function runCli(
  build: Build,
  args: readonly string[],
  folder: string,
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(build.node ?? process.execPath, [build.main, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    out += chunk
  })
  child.stderr!.on('data', (chunk: Buffer) => {
    err += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, out, err }
}
