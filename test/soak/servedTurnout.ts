// A gateway as operators run it: `turnout serve` in a process of its own, over a file that is changed while it serves.
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openReader, type Reader } from '../../src/store/reader.ts'
import { endTurnout, startTurnout } from '../support/turnoutProcess.ts'

type Line = Record<string, unknown> & { event?: string; msg?: string }

export interface ServedTurnout {
  readonly url: string
  readonly pid: number
  /** The ledger's file. */
  readonly file: string
  /** Lines of the log that are no requests, in order; the last thousand. */
  readonly notes: Line[]
  /** Puts a document in the place of the file, at once. */
  write(config: Record<string, unknown> | string): void
  /** Has the file read again (SIGHUP). Resolves with what the log says came of it; lines that `other` knows are about another file. */
  reload(other?: (line: Line) => boolean): Promise<Line>
  /** Resident memory in bytes. */
  rss(): number
  /** Opens a reader of the ledger, beside the running writer. */
  read<Found>(look: (reader: Reader) => Promise<Found>): Promise<Found>
  /** SIGTERM. Resolves with the exit code and removes the folder. */
  stop(): Promise<number | null>
}

const KEPT_NOTES = 1000

/** @param config the document of a `turnout.yaml`; the port is chosen by the system. @throws Error with what it said when it does not start */
export async function serveTurnout(
  config: Record<string, unknown>,
  options: { env?: Record<string, string> } = {},
): Promise<ServedTurnout> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-served-'))
  const path = join(folder, 'turnout.yaml')
  const write: ServedTurnout['write'] = (next) => {
    const text = typeof next === 'string' ? next : JSON.stringify({ server: { port: 0 }, ...next })
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  write(config)
  const child = startTurnout(['serve', '--config', path], { cwd: folder, ...options })
  const notes: Line[] = []
  const waiting: { resolve(line: Line): void; reject(error: Error): void; other(line: Line): boolean }[] = []
  child.once('exit', (code) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`the gateway has ended with ${code}`))
  })
  createInterface({ input: child.stdout! }).on('line', (text) => {
    // Requests are the most of it, and nobody asks for them here.
    if (!text.includes('"event"')) return
    const line = JSON.parse(text) as Line
    if (notes.push(line) > KEPT_NOTES) notes.shift()
    if (line.event !== 'swapped' && line.event !== 'refused') return
    for (const one of waiting.splice(0)) {
      if (one.other(line)) waiting.push(one)
      else one.resolve(line)
    }
  })
  const url = await listening(child)
  // It says so a moment before it takes signals; it answers only after.
  await fetch(`${url}/health/ready`)
  const file = join(folder, 'data', 'turnout.db')
  return {
    url,
    pid: child.pid!,
    file,
    notes,
    write,
    reload(other = () => false) {
      const told = new Promise<Line>((resolve, reject) => waiting.push({ resolve, reject, other }))
      child.kill('SIGHUP')
      return told
    },
    rss: () => 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]),
    async read(look) {
      const reader = openReader(file)
      try {
        return await look(reader)
      } finally {
        await reader.close()
      }
    },
    async stop() {
      const code = await endTurnout(child)
      rmSync(folder, { recursive: true, force: true })
      return code
    },
  }
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr!.on('data', (chunk: Buffer) => {
      said = (said + chunk).slice(-10_000)
      const url = /listens on (http:\/\/\S+?)(?: |$)/.exec(said)?.[1]
      if (url) resolve(url)
    })
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code} before it listened: ${said}`)))
  })
}
