// Times one function in process: enough calls to fill a sample, several samples, the median.
import { median, spread } from './statistics.ts'

export interface Timing {
  /** Microseconds a call. */
  micros: number
  spread: number
}

/** Keeps results alive, so that the engine cannot drop the calls. */
export const sink: { value: unknown } = { value: undefined }

const sampleMs = 40
const samples = 15

export interface TimingOptions {
  /** Divides the result, for functions that do several units at once. */
  readonly per?: number | undefined
  /** For work that puts something off: does it, or lets it be done. Not part of the time. */
  readonly rest?: (() => Promise<unknown>) | undefined
}

/** Calls between two rests. A log has room for some 25,000 lines that wait to be written, and drops the newest beyond. */
const restless = 10_000

/** Calls `work` for a bit over half a second. */
export const timeFunction = async (work: () => unknown, { per = 1, rest }: TimingOptions = {}): Promise<Timing> => {
  const repeat = async (count: number): Promise<number> => {
    let spent = 0
    for (let done = 0; done < count; ) {
      const end = rest ? Math.min(count, done + restless) : count
      const begun = performance.now()
      for (; done < end; done++) sink.value = work()
      spent += performance.now() - begun
      await rest?.()
    }
    return spent
  }
  // Warm: the optimising compiler has to be done before the first sample counts.
  let calls = 0
  let warmMs = 0
  for (let count = 1; warmMs < 150; count = Math.min(restless, count * 2)) {
    warmMs += await repeat(count)
    calls += count
  }
  const batch = Math.max(1, Math.round((calls / warmMs) * sampleMs))
  const times: number[] = []
  for (let n = 0; n < samples; n++) times.push(((await repeat(batch)) * 1000) / batch / per)
  return { micros: median(times), spread: spread(times) }
}
