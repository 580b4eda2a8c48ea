// Runs one load against one contender, with wrk where it fits and else with our own generator, and returns one kind of result.
import { join } from 'node:path'
import { type Child, run, start } from '../child.ts'
import type { Running } from '../contenders/contender.ts'
import { benchFolder, builtChild } from '../folders.ts'
import { bodyFile, replyFile, type Stage, targetOf } from '../stage.ts'
import type { Work } from '../work.ts'
import type { Job, LoadResult } from './job.ts'

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

/** Parses the last `result {…}` line of a load's output. */
const parseResult = (output: string, name: string): unknown => {
  const line = output.split('\n').findLast((text) => text.startsWith('result '))
  if (!line) throw new Error(`${name} gave no result: ${output.slice(-500)}`)
  return JSON.parse(line.slice(7))
}

/** As many requests as the contender takes, for `seconds`. Uses wrk, which costs the load's core a third of what Node does. */
export const drivePeak = async (
  stage: Stage,
  running: Running,
  work: Work,
  seconds: number,
  onStart?: (load: Child) => void,
): Promise<LoadResult> => {
  // wrk drops what is under way at its end; a paced stream is too long for that.
  if (!stage.machine.wrk || work.kind === 'paced')
    return driveOwn(stage, running, work, { mode: 'closed', seconds, onStart })
  const { port, path, headers } = targetOf(running, work.lane)
  const all = { 'content-type': 'application/json', ...headers }
  const connections = String(work.connections)
  const script = join(benchFolder, 'load/wrk.lua')
  const output = await run(
    {
      name: 'wrk',
      command: 'wrk',
      args: [
        '-t1',
        `-c${connections}`,
        // Whole seconds are all it knows: it is ended before them, as by a person's Ctrl-C.
        `-d${Math.ceil(seconds) + 5}s`,
        '--timeout',
        '10s',
        '-s',
        script,
        `http://127.0.0.1:${port}${path}`,
      ],
      core: stage.machine.loadCore,
      machine: stage.machine,
      env: {
        ...process.env,
        BODY_FILE: bodyFile(stage, work),
        REPLY_FILE: replyFile(stage, running.contender, work),
        VARIES: work.varies ? '1' : '',
        HEADERS: Object.entries(all)
          .map(([name, value]) => `${name}: ${value}`)
          .join('\n'),
      },
    },
    seconds * 1000 + 15_000,
    (load) => {
      setTimeout(() => load.process.kill('SIGINT'), seconds * 1000)
      onStart?.(load)
    },
  )
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

/** What differs between uses of our own generator; the rest comes from the work. */
export interface Drive {
  mode: Job['mode']
  seconds: number
  rate?: number
  requests?: number
  connections?: number
  /** Called when all held streams have begun. */
  onHeld?: () => void
  onStart?: ((load: Child) => void) | undefined
}

/** Runs our own generator and returns what it measured. Throws when it does not end in time. */
export const driveOwn = async (stage: Stage, running: Running, work: Work, drive: Drive): Promise<LoadResult> => {
  const { port, path, headers } = targetOf(running, work.lane)
  const job: Job = {
    mode: drive.mode,
    port,
    path,
    headers,
    bodyFile: bodyFile(stage, work),
    replyFile: replyFile(stage, running.contender, work),
    stream: work.stream,
    connections: drive.connections ?? work.connections,
    seconds: drive.seconds,
    rate: drive.rate ?? 0,
    requests: drive.requests ?? 0,
  }
  let output = ''
  const child = await start({
    name: 'generator',
    command: process.execPath,
    args: [builtChild('load/generator'), JSON.stringify(job)],
    core: stage.machine.loadCore,
    machine: stage.machine,
    onOutput: (text) => {
      output += text
      if (text.includes('held\n')) drive.onHeld?.()
    },
  })
  drive.onStart?.(child)
  const late = setTimeout(() => child.stop(), drive.seconds * 1000 + 40_000)
  await new Promise((resolve) => child.process.on('close', resolve))
  clearTimeout(late)
  if (child.process.exitCode !== 0) throw new Error(`the generator failed: ${child.tail() || output.slice(-500)}`)
  return parseResult(output, 'the generator') as LoadResult
}
