// Runs the command line as its users do: a process of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { buildTurnout } from './crash/build.ts'

export interface Ran {
  code: number | null
  out: string
  err: string
}

export interface Place {
  cwd: string
  env?: Record<string, string>
}

/** The flags of node that it is shipped with. */
const shippedFlags: string[] = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  .scripts.start.split(' ')
  .filter((word: string) => word.startsWith('--'))

/** Nothing of the test's own environment reaches the process but what Node needs. `NODE_OPTIONS` count alone where they are given. */
export function startTurnout(args: readonly string[], { cwd, env = {} }: Place): ChildProcess {
  const flags = env.NODE_OPTIONS === undefined ? shippedFlags : []
  return spawn(process.execPath, [...flags, buildTurnout().main, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export async function runTurnout(args: readonly string[], place: Place): Promise<Ran> {
  const child = startTurnout(args, place)
  const [out, err, [code]] = await Promise.all([
    buffer(child.stdout!),
    buffer(child.stderr!),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  return { code, out: String(out), err: String(err) }
}

/** Resolves with all that was said so far when `pattern` is in it; rejects when the process ends before. */
export function said(child: ChildProcess, stream: 'stdout' | 'stderr', pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child[stream]!.on('data', (chunk: Buffer) => {
      text += chunk
      if (pattern.test(text)) resolve(text)
    })
    child.once('exit', (code) => reject(new Error(`ended with ${code} before it said ${pattern}: ${text}`)))
  })
}

/** Asks a process to end and waits for it. */
export async function endTurnout(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const gone = once(child, 'exit') as Promise<[number | null]>
  child.kill(signal)
  const [code] = await gone
  return code
}
