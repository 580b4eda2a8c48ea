// Interleaved rounds: every contender at one work, in turn, several times; ratios are taken within a round.
import type { Running } from '../contenders/contender.ts'
import type { PeakRow } from '../figures.ts'
import { drivePeak } from '../load/drive.ts'
import type { LoadResult } from '../load/job.ts'
import { type LastingLoad, openLoad } from '../load/lasting.ts'
import { orientation, type Plan, roundsOf, windowOf } from '../plan.ts'
import { type Stage, takesPart } from '../stage.ts'
import { type Work, works } from '../work.ts'
import { dearest, findSlowed } from './quiet.ts'
import { median } from './statistics.ts'
import { measureWindow, spend, type Window } from './window.ts'

/** Whose identity lane is measured beside its hub lane, round by round. */
const twinned = 'turnout'

/** Windows of the same round are compared with each other. */
interface Placed extends Window {
  readonly round: number
  readonly isSlowed?: boolean
}

/** What was measured at one work so far. */
interface Measured {
  readonly work: Work
  readonly windows: Map<Running, Placed[]>
  /** Of the identity lane, beside the hub's. */
  readonly twins: Placed[]
}

/**
 * Measures all works of a plan. `tell` is called with a line of progress, `show` with the rows as they stand after each work.
 *
 * The works are gone through several times, so that each is measured at several moments of the run: what a machine does for minutes
 * falls on all of them. Those of which too little was quiet are gone through again, as long as there is patience.
 */
export const measurePeaks = async (
  stage: Stage,
  all: readonly Running[],
  plan: Plan,
  tell: (text: string) => void,
  show: (rows: PeakRow[]) => void,
): Promise<void> => {
  for (const work of plan.works) {
    for (const running of all) {
      const seconds = running.child && takesPart(running.contender, work) ? warmSeconds(plan, running, work) : 0
      if (seconds > 0) await drivePeak(stage, running, work, seconds)
    }
  }
  tell('all contenders are warm')
  const measured = plan.works.map((work): Measured => ({ work, windows: new Map(), twins: [] }))
  const measure = async (one: Measured, pass: number, said: string): Promise<void> => {
    await measureBlock(stage, all, one, plan, pass)
    tell(`${one.work.name}: ${said}`)
    show(measured.filter(({ windows }) => windows.size > 0).flatMap(makeRows))
  }
  for (let pass = 0; pass < plan.passes; pass++)
    for (const one of measured) await measure(one, pass, `${pass + 1} of ${plan.passes}`)
  const { patience } = stage
  for (let pass = plan.passes; patience.seconds > leastPatience; pass++) {
    const poor = measured.filter((one) => isPoor(one, plan))
    if (poor.length === 0) return
    for (const one of poor)
      if (patience.seconds > leastPatience) await spend(patience, () => measure(one, pass, `again, ${pass + 1}`))
  }
}

/** Seconds that a work takes to be gone through. */
const leastPatience = 20
/** Of the pairs that a work was to have. */
const enough = 0.6

/** Whether too few windows of ours have a quiet one beside them. A peer is for orientation. */
const isPoor = (one: Measured, plan: Plan): boolean => {
  const wanted = Math.floor(plan.passes * roundsOf(plan, one.work) * enough)
  const isFew = (pairs: readonly number[], rough: boolean): boolean => rough || pairs.length < wanted
  return makeRows(one).some(
    ({ contender, cpuRatio, roughCpu, twinCpuRatio, roughTwin }) =>
      contender.startsWith('turnout') &&
      (isFew(cpuRatio, roughCpu) || (contender === twinned && one.work.hub && isFew(twinCpuRatio, roughTwin))),
  )
}

/** How long a contender is loaded before its first window at a work. The relay runs one code for all lanes; nginx has nothing to learn. */
const warmSeconds = ({ works: chosen, warmUp: times }: Plan, { contender: { name } }: Running, work: Work): number => {
  if (name === 'nginx') return 0
  if (work === chosen[0]) return orientation.includes(name) ? times.peer : times.first
  if (orientation.includes(name)) return 0
  const isOurs = name.startsWith('turnout')
  const before = chosen.slice(0, chosen.indexOf(work))
  // Where the upstream's reply is not the client's, as with usage that the client did not ask for, other code of ours is at work.
  const isAlike = ({ lane, reply }: Work) => lane === work.lane && reply.equals(work.reply)
  const isKnown = before.some((other) => other.stream === work.stream && (isAlike(other) || !isOurs))
  if (isKnown) return 0
  return work.stream ? times.stream : times.later
}

/** Rounds of windows at one work, every contender in turn. */
const measureBlock = async (
  stage: Stage,
  all: readonly Running[],
  { work, windows, twins }: Measured,
  plan: Plan,
  pass: number,
): Promise<void> => {
  const isFirst = work === plan.works[0]
  const isPeer = ({ contender: { name } }: Running) => orientation.includes(name)
  const peerPass = plan.passes - 1
  const contenders = all.filter(
    (running) => takesPart(running.contender, work) && !(isPeer(running) && (isFirst ? pass < peerPass : pass > 0)),
  )
  const twin = works.find(({ name }) => name === work.hub?.twin)
  const own = contenders.find(({ contender }) => contender.name === twinned)
  const rounds = roundsOf(plan, work)
  const twinLoad = twin && own && (await openLoad(stage, own, twin, windowOf(work, own.contender.name)))
  const loads = new Map<Running, LastingLoad>()
  for (const running of contenders)
    loads.set(running, await openLoad(stage, running, work, windowOf(work, running.contender.name)))
  for (let n = 0; n < rounds; n++) {
    const round = pass * rounds + n
    // Each round begins with another contender, so that no one always follows the same neighbour.
    const order = contenders.map((_, i) => contenders[(i + n) % contenders.length]!)
    for (const running of order) {
      const most = !isPeer(running) ? rounds : isFirst ? plan.peerRounds : 1
      if (n >= most) continue
      if (!windows.has(running)) windows.set(running, [])
      const list = windows.get(running)!
      const load = loads.get(running)!
      list.push({ round, ...(await measureWindow(stage, running, load)) })
      if (running === own && twinLoad) twins.push({ round, ...(await measureWindow(stage, own, twinLoad)) })
      // At once, because a peer may not keep a connection that stands still.
      if (n === most - 1) blame(list.at(-1)!, await load.close())
    }
  }
  if (twinLoad) blame(twins.at(-1)!, await twinLoad.close())
}

/** What went wrong with the connections of a load is known at its end. Replies that were wrong are in their windows already. */
const blame = (window: Window, failures: LoadResult['failures']): void => {
  for (const [kind, count] of Object.entries(failures)) {
    if (kind === 'another reply') continue
    window.load.wrong += count
    window.load.failures[kind] = count
    window.void = `wrong: ${count} x ${kind}`
  }
}

const makeRows = ({ work, windows, twins }: Measured): PeakRow[] => {
  const judged = new Map([...windows].map(([{ contender }, own]) => [contender.name, voidSlowed(own)]))
  const judgedTwins = voidSlowed(twins)
  return [...judged].map(([contender, own]) =>
    makeRow(contender, work, own, judged.get('relay') ?? [], contender === twinned ? judgedTwins : []),
  )
}

/** The windows of a contender at a work, those void that the machine slowed down. */
const voidSlowed = (windows: readonly Placed[]): Placed[] => {
  const most = dearest(windows.filter(isRight).flatMap((window) => cpuOf(window) ?? []))
  return windows.map((window) => {
    const cpu = isRight(window) ? cpuOf(window) : undefined
    const slowed = cpu === undefined ? undefined : findSlowed(cpu, most)
    return slowed === undefined ? window : { ...window, void: window.void ?? slowed, isSlowed: true }
  })
}

const rate = ({ load }: Window) => load.completed / load.seconds
const cpuOf = ({ cpu, load }: Window) => (cpu === undefined ? undefined : cpu / load.completed)

const isGood = (window: Placed) => window.void === undefined
const isRight = ({ load }: Window) => load.wrong === 0 && load.completed > 0
/** The CPU of a request is not far off in a window that is void for its speed alone. */
const isRough = (window: Placed) => isRight(window) && !window.isSlowed

const makeRow = (
  contender: string,
  work: Work,
  windows: readonly Placed[],
  base: readonly Placed[],
  twins: readonly Placed[],
): PeakRow => {
  const good = windows.filter(isGood)
  const bad = windows.filter((window) => !isGood(window))
  /** Windows beside those of others in the same round; of a paced work, where few are quiet in the same one, the first beside the first, and so on. */
  const beside = (others: readonly Placed[], counts: (window: Placed) => boolean) => {
    const theirs = others.filter(counts)
    const byRound = new Map(theirs.map((other) => [other.round, other]))
    return windows.filter(counts).flatMap((own, n) => {
      const other = work.kind === 'paced' ? theirs[n] : byRound.get(own.round)
      return other ? [{ own, other }] : []
    })
  }
  const pair = (counts: (window: Placed) => boolean) => beside(base, counts)
  const pairs = pair(isGood)
  const ofTwin = (counts: (window: Placed) => boolean) =>
    beside(twins, counts).map(({ own, other }) => cpuOf(own)! / cpuOf(other)!)
  const roughCpu = pairs.length === 0
  const roughTwin = ofTwin(isGood).length === 0
  const cpu = (roughCpu ? windows.filter(isRough) : good).map(cpuOf).filter((value) => value !== undefined)
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
    cpuRatio: (roughCpu ? pair(isRough) : pairs).flatMap(({ own, other }) =>
      own.cpu && other.cpu ? [cpuOf(other)! / cpuOf(own)!] : [],
    ),
    twinCpuRatio: roughTwin ? ofTwin(isRough) : ofTwin(isGood),
    roughTwin,
    beyondPipe:
      work.hub && work.stream
        ? (roughCpu ? pair(isRough) : pairs).flatMap(({ own, other }) =>
            own.cpu && other.cpu && base !== windows ? [(cpuOf(own)! - cpuOf(other)!) / work.events] : [],
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
