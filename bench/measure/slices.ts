// Two gateways of one process under load by turns, some hundred times: what they differ by, whatever the machine does meanwhile.
import { setTimeout as pause } from 'node:timers/promises'
import type { Child } from '../child.ts'
import type { Pair } from '../contenders/pair.ts'
import { drivePeak } from '../load/drive.ts'
import type { LoadResult } from '../load/job.ts'
import type { Stage } from '../stage.ts'
import type { Work } from '../work.ts'

/** CPU microseconds per request of either gateway in two slices that followed each other. */
export type Slices = readonly [number, number]

/** A gateway that starts to be loaded finds its caches cold and has rows of before to write. */
const leadMs = 60
const sliceMs = 200

/**
 * Both loads live all the time, and one of them is stopped by signal. Slices are short, since what disturbs a machine lasts for longer: it falls on
 * both. @throws Error when a reply is wrong.
 */
export const measureSlices = async (stage: Stage, pair: Pair, work: Work, seconds: number): Promise<Slices[]> => {
  const results: Promise<LoadResult>[] = []
  const started = pair.sides.map(
    (side) =>
      new Promise<Child>((resolve, reject) => {
        const result = drivePeak(stage, side, work, seconds, (load) => {
          signal(load, 'SIGSTOP')
          resolve(load)
        })
        result.catch(reject)
        results.push(result)
      }),
  )
  const loads = await Promise.all(started)
  const end = performance.now() + (seconds - 1) * 1000
  const slices: Slices[] = []
  for (let turn = 0; performance.now() < end; turn++) {
    const figures: [number, number] = [0, 0]
    // The order alternates, so that a drift of the machine falls on both.
    for (const i of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      signal(loads[i]!, 'SIGCONT')
      await pause(leadMs)
      const before = await pair.read()
      await pause(sliceMs)
      const after = await pair.read()
      signal(loads[i]!, 'SIGSTOP')
      // What was under way comes to its end: it is not the other's.
      await pause(10)
      figures[i] = (after.micros - before.micros) / (after.counts[i] - before.counts[i])
    }
    if (figures.every(Number.isFinite)) slices.push(figures)
  }
  for (const load of loads) signal(load, 'SIGCONT')
  for (const { wrong, failures } of await Promise.all(results))
    if (wrong > 0) throw new Error(`wrong replies: ${JSON.stringify(failures)}`)
  return slices
}

const signal = ({ pid }: Child, name: 'SIGSTOP' | 'SIGCONT'): void => {
  process.kill(-pid, name)
}
