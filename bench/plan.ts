// How long each set measures: windows, rounds, and which works it holds.
import type { SetName } from './arguments.ts'
import type { WindowTimes } from './load/lasting.ts'
import { type Work, works } from './work.ts'

export interface Plan {
  readonly works: readonly Work[]
  /** How many times the works are gone through. */
  readonly passes: number
  /** Rounds of windows in each pass: of the first work, which is the one that others are quoted by, and of the others by their kind. */
  readonly rounds: Readonly<Record<'first' | Kind, number>>
  /** Rounds of the first work that the peers take part in, in the last pass: by then they are as warm as they get. */
  readonly peerRounds: number
  /**
   * Seconds of load for a contender before it is measured: at the first work, at each other lane, and at each of those that stream. V8
   * is done with the hot path, and the heap has its size, after some ten seconds: seen as 190 µs a request falling to 145, and of the
   * relay as 115 falling to 80. `peer`: one that answers fewer requests in a second is compiled later: portkey was seen to triple its speed
   * in half a minute.
   */
  readonly warmUp: { readonly first: number; readonly later: number; readonly stream: number; readonly peer: number }
  /** Seconds that may go into measuring disturbed windows again. */
  readonly repeats: number
  readonly latencyWorks: readonly string[]
  readonly latencyRounds: number
  readonly latencyWindow: number
  readonly starts: number
  /** Waves of a thousand held streams for `turnout`, one for the others; 0 = leave memory out. */
  readonly waves: number
}

/** Nothing of ours is measured against these but in the first work: beyond it one window of them is enough. */
export const orientation: readonly string[] = ['direct', 'nginx', 'portkey']

const ranks = { quick: 0, core: 1, full: 2 }

type Kind = 'small' | 'large' | 'stream' | 'paced'

/** Answers a hundred requests while others answer thousands: it gets longer windows, or a handful more or less would be a tenth. */
const slow = 'portkey'

const kindOf = ({ kind, body, stream }: Work): Kind =>
  kind === 'paced' ? 'paced' : stream ? 'stream' : body.length > 10_000 ? 'large' : 'small'

/**
 * What disturbs a machine comes and goes within seconds: many short windows in turn tell more than few long ones of the same sum. They are
 * longer where few replies come in one.
 */
const windows: Readonly<Record<Kind | 'slow', WindowTimes>> = {
  small: { lead: 0.05, seconds: 0.2 },
  large: { lead: 0.06, seconds: 0.5 },
  stream: { lead: 0.08, seconds: 0.3 },
  paced: { lead: 0, seconds: 1 },
  slow: { lead: 0.2, seconds: 1 },
}

export const windowOf = (work: Work, contender: string): WindowTimes =>
  windows[contender === slow && kindOf(work) === 'small' ? 'slow' : kindOf(work)]

/** Windows of a contender at one work in each pass. */
export const roundsOf = ({ rounds, works: chosen }: Plan, work: Work): number =>
  rounds[work === chosen[0] ? 'first' : kindOf(work)]

/** The plan of a set; `only` may narrow its works, and `passes` be others than the set's. */
export const makePlan = (set: SetName, only: readonly string[], passes?: number): Plan => {
  const named = works.filter((work) => only.includes(work.name))
  const chosen = named.length > 0 ? named : works.filter((work) => ranks[work.set] <= ranks[set])
  const quick: Omit<Plan, 'works'> = {
    passes: 1,
    rounds: { first: 12, small: 8, large: 4, stream: 8, paced: 3 },
    peerRounds: 3,
    warmUp: { first: 5, later: 2, stream: 4, peer: 5 },
    latencyWorks: ['json'],
    latencyRounds: 1,
    latencyWindow: 1,
    starts: 1,
    waves: 0,
    repeats: 10,
  }
  const core: Omit<Plan, 'works'> = {
    passes: 2,
    rounds: { first: 15, small: 9, large: 6, stream: 9, paced: 3 },
    peerRounds: 6,
    warmUp: { first: 9, later: 2, stream: 5, peer: 25 },
    latencyWorks: ['json'],
    latencyRounds: 2,
    latencyWindow: 1.5,
    starts: 3,
    waves: 2,
    repeats: 10,
  }
  const full: Omit<Plan, 'works'> = {
    ...core,
    latencyWorks: ['json', 'stream'],
    passes: 4,
    rounds: { first: 20, small: 14, large: 8, stream: 14, paced: 6 },
    peerRounds: 8,
    warmUp: { first: 20, later: 4, stream: 8, peer: 60 },
    latencyRounds: 5,
    latencyWindow: 4,
    starts: 5,
    repeats: 120,
  }
  const plan = { quick, core, full }[set]
  return {
    ...plan,
    passes: passes ?? plan.passes,
    works: chosen,
    latencyWorks: plan.latencyWorks.filter((name) => chosen.some((work) => work.name === name)),
  }
}
