// How long each set measures: windows, rounds, and which works it holds.
import type { SetName } from './arguments.ts'
import { type Work, works } from './work.ts'

export interface Plan {
  readonly works: readonly Work[]
  /** Of a contender at one work, in windows of `windowOf`. */
  readonly seconds: number
  /** The first work has more: it is the one that others are quoted by. */
  readonly firstSeconds: number
  /** Rounds of the first work that the peers take part in. */
  readonly peerRounds: number
  /** Most seconds of warming up a contender before its first work, before each later one, and before each that streams. */
  readonly warmUp: { readonly first: number; readonly later: number; readonly stream: number }
  /** Seconds that may go into measuring disturbed windows again. */
  readonly repeats: number
  readonly latencyWorks: readonly string[]
  readonly latencyRounds: number
  readonly latencyWindow: number
  readonly starts: number
  /** Waves of a thousand held streams; 0 = leave memory out. */
  readonly waves: number
}

/** Nothing of ours is measured against these but in the first work: beyond it one window of them is enough. */
export const orientation: readonly string[] = ['direct', 'nginx', 'portkey']

const ranks = { quick: 0, core: 1, full: 2 }

/**
 * Seconds of a window. What disturbs a machine comes and goes within seconds: many short windows in turn tell more than few long ones of
 * the same sum. They are longer where what is under way at the end of one, and is not counted, would be much of it.
 */
export const windowOf = ({ kind, body, connections }: Work): number =>
  kind === 'paced' || body.length > 10_000 || connections > 64 ? 1 : 0.5

/** Windows of a contender at one work; never so few that one disturbed window is the median. */
export const roundsOf = (plan: Plan, work: Work, isFirst: boolean): number =>
  Math.max(6, Math.round((isFirst ? plan.firstSeconds : plan.seconds) / windowOf(work)))

/** The plan of a set; `only` may narrow its works. */
export const makePlan = (set: SetName, only: readonly string[]): Plan => {
  const named = works.filter((work) => only.includes(work.name))
  const chosen = named.length > 0 ? named : works.filter((work) => ranks[work.set] <= ranks[set])
  const quick: Omit<Plan, 'works'> = {
    seconds: 3,
    firstSeconds: 3,
    peerRounds: 3,
    warmUp: { first: 4, later: 2, stream: 2 },
    latencyWorks: ['json'],
    latencyRounds: 1,
    latencyWindow: 1.5,
    starts: 1,
    waves: 0,
    repeats: 10,
  }
  const core: Omit<Plan, 'works'> = {
    seconds: 4.5,
    firstSeconds: 6,
    peerRounds: 6,
    warmUp: { first: 8, later: 1, stream: 3 },
    latencyWorks: ['json', 'stream'],
    latencyRounds: 3,
    latencyWindow: 1.5,
    starts: 3,
    waves: 2,
    repeats: 10,
  }
  const full: Omit<Plan, 'works'> = {
    ...core,
    seconds: 20,
    firstSeconds: 28,
    peerRounds: 10,
    warmUp: { first: 12, later: 4, stream: 4 },
    latencyRounds: 5,
    latencyWindow: 4,
    starts: 5,
    repeats: 120,
  }
  const plan = { quick, core, full }[set]
  return {
    ...plan,
    works: chosen,
    latencyWorks: plan.latencyWorks.filter((name) => chosen.some((work) => work.name === name)),
  }
}
