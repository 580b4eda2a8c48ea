// Interleaved rounds: every contender at one work, in turn, several times; ratios are taken within a round.
import type { Running } from '../contenders/contender.ts'
import type { PeakRow } from '../figures.ts'
import { drivePeak } from '../load/drive.ts'
import { orientation, type Plan, roundsOf, windowOf } from '../plan.ts'
import { type Stage, takesPart } from '../stage.ts'
import { type Work, works } from '../work.ts'
import { median } from './statistics.ts'
import { measureWindow, type Window } from './window.ts'

/** Whose identity lane is measured beside its hub lane, round by round. */
const twinned = 'turnout'

/** V8 compiles the hot path for its first 20,000 or so requests, at several times the cost: seen as 430 µs falling to 150. */
const warmRequests = 20_000

/** Loads a contender until it is warm, for `limit` seconds at most. A large prompt counts for many requests; a stream for few, because the code of its events is another. */
export const warmUp = async (stage: Stage, running: Running, work: Work, limit: number): Promise<void> => {
  const end = performance.now() + limit * 1000
  const weight = work.stream ? 4 : Math.max(1, work.body.length / 10_000)
  let done = 0
  while (done < warmRequests && performance.now() < end) {
    done += (await drivePeak(stage, running, work, Math.min(1, limit))).completed * weight
  }
}

/** Measures one work. `tell` is called with a line of progress. */
export const measurePeak = async (
  stage: Stage,
  all: readonly Running[],
  work: Work,
  plan: Plan,
  isFirst: boolean,
  tell: (text: string) => void,
): Promise<PeakRow[]> => {
  const rounds = roundsOf(plan, work, isFirst)
  const contenders = all.filter(({ contender }) => takesPart(contender, work))
  const twin = works.find(({ name }) => name === work.hub?.twin)
  const twins: Window[] = []
  for (const running of contenders) {
    if (!running.child || (!isFirst && orientation.includes(running.contender.name))) continue
    await warmUp(stage, running, work, isFirst ? plan.warmUp.first : plan.warmUp[work.stream ? 'stream' : 'later'])
    if (twin && running.contender.name === twinned) await warmUp(stage, running, twin, plan.warmUp.later)
  }
  const windows = new Map<Running, Window[]>(contenders.map((running) => [running, []]))
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another contender, so that no one always follows the same neighbour.
    const order = contenders.map((_, i) => contenders[(i + round) % contenders.length]!)
    for (const running of order) {
      if (orientation.includes(running.contender.name) && round >= (isFirst ? plan.peerRounds : 1)) continue
      const measure = (one: Work) => measureWindow(stage, running, () => drivePeak(stage, running, one, windowOf(one)))
      windows.get(running)!.push(await measure(work))
      if (twin && running.contender.name === twinned) twins.push(await measure(twin))
    }
  }
  tell(`${work.name}: ${rounds} rounds`)
  const relay = contenders.find(({ contender }) => contender.name === 'relay')
  const base = relay && windows.get(relay)!
  return contenders.map(({ contender: { name } }, i) =>
    makeRow(name, work, windows.get(contenders[i]!)!, base, name === twinned ? twins : []),
  )
}

const rate = ({ load }: Window) => load.completed / load.seconds
const cpuOf = ({ cpu, load }: Window) => (cpu === undefined ? undefined : cpu / load.completed)

const isGood = (window: Window) => window.void === undefined
/** The CPU of a request is not far off in a window that is void for its speed alone. */
const isRight = ({ load }: Window) => load.wrong === 0 && load.completed > 0

const makeRow = (
  contender: string,
  work: Work,
  windows: Window[],
  base: Window[] | undefined,
  twins: readonly Window[],
): PeakRow => {
  const good = windows.filter(isGood)
  const bad = windows.filter((window) => !isGood(window))
  const pair = (counts: (window: Window) => boolean) =>
    windows.flatMap((own, round) => {
      const other = base?.[round]
      return other && counts(own) && counts(other) ? [{ own, other }] : []
    })
  const pairs = pair(isGood)
  const ofTwin = (counts: (window: Window) => boolean) =>
    windows.flatMap((one, round) => {
      const twin = twins[round]
      return twin && counts(one) && counts(twin) ? [cpuOf(one)! / cpuOf(twin)!] : []
    })
  const roughCpu = pairs.length === 0
  const roughTwin = ofTwin(isGood).length === 0
  const cpu = (roughCpu ? windows.filter(isRight) : good).map(cpuOf).filter((value) => value !== undefined)
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
    cpuRatio: (roughCpu ? pair(isRight) : pairs).flatMap(({ own, other }) =>
      own.cpu && other.cpu ? [cpuOf(other)! / cpuOf(own)!] : [],
    ),
    twinCpuRatio: roughTwin ? ofTwin(isRight) : ofTwin(isGood),
    roughTwin,
    beyondPipe:
      work.hub && work.stream
        ? (roughCpu ? pair(isRight) : pairs).flatMap(({ own, other }) =>
            own.cpu && other.cpu && own !== other ? [(cpuOf(own)! - cpuOf(other)!) / work.events] : [],
          )
        : [],
    roughCpu,
    firstByte: firstBytes.map(({ load }) => median(load.firstByte)),
    wrong: windows.reduce((sum, { load }) => sum + load.wrong, 0),
    voids: bad.map((window) => window.void!),
    voidPerSecond: bad.length > 0 ? median(bad.map(rate)) : undefined,
    loadBusy: median(windows.map(({ loadBusy }) => loadBusy)),
  }
}
