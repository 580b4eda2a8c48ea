// Reads facts about this process for /metrics: CPU, memory, open files, event-loop lag.
import { readdirSync } from 'node:fs'
import { totalmem } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Sample } from './families.ts'

const one = (value: number): Sample[] => [{ labels: {}, value }]

export function readCpu(): Sample[] {
  const { user, system } = process.cpuUsage()
  return [
    { labels: { mode: 'user' }, value: user / 1e6 },
    { labels: { mode: 'system' }, value: system / 1e6 },
  ]
}

export const readMemory = (): Sample[] => one(process.memoryUsage.rss())

/** The container's limit where there is one; libuv says 0 or a number beyond all memory where there is none. */
export function readMemoryLimit(): Sample[] {
  const limit = process.constrainedMemory?.() ?? 0
  return one(limit > 0 && limit < totalmem() ? limit : totalmem())
}

export function readHeap(): Sample[] {
  const { heapUsed, heapTotal, external } = process.memoryUsage()
  return [
    { labels: { part: 'used' }, value: heapUsed },
    { labels: { part: 'reserved' }, value: heapTotal },
    { labels: { part: 'external' }, value: external },
  ]
}

export function readOpenFiles(): Sample[] {
  try {
    // One of them is the listing itself.
    return one(readdirSync('/proc/self/fd').length - 1)
  } catch {
    return []
  }
}

export const readStartTime = (): Sample[] => one(Math.round(performance.timeOrigin) / 1000)

const resolutionMs = 10
const windowMs = 5000

/** Watches how late the event loop runs. `stop` ends the watching. */
export function watchLoop(now: () => number = () => performance.now()): { read(): Sample[]; stop(): void } {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs })
  delay.enable()
  let since = now()
  // Node records the whole time between two ticks of its own timer; the timer's interval is not lag.
  const lag = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - resolutionMs / 1000)
  return {
    read() {
      const samples = [0.5, 0.99].map((quantile) => ({
        labels: { quantile },
        value: delay.count === 0 ? 0 : lag(delay.percentile(quantile * 100)),
      }))
      samples.push({ labels: { quantile: 1 }, value: delay.count === 0 ? 0 : lag(delay.max) })
      // Reset by time, not by scrape: two scrapers a second apart must both see a long stall.
      if (now() - since >= windowMs) {
        delay.reset()
        since = now()
      }
      return samples
    },
    stop: () => void delay.disable(),
  }
}
