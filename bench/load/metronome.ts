// A clock that ticks to the microsecond: a thread that sleeps by futex and pokes the main loop, because timers have whole milliseconds.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

interface Beat {
  /** Monotonic time of tick 0 and the distance between ticks, in microseconds. */
  start: number
  gap: number
  ticks: number
}

/** Monotonic microseconds, the same in all threads of the machine. */
export const nowMicros = (): number => Number(process.hrtime.bigint() / 1000n)

/** Calls `onTick` at `start + n * gap` for n below `ticks`; late ticks are not merged, so that none is lost. */
export const startMetronome = (beat: Beat, onTick: () => void): Worker => {
  const worker = new Worker(new URL(import.meta.url), { workerData: beat })
  worker.on('message', onTick)
  worker.unref()
  return worker
}

if (!isMainThread && workerData && typeof (workerData as Beat).gap === 'number') {
  const { start, gap, ticks } = workerData as Beat
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  for (let i = 0; i < ticks; i++) {
    const wait = start + i * gap - nowMicros()
    // Sleeping is what makes it cheap; what the kernel oversleeps (some 50 µs) is the same for every contender.
    if (wait > 0) Atomics.wait(nothing, 0, 0, wait / 1000)
    parentPort!.postMessage(0)
  }
}
