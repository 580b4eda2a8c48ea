// The load generator `wrk`: how it is started at a work, and what it says.
import { join } from 'node:path'
import type { Launch } from '../child.ts'
import type { Running } from '../contenders/contender.ts'
import { benchFolder } from '../folders.ts'
import { bodyFile, replyFile, type Stage, targetOf } from '../stage.ts'
import type { Work } from '../work.ts'
import { type LoadResult, parseResult } from './job.ts'

interface WrkOptions {
  /** Whole seconds are all it knows: it is ended before them, as by a person's Ctrl-C. */
  readonly seconds: number
  /** A reply that takes longer counts as wrong. */
  readonly timeout: number
  /** A file of two zero counts of four bytes each, right and wrong replies: they are kept up to date in it. */
  readonly countFile?: string
}

/** `wrk` at a work: it costs the load's core a third of what Node does. */
export const wrkLaunch = (stage: Stage, running: Running, work: Work, options: WrkOptions): Launch => {
  const { port, path, headers } = targetOf(running, work.lane)
  const all = { 'content-type': 'application/json', ...headers }
  return {
    name: 'wrk',
    command: 'wrk',
    args: [
      '-t1',
      `-c${work.connections}`,
      `-d${options.seconds}s`,
      '--timeout',
      `${options.timeout}s`,
      '-s',
      join(benchFolder, 'load/wrk.lua'),
      `http://127.0.0.1:${port}${path}`,
    ],
    core: stage.machine.loadCore,
    machine: stage.machine,
    env: {
      ...process.env,
      BODY_FILE: bodyFile(stage, work),
      REPLY_FILE: replyFile(stage, running.contender, work),
      COUNT_FILE: options.countFile ?? '',
      VARIES: work.varies ? '1' : '',
      HEADERS: Object.entries(all)
        .map(([name, value]) => `${name}: ${value}`)
        .join('\n'),
    },
  }
}

interface WrkLine {
  completed: number
  micros: number
  bytes: number
  wrong: number
  connect: number
  read: number
  write: number
  timeout: number
}

/** What `wrk` says at its end. */
export const readWrk = (output: string): LoadResult => {
  const line = parseResult(output, 'wrk') as WrkLine
  const failures = {
    'another reply': line.wrong,
    connect: line.connect,
    read: line.read,
    write: line.write,
    timeout: line.timeout,
  }
  return {
    completed: line.completed - line.wrong,
    wrong: Object.values(failures).reduce((sum, count) => sum + count, 0),
    failures: Object.fromEntries(Object.entries(failures).filter(([, count]) => count > 0)),
    seconds: line.micros / 1e6,
    bytes: line.bytes,
    latency: [],
    firstByte: [],
    lagP99: 0,
  }
}
