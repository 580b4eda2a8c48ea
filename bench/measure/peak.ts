// Interleaved rounds: every contender at one work, in turn, several times; ratios are taken within a round.
import type { Running } from '../contenders/contender.ts'
import type { PeakRow } from '../figures.ts'
import { drivePeak } from '../load/drive.ts'
import type { Plan } from '../plan.ts'
import type { Stage } from '../stage.ts'
import type { Work } from '../work.ts'
import { median } from './statistics.ts'
import { measureWindow, type Window } from './window.ts'

/** These run shorter, and only once outside the first work: nothing is measured against them here. */
const orientation: readonly string[] = ['direct', 'nginx']

/** Measures one work. `tell` is called with a line of progress per round. */
export const measurePeak = async (
  stage: Stage,
  contenders: readonly Running[],
  work: Work,
  plan: Plan,
  isFirst: boolean,
  tell: (text: string) => void,
): Promise<PeakRow[]> => {
  const rounds = isFirst ? plan.firstRounds : plan.rounds
  for (const running of contenders) {
    if (running.child) await drivePeak(stage, running, work, isFirst ? plan.warmUp : plan.warmUp / 2)
  }
  const windows = new Map<Running, Window[]>(contenders.map((running) => [running, []]))
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another contender, so that no one always follows the same neighbour.
    const order = contenders.map((_, i) => contenders[(i + round) % contenders.length]!)
    for (const running of order) {
      const isOrientation = orientation.includes(running.contender.name)
      if (isOrientation && round > 0 && !isFirst) continue
      const seconds = isOrientation ? Math.min(1, plan.window) : plan.window
      windows.get(running)!.push(await measureWindow(stage, running, () => drivePeak(stage, running, work, seconds)))
    }
    tell(`${work.name}: round ${round + 1} of ${rounds}`)
  }
  const relay = contenders.find(({ contender }) => contender.name === 'relay')
  const base = relay && windows.get(relay)!
  return contenders.map((running) => makeRow(running.contender.name, work, windows.get(running)!, base))
}

const rate = ({ load }: Window) => load.completed / load.seconds
const cpuOf = ({ cpu, load }: Window) => (cpu === undefined ? undefined : cpu / load.completed)

const makeRow = (contender: string, work: Work, windows: Window[], base: Window[] | undefined): PeakRow => {
  const good = windows.filter((window) => window.void === undefined)
  const bad = windows.filter((window) => window.void !== undefined)
  const pairs = windows.flatMap((own, round) => {
    const other = base?.[round]
    return other && own.void === undefined && other.void === undefined ? [{ own, other }] : []
  })
  const cpu = good.map(cpuOf).filter((value) => value !== undefined)
  const firstBytes = good.filter(({ load }) => load.firstByte.length > 0)
  return {
    work: work.name,
    contender,
    rounds: good.length,
    perSecond: good.map(rate),
    eventsPerSecond: work.stream ? good.map((window) => rate(window) * work.events) : [],
    cpuPerRequest: cpu,
    cpuPerEvent: work.stream ? cpu.map((value) => value / work.events) : [],
    ratio: work.kind === 'peak' ? pairs.map(({ own, other }) => rate(own) / rate(other)) : [],
    cpuRatio: pairs.flatMap(({ own, other }) => (own.cpu && other.cpu ? [cpuOf(other)! / cpuOf(own)!] : [])),
    firstByte: firstBytes.map(({ load }) => median(load.firstByte)),
    wrong: windows.reduce((sum, { load }) => sum + load.wrong, 0),
    voids: bad.map((window) => window.void!),
    voidPerSecond: bad.length > 0 ? median(bad.map(rate)) : undefined,
    loadBusy: median(windows.map(({ loadBusy }) => loadBusy)),
  }
}
