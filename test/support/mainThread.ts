// What the main thread of this process has worked: on a machine that has other things to do, too.
import { existsSync, readFileSync } from 'node:fs'

// Time on a processor, of the thread that reads it, in nanoseconds (kernel.org, Documentation/scheduler/sched-stats.rst).
const ofThread = '/proc/thread-self/schedstat'
const hasThreadTime = existsSync(ofThread)

/** CPU time in milliseconds: of this thread alone where the kernel tells it, else of the whole process. */
export function readCpuTime(): number {
  if (hasThreadTime) return Number(readFileSync(ofThread, 'utf8').split(' ', 1)[0]) / 1e6
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Most CPU time, in milliseconds, between two turns of the event loop while `work` goes on: waiting for a processor does not count. */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let isOver = false
  let last = readCpuTime()
  const look = (): void => {
    const now = readCpuTime()
    longest = Math.max(longest, now - last)
    last = now
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await work()
  isOver = true
  return longest
}
