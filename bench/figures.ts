// The figures of a run as data: what the table, the results file, the JSON and the comparison are made from.

import type { Machine } from './machine.ts'
import { median, middleInterval, middleRatio } from './measure/statistics.ts'

/** One contender at one work. Lists have one entry per round; a void round is absent from all but `voids`. */
export interface PeakRow {
  work: string
  contender: string
  rounds: number
  /** Requests and stream events a second. */
  perSecond: number[]
  eventsPerSecond: number[]
  /** CPU microseconds per request and per event of the whole process group; empty for `direct`. */
  cpuPerRequest: number[]
  cpuPerEvent: number[]
  /** Requests a second as a share of the relay's in the same round; the same for CPU (relay's / own). */
  ratio: number[]
  cpuRatio: number[]
  /** Hub works: CPU per request as a multiple of the same contender's at the identity lane's twin of the work, in the same round. */
  twinCpuRatio: number[]
  /** As `roughCpu`, for these. */
  roughTwin: boolean
  /** Hub streams: CPU microseconds per event more than the relay's, which pipes, in the same round. */
  beyondPipe: number[]
  /** No round counted, so that the CPU figures are of void rounds with right answers: a guide, and no part of `flatten`. */
  roughCpu: boolean
  /** Microseconds to the first byte, median per round, where our own generator ran. */
  firstByte: number[]
  wrong: number
  voids: string[]
  /** The median of what void rounds showed, as a hint only. */
  voidPerSecond: number | undefined
  loadBusy: number
}

/** Latency at half of the contender's own peak; milliseconds; all rounds' samples together. */
export interface LatencyRow {
  work: string
  contender: string
  rate: number
  samples: number
  /** [p50, p99, p99.9]; p99.9 is undefined below 1,000 samples. */
  own: Percentiles
  direct: Percentiles
  added: Percentiles
  firstByteAdded: Percentiles
  /** Added p50 by round: for the spread. */
  addedP50: number[]
  cpuPerRequest: number[]
  /** How late the generator sent, 99th percentile of the worst round. */
  lag: number
  wrong: number
  voids: string[]
}

export interface Percentiles {
  p50: number
  p99: number
  p999: number | undefined
}

export interface MemoryRow {
  contender: string
  /** MB. `after` has one entry per wave of a thousand streams. */
  idle: number
  open: number[]
  after: number[]
  wrong: number
  failures: string[]
}

export interface StartRow {
  contender: string
  /** Milliseconds from the start of the process to the first right answer. */
  startMs: number[]
}

export interface Figures {
  machine: Machine
  command: string
  upstreams: string
  seconds: number
  peak: PeakRow[]
  latency: LatencyRow[]
  memory: MemoryRow[]
  start: StartRow[]
  absent: Record<string, string>
}

/** Named ratios and limits of a run, flat: what budgets and comparisons are about. */
export const flatten = (figures: Figures): Record<string, number> => {
  const flat: Record<string, number> = {}
  const put = (name: string, values: readonly number[]) => {
    // What no window measured is NaN, and null once it was written as JSON: a null would be taken for 0, and 0 ms keeps to any limit.
    const known = values.filter(Number.isFinite)
    if (known.length > 0) flat[name] = median(known)
  }
  // A single pair is for orientation: nothing says how far off it may be.
  const putRatio = (name: string, pairs: readonly number[]) => {
    if (pairs.length > 1) flat[name] = middleRatio(pairs).middle
  }
  for (const row of figures.peak) {
    putRatio(`${row.work}.${row.contender}.ratio`, row.ratio)
    if (!row.roughCpu) putRatio(`${row.work}.${row.contender}.cpuRatio`, row.cpuRatio)
    if (!row.roughTwin) putRatio(`${row.work}.${row.contender}.twinCpuRatio`, row.twinCpuRatio)
    if (!row.roughCpu && row.beyondPipe.length > 0) {
      put(`${row.work}.${row.contender}.cpuPerEvent`, row.cpuPerEvent)
      put(`${row.work}.${row.contender}.beyondPipe`, [middleInterval(row.beyondPipe).middle])
    }
  }
  for (const row of figures.latency) {
    put(`${row.work}.${row.contender}.addedP50`, [row.added.p50])
    put(`${row.work}.${row.contender}.addedP99`, [row.added.p99])
  }
  for (const row of figures.memory) {
    put(`memory.${row.contender}.idle`, [row.idle])
    put(`memory.${row.contender}.after`, row.after.slice(-1))
  }
  for (const row of figures.start) put(`start.${row.contender}.ms`, row.startMs)
  return flat
}
