// Child processes: started pinned and in a group of their own, ended by id whatever happens to the bench.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import type { Machine } from './machine.ts'

export interface Child {
  readonly process: ChildProcess
  /** Also the id of its process group. */
  readonly pid: number
  /** The last 4 KB it wrote to stderr or, where not read otherwise, stdout: for error texts. */
  readonly tail: () => string
  /** Asks it to end, then makes it; resolves when it is gone. */
  stop(): Promise<void>
}

export interface Launch {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly core: number | undefined
  readonly machine: Machine
  readonly env?: NodeJS.ProcessEnv
  /** Working directory; the bench's own unless given. */
  readonly cwd?: string
  /** Called with each piece of stdout. Without it stdout only fills the tail. */
  readonly onOutput?: (text: string) => void
  /** A file that takes stdout instead: reading a gateway's log through a pipe would cost the load's core. */
  readonly outputFile?: string
}

const running = new Set<number>()

const kill = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(-pid, signal)
  } catch {
    // The group is gone already.
  }
}

/** Starts one child. Throws when the command cannot be started. */
export const start = async (launch: Launch): Promise<Child> => {
  const { machine, core } = launch
  const line = [
    ...(machine.setpriv ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    ...(core === undefined ? [] : ['taskset', '-c', String(core)]),
    launch.command,
    ...launch.args,
  ] as [string, ...string[]]
  const output = launch.outputFile === undefined ? undefined : openSync(launch.outputFile, 'a')
  const child = spawn(line[0], line.slice(1), {
    detached: true,
    env: launch.env ?? process.env,
    cwd: launch.cwd,
    stdio: ['ignore', output ?? 'pipe', 'pipe'],
  })
  if (output !== undefined) closeSync(output)
  await once(child, 'spawn')
  const pid = child.pid!
  running.add(pid)
  const exited = once(child, 'exit').then(() => running.delete(pid))
  let tail = ''
  const keep = (piece: Buffer | string) => {
    tail = (tail + piece).slice(-4096)
  }
  child.stderr!.on('data', keep)
  child.stdout?.setEncoding('utf8').on('data', launch.onOutput ?? keep)
  return {
    process: child,
    pid,
    tail: () => tail,
    stop: async () => {
      if (!running.has(pid)) return
      kill(pid, 'SIGTERM')
      const late = setTimeout(kill, 3000, pid, 'SIGKILL')
      await exited
      clearTimeout(late)
      // A group outlives its leader when the leader does not wait for its own children.
      kill(pid, 'SIGKILL')
    },
  }
}

/** Runs a child to its end and returns its stdout. Throws on a bad exit or after `limitMs`. */
export const run = async (
  launch: Omit<Launch, 'onOutput'>,
  limitMs: number,
  onStart?: (child: Child) => void,
): Promise<string> => {
  let output = ''
  const child = await start({ ...launch, onOutput: (text) => (output += text) })
  onStart?.(child)
  const late = setTimeout(kill, limitMs, child.pid, 'SIGKILL')
  const [code, signal] = (await once(child.process, 'close')) as [number | null, string | null]
  clearTimeout(late)
  if (code !== 0) throw new Error(`${launch.name} ended with ${signal ?? code}: ${child.tail() || output.slice(-500)}`)
  return output
}

const endAll = (): void => {
  for (const pid of running) kill(pid, 'SIGKILL')
}

process.on('exit', endAll)
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => process.exit(code))
}
