// What the bench runs on: cores, tools, versions, commit; and which core does what.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { canStayAwake } from './awake.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly node: string
  readonly commit: string
  readonly date: string
  readonly wrk: boolean
  readonly nginx: boolean
  readonly taskset: boolean
  /** `setpriv --pdeathsig` ends children even when this process is killed without a chance to clean up. */
  readonly setpriv: boolean
  /** Cores can be kept awake where the load does not fill them. */
  readonly staysAwake: boolean
  /** Undefined where processes cannot be pinned: figures are then only a rough guide, and the report says so. */
  readonly gatewayCore: number | undefined
  readonly loadCore: number | undefined
}

const has = (command: string, ...args: string[]): boolean => {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 5000 })
    return true
  } catch (error) {
    // wrk prints its version and exits 1: only "not found" counts as absent.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

const readCommit = (): string => {
  try {
    const run = (...args: string[]) =>
      execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    return (
      run('rev-parse', '--short', 'HEAD') + (run('status', '--porcelain', '--', 'src') ? ' + uncommitted changes' : '')
    )
  } catch {
    return 'unknown'
  }
}

/** Cores this process may run on, in order. */
const readCores = (): number[] => {
  try {
    const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return list.split(',').flatMap((part) => {
      const [from, to = from] = part.split('-').map(Number) as [number, number?]
      return Array.from({ length: to - from + 1 }, (_, i) => from + i)
    })
  } catch {
    return []
  }
}

/** Looks at the machine once. Never throws: what is absent is said in the result. */
export const readMachine = (): Machine => {
  const taskset = has('taskset', '--version')
  const cores = readCores()
  const pin = taskset && cores.length >= 2
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cores.length || cpus().length,
    node: process.version,
    commit: readCommit(),
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    wrk: has('wrk', '-v'),
    nginx: has('nginx', '-v'),
    taskset,
    setpriv: has('setpriv', '--version'),
    staysAwake: canStayAwake(),
    gatewayCore: pin ? cores[1] : undefined,
    loadCore: pin ? cores[0] : undefined,
  }
}

/** Keeps this process, all its threads and what it starts later off the gateway's core. */
export const pinSelf = (machine: Machine): void => {
  if (machine.loadCore === undefined) return
  execFileSync('taskset', ['-a', '-c', '-p', String(machine.loadCore), String(process.pid)], { stdio: 'ignore' })
}
