// How long each set measures: rounds, seconds a window, and which works it holds.
import type { SetName } from './arguments.ts'
import { type Work, works } from './work.ts'

export interface Plan {
  readonly works: readonly Work[]
  readonly rounds: number
  /** The first work has more: it is the one that others are quoted by. */
  readonly firstRounds: number
  /** Whole seconds of a window. */
  readonly window: number
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

/** The plan of a set; `only` may narrow its works. */
export const makePlan = (set: SetName, only: readonly string[]): Plan => {
  const named = works.filter((work) => only.includes(work.name))
  const chosen = named.length > 0 ? named : works.filter((work) => ranks[work.set] <= ranks[set])
  const quick: Omit<Plan, 'works'> = {
    rounds: 3,
    firstRounds: 3,
    window: 1,
    warmUp: { first: 4, later: 2, stream: 2 },
    latencyWorks: ['json'],
    latencyRounds: 1,
    latencyWindow: 1.5,
    starts: 1,
    waves: 0,
    repeats: 10,
  }
  const core: Omit<Plan, 'works'> = {
    rounds: 4,
    firstRounds: 5,
    window: 1,
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
    rounds: 5,
    firstRounds: 7,
    window: 4,
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
