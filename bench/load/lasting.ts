// A load that lasts for many windows and stands still between them: nothing is cut off at the end of one, and no connection is new in the next.
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { start } from '../child.ts'
import type { Running } from '../contenders/contender.ts'
import type { Load } from '../measure/window.ts'
import type { Stage } from '../stage.ts'
import type { Work } from '../work.ts'
import { driveOwn, isForWrk } from './drive.ts'
import type { LoadResult } from './job.ts'
import { readWrk, wrkLaunch } from './wrk.ts'

/** Seconds of a window, and of the time before it in which a contender that had no load warms its caches and answers what had waited. */
export interface WindowTimes {
  readonly lead: number
  readonly seconds: number
}

export interface LastingLoad extends Load {
  /** Ends it and tells what was wrong in all its time, by kind. */
  close(): Promise<LoadResult['failures']>
}

const openMs = 150
/** Milliseconds for what is under way when a load is stopped: it is not the next one's. */
const trailMs = 10
/** Seconds that a load may last, and a reply may take, the time included in which the load stands still. */
const longest = { seconds: 1800, timeout: 60 }

let opened = 0

/** As many requests as the contender takes, in windows of these times. Without `wrk`, and for paced streams, each window has a load of its own. */
export const openLoad = async (
  stage: Stage,
  running: Running,
  work: Work,
  times: WindowTimes,
): Promise<LastingLoad> => {
  const isPartial = work.kind === 'paced' || work.connections === 1
  if (!isForWrk(stage, work))
    return {
      isPartial,
      run: () => driveOwn(stage, running, work, { mode: 'closed', seconds: times.seconds }),
      close: async () => ({}),
    }
  const countFile = join(stage.folder, `counts-${++opened}`)
  writeFileSync(countFile, Buffer.alloc(8))
  const counts = openSync(countFile, 'r')
  let output = ''
  const launch = wrkLaunch(stage, running, work, { ...longest, countFile })
  const child = await start({ ...launch, onOutput: (text) => (output += text) })
  const signal = (name: 'SIGSTOP' | 'SIGCONT' | 'SIGINT') => process.kill(-child.pid, name)
  // Its connections are made before the first window.
  await pause(openMs)
  signal('SIGSTOP')
  const read = () => {
    const bytes = Buffer.alloc(8)
    readSync(counts, bytes, 0, 8, 0)
    return { at: performance.now(), right: bytes.readUInt32LE(0), wrong: bytes.readUInt32LE(4) }
  }
  return {
    pid: child.pid,
    isPartial,
    begin: async () => {
      signal('SIGCONT')
      await pause(times.lead * 1000)
    },
    run: async (): Promise<LoadResult> => {
      const before = read()
      await pause(times.seconds * 1000)
      const after = read()
      const wrong = after.wrong - before.wrong
      return {
        completed: after.right - before.right,
        wrong,
        failures: wrong > 0 ? { 'another reply': wrong } : {},
        seconds: (after.at - before.at) / 1000,
        bytes: 0,
        latency: [],
        firstByte: [],
        lagP99: 0,
      }
    },
    end: async () => {
      signal('SIGSTOP')
      await pause(trailMs)
    },
    close: async () => {
      const closed = new Promise((resolve) => child.process.on('close', resolve))
      signal('SIGCONT')
      // Threads that stand still may pass it to the wrong one: it is the first that ends wrk.
      await pause(trailMs)
      signal('SIGINT')
      const late = setTimeout(() => child.stop(), 5000)
      await closed
      clearTimeout(late)
      closeSync(counts)
      return readWrk(output).failures
    },
  }
}
