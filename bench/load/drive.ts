// Runs one load against one contender, with wrk where it fits and else with our own generator, and returns one kind of result.
import { type Child, run, start } from '../child.ts'
import type { Running } from '../contenders/contender.ts'
import { builtChild } from '../folders.ts'
import { bodyFile, replyFile, type Stage, targetOf } from '../stage.ts'
import type { Work } from '../work.ts'
import { type Job, type LoadResult, parseResult } from './job.ts'
import { readWrk, wrkLaunch } from './wrk.ts'

/** wrk drops what is under way at its end; a paced stream is too long for that. */
export const isForWrk = (stage: Stage, work: Work): boolean => stage.machine.wrk && work.kind !== 'paced'

/** As many requests as the contender takes, for `seconds`. */
export const drivePeak = async (
  stage: Stage,
  running: Running,
  work: Work,
  seconds: number,
  onStart?: (load: Child) => void,
): Promise<LoadResult> => {
  if (!isForWrk(stage, work)) return driveOwn(stage, running, work, { mode: 'closed', seconds, onStart })
  const launch = wrkLaunch(stage, running, work, { seconds: Math.ceil(seconds) + 5, timeout: 10 })
  const output = await run(launch, seconds * 1000 + 15_000, (load) => {
    setTimeout(() => load.process.kill('SIGINT'), seconds * 1000)
    onStart?.(load)
  })
  return readWrk(output)
}

/** What differs between uses of our own generator; the rest comes from the work. */
export interface Drive {
  mode: Job['mode']
  seconds: number
  lead?: number
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
    varies: work.varies ?? false,
    connections: drive.connections ?? work.connections,
    seconds: drive.seconds,
    lead: drive.lead ?? 0,
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
