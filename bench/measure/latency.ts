// Added latency: a contender and then `direct` at the same fixed rate, half of the contender's own peak, in an open model.
import type { Running } from '../contenders/contender.ts'
import type { LatencyRow, Percentiles } from '../figures.ts'
import { driveOwn } from '../load/drive.ts'
import { orientation, type Plan } from '../plan.ts'
import type { Stage } from '../stage.ts'
import type { Work } from '../work.ts'
import { percentile } from './statistics.ts'
import { measureWindow, type Window } from './window.ts'

/**
 * Seconds at the beginning of each window whose replies do not count: its connections are new, and the generator's code is not compiled. They had 10 to 50 ms where
 * the rest of the same windows had 3 to 7, and as a tenth of a window they were its 99th percentile, of the relay as well.
 */
const lead = 0.5

interface Pair {
  own: Window
  direct: Window
}

/** Measures every contender but `direct`. `peaks` holds requests a second by contender; those without one are left out. */
export const measureLatency = async (
  stage: Stage,
  contenders: readonly Running[],
  work: Work,
  peaks: ReadonlyMap<string, number>,
  plan: Plan,
  tell: (text: string) => void,
): Promise<LatencyRow[]> => {
  const direct = contenders.find(({ contender }) => contender.name === 'direct')!
  const others = contenders.filter(({ contender }) => contender.name !== 'direct' && peaks.has(contender.name))
  const pairs = new Map<string, Pair[]>(others.map(({ contender }) => [contender.name, []]))
  const rateOf = (running: Running) => Math.max(1, peaks.get(running.contender.name)! / 2)
  const measure = async (running: Running, rate: number): Promise<Window> => {
    const drive = { mode: 'open', lead, seconds: plan.latencyWindow, rate, connections: 128 } as const
    return measureWindow(stage, running, { isPartial: true, run: () => driveOwn(stage, running, work, drive) })
  }
  for (let round = 0; round < plan.latencyRounds; round++) {
    for (const running of others) {
      if (round > 0 && orientation.includes(running.contender.name)) continue
      const rate = rateOf(running)
      pairs
        .get(running.contender.name)!
        .push({ own: await measure(running, rate), direct: await measure(direct, rate) })
    }
    tell(`${work.name}: latency round ${round + 1} of ${plan.latencyRounds}`)
  }
  return others.map((running) =>
    makeRow(running.contender.name, work, rateOf(running), pairs.get(running.contender.name)!),
  )
}

const percentiles = (micros: readonly number[]): Percentiles => ({
  p50: percentile(micros, 0.5) / 1000,
  p99: percentile(micros, 0.99) / 1000,
  p999: micros.length >= 1000 ? percentile(micros, 0.999) / 1000 : undefined,
})

const subtract = (own: Percentiles, direct: Percentiles): Percentiles => ({
  p50: own.p50 - direct.p50,
  p99: own.p99 - direct.p99,
  p999: own.p999 === undefined || direct.p999 === undefined ? undefined : own.p999 - direct.p999,
})

const makeRow = (contender: string, work: Work, rate: number, all: readonly Pair[]): LatencyRow => {
  // `direct` keeps no gateway busy, so only its wrong answers and its load's core can spoil it.
  const good = all.filter(({ own, direct }) => own.void === undefined && direct.void === undefined)
  const join = (pick: (pair: Pair) => number[]) => good.flatMap(pick)
  const own = percentiles(join((pair) => pair.own.load.latency))
  const direct = percentiles(join((pair) => pair.direct.load.latency))
  const p50 = (values: number[]) => percentile(values, 0.5) / 1000
  return {
    work: work.name,
    contender,
    rate,
    samples: join((pair) => pair.own.load.latency).length,
    own,
    direct,
    added: subtract(own, direct),
    firstByteAdded: subtract(
      percentiles(join((pair) => pair.own.load.firstByte)),
      percentiles(join((pair) => pair.direct.load.firstByte)),
    ),
    addedP50: good.map((pair) => p50(pair.own.load.latency) - p50(pair.direct.load.latency)),
    cpuPerRequest: good.flatMap(({ own }) => (own.cpu === undefined ? [] : [own.cpu / own.load.completed])),
    lag: Math.max(0, ...good.flatMap(({ own, direct }) => [own.load.lagP99, direct.load.lagP99])),
    wrong: all.reduce((sum, pair) => sum + pair.own.load.wrong + pair.direct.load.wrong, 0),
    voids: all.flatMap(({ own, direct }) =>
      [own.void, direct.void && `direct: ${direct.void}`].filter((text) => text !== undefined),
    ),
  }
}
