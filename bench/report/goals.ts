// What Turnout wants to reach, next to what a run measured.
import type { Figures, PeakRow } from '../figures.ts'
import { median, middleInterval, middleRatio } from '../measure/statistics.ts'
import { type Section, showNumber } from './sections.ts'

interface Goal {
  readonly text: string
  readonly goal: string
  readonly value: (figures: Figures) => number | undefined
  readonly met: (value: number) => boolean
  /** Whether the figure is one of void rounds: near the truth, and no proof. */
  readonly isRough?: (figures: Figures) => boolean
}

const peak = (figures: Figures, work: string, contender: string) =>
  figures.peak.find((row) => row.work === work && row.contender === contender)
const middle = (values: readonly number[] | undefined) => (values && values.length > 0 ? median(values) : undefined)
const middleOf = (ratios: readonly number[] | undefined) =>
  ratios && ratios.length > 0 ? middleRatio(ratios).middle : undefined
const ratio = (work: string, contender: string) => (figures: Figures) => middleOf(peak(figures, work, contender)?.ratio)
const latency = (figures: Figures, work: string, contender: string) =>
  figures.latency.find((row) => row.work === work && row.contender === contender)?.added
const ofTwin = (work: string) => (figures: Figures) => middleOf(peak(figures, work, 'turnout')?.twinCpuRatio)
const perEvent = (work: string) => (figures: Figures) => middle(peak(figures, work, 'turnout')?.cpuPerEvent)
const beyondPipe = (work: string) => (figures: Figures) => {
  const values = peak(figures, work, 'turnout')?.beyondPipe ?? []
  return values.length > 0 ? middleInterval(values).middle : undefined
}
const rough =
  (work: string, flag: 'roughCpu' | 'roughTwin' = 'roughCpu') =>
  (figures: Figures): boolean =>
    (peak(figures, work, 'turnout') as PeakRow)[flag]
const memory = (figures: Figures) => figures.memory.find((row) => row.contender === 'turnout')

const atLeast = (least: number) => ({ goal: `≥ ${least}`, met: (value: number) => value >= least })
const atMost = (most: number) => ({ goal: `≤ ${most}`, met: (value: number) => value <= most })

export const goals: readonly Goal[] = [
  { text: 'requests/s, all on, of the relay', ...atLeast(0.7), value: ratio('json', 'turnout') },
  { text: 'requests/s, bare, of the relay', ...atLeast(0.85), value: ratio('json', 'turnout-bare') },
  {
    text: 'requests/s, all on, of portkey',
    ...atLeast(12),
    value: (figures) => {
      const [own, other] = [ratio('json', 'turnout')(figures), ratio('json', 'portkey')(figures)]
      return own === undefined || other === undefined ? undefined : own / other
    },
  },
  { text: 'requests/s from the cache, of the relay', ...atLeast(1.3), value: ratio('json-cached', 'turnout') },
  { text: 'events/s, all on, of the pipe', ...atLeast(0.85), value: ratio('stream', 'turnout') },
  {
    text: 'events/s where we ask for usage and strip it, of the pipe',
    ...atLeast(0.85),
    value: ratio('stream-unasked', 'turnout'),
  },
  { text: 'added p50 at half load, ms', ...atMost(0.3), value: (figures) => latency(figures, 'json', 'turnout')?.p50 },
  { text: 'added p99 at half load, ms', ...atMost(1.5), value: (figures) => latency(figures, 'json', 'turnout')?.p99 },
  {
    text: 'CPU of a 400 KB prompt, of the relay',
    ...atMost(1.5),
    value: (figures) => {
      const share = middleOf(peak(figures, 'json-400k', 'turnout')?.cpuRatio)
      return share && 1 / share
    },
    isRough: rough('json-400k'),
  },
  {
    text: 'CPU of translated JSON, of the identity lane',
    ...atMost(1.4),
    value: ofTwin('hub-json'),
    isRough: rough('hub-json', 'roughTwin'),
  },
  {
    text: 'CPU µs of a translated event, in all',
    ...atMost(4),
    value: perEvent('hub-stream'),
    isRough: rough('hub-stream'),
  },
  {
    text: 'CPU µs of a translated event, beyond the pipe',
    ...atMost(4),
    value: beyondPipe('hub-stream'),
    isRough: rough('hub-stream'),
  },
  { text: 'RSS idle, MB', ...atMost(150), value: (figures) => memory(figures)?.idle },
  {
    text: 'RSS after the last 1,000 streams, of that after the first',
    ...atMost(1.1),
    value: (figures) => {
      const after = memory(figures)?.after ?? []
      return after.length < 2 ? undefined : after.at(-1)! / after[0]!
    },
  },
  {
    text: 'start to first answer, ms',
    ...atMost(600),
    value: (figures) => middle(figures.start.find((row) => row.contender === 'turnout')?.startMs),
  },
]

/** The goals' table; goals that the run did not measure are left out. */
export const goalSection = (figures: Figures): Section => ({
  title: 'goals',
  header: ['what', 'goal', 'measured', 'met'],
  rows: goals.flatMap((goal) => {
    const value = goal.value(figures)
    if (value === undefined || !Number.isFinite(value)) return []
    const sign = goal.isRough?.(figures) ? '~' : ''
    return [[goal.text, goal.goal, sign + showNumber(value), sign + (goal.met(value) ? 'yes' : 'no')]]
  }),
  notes: [],
})
