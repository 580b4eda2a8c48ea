// Readings of /proc: CPU time and memory of a whole process group, and how busy a core is.
import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ is 100 on every Linux that Node runs on; /proc counts in it whatever the kernel's own rate. */
const tickMicros = 10_000
const pageBytes = 4096

interface Stat {
  pid: number
  group: number
  /** User and system time of all threads, in ticks. */
  ticks: number
  rssPages: number
}

const readStat = (pid: string): Stat | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command's name may hold spaces and brackets: fields are counted from the last bracket.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return {
      pid: Number(pid),
      group: Number(fields[2]),
      ticks: Number(fields[11]) + Number(fields[12]),
      rssPages: Number(fields[21]),
    }
  } catch {
    return undefined
  }
}

const readGroup = (group: number): Stat[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(readStat)
    .filter((stat): stat is Stat => stat?.group === group)

/**
 * CPU time of a process group in microseconds, threads included: what the scheduler counts in nanoseconds, because a tick is a
 * fortieth of a short window. Processes and threads that ended in between are not seen.
 */
export const readCpu = (group: number): number =>
  readGroup(group).reduce((sum, { pid, ticks }) => sum + (readScheduled(pid) ?? ticks * tickMicros), 0)

/** Undefined where the kernel does not count so, or the process has just ended. */
const readScheduled = (pid: number): number | undefined => {
  try {
    const nanos = readdirSync(`/proc/${pid}/task`).map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]),
    )
    return nanos.reduce((sum, value) => sum + value, 0) / 1000
  } catch {
    return undefined
  }
}

/** Resident memory of a process group in bytes. */
export const readMemory = (group: number): number =>
  readGroup(group).reduce((sum, stat) => sum + stat.rssPages, 0) * pageBytes

/** CPU time of this process and of all children that have ended, microseconds. */
export const readOwnCpu = (): number => {
  const text = readFileSync('/proc/self/stat', 'latin1')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * tickMicros
}

export interface CoreReading {
  total: number
  idle: number
  steal: number
}

/** Ticks of one core since boot; all zero where there is no such line. */
export const readCore = (core: number | undefined): CoreReading => {
  const name = core === undefined ? 'cpu' : `cpu${core}`
  const line = readFileSync('/proc/stat', 'latin1')
    .split('\n')
    .find((text) => text.startsWith(`${name} `))
  const ticks = (line ?? '').trim().split(/\s+/).slice(1, 9).map(Number)
  return {
    total: ticks.reduce((sum, value) => sum + value, 0),
    idle: (ticks[3] ?? 0) + (ticks[4] ?? 0),
    steal: ticks[7] ?? 0,
  }
}

/** Shares of the time between two readings, 0 to 1: `busy` = the core did something, `stolen` = the host took it. `micros` is that time. */
export const compareCore = (
  before: CoreReading,
  after: CoreReading,
): { busy: number; stolen: number; micros: number } => {
  const total = Math.max(1, after.total - before.total)
  const stolen = (after.steal - before.steal) / total
  const busy = 1 - (after.idle - before.idle) / total - stolen
  return { busy, stolen, micros: total * tickMicros }
}
