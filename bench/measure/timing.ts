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

/** Calls `work` for a bit over half a second. `per` divides the result, for functions that do several units at once. */
export const timeFunction = (work: () => unknown, per = 1): Timing => {
  // Warm: the optimising compiler has to be done before the first sample counts.
  const warm = performance.now() + 150
  let calls = 0
  while (performance.now() < warm) {
    sink.value = work()
    calls++
  }
  const batch = Math.max(1, Math.round((calls / 150) * sampleMs))
  const times = Array.from({ length: samples }, () => {
    const begun = performance.now()
    for (let i = 0; i < batch; i++) sink.value = work()
    return ((performance.now() - begun) * 1000) / batch / per
  })
  return { micros: median(times), spread: spread(times) }
}
