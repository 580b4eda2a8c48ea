// The tables of a run as plain text cells, made once for the terminal and for the results file.
import type { Figures, LatencyRow, MemoryRow, PeakRow, Percentiles } from '../figures.ts'
import { median, middleInterval, middleRatio, spread } from '../measure/statistics.ts'
import { type Work, works } from '../work.ts'

export interface Section {
  readonly title: string
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly notes: readonly string[]
}

const none = '–'

/** Three significant digits, thousands apart by commas. */
export const showNumber = (value: number | undefined): string => {
  if (value === undefined || !Number.isFinite(value)) return none
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

const withSpread = (values: readonly number[]) =>
  values.length === 0 ? none : `${showNumber(median(values))} ±${Math.round(spread(values) * 100)}%`

const withInterval = (values: readonly number[], intervalOf = middleRatio) => {
  if (values.length === 0) return none
  const { middle, low, high } = intervalOf(values)
  // Few rounds tell no interval.
  return values.length >= 6 ? `${middle.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})` : middle.toFixed(2)
}

/** A rate, or what void rounds showed, in brackets: a hint that counts for nothing. */
const rateCell = (row: PeakRow, values: readonly number[], factor: number) => {
  if (values.length > 0) return withSpread(values)
  return row.voidPerSecond === undefined ? none : `(${showNumber(row.voidPerSecond * factor)})`
}

/** A figure of void rounds: near the truth, but not to be quoted. */
const rough = (row: PeakRow, text: string) => (row.roughCpu && text !== none ? `~${text}` : text)

const voidCell = ({ voids }: { voids: string[] }) => {
  const reasons = [...new Set(voids.map((text) => text.replace(/\d+ %/g, '… %')))]
  if (voids.length === 0) return ''
  return `${voids.length} void: ${reasons.length === 1 ? voids[0] : reasons.join('; ')}`
}

const roughTwin = (row: PeakRow) => {
  const text = withInterval(row.twinCpuRatio)
  return row.roughTwin && text !== none ? `~${text}` : text
}

/** The hub's works: what translating costs, against the same contender's identity lane and against the pipe. */
const hubSection = (work: Work, rows: readonly PeakRow[]): Section => {
  const isStream = work.stream
  return {
    title: `${work.name}: ${work.title}`,
    header: [
      'contender',
      isStream ? 'streams/s' : 'requests/s',
      ...(isStream ? ['events/s'] : []),
      'x relay',
      isStream ? 'CPU µs/event' : 'CPU µs/request',
      ...(isStream ? ['beyond the pipe'] : []),
      'CPU of identity lane',
      'wrong',
      '',
    ],
    rows: rows.map((row) => [
      row.contender,
      rateCell(row, row.perSecond, 1),
      ...(isStream ? [rateCell(row, row.eventsPerSecond, work.events)] : []),
      withInterval(row.ratio),
      rough(row, withSpread(isStream ? row.cpuPerEvent : row.cpuPerRequest)),
      ...(isStream ? [rough(row, withInterval(row.beyondPipe, middleInterval))] : []),
      roughTwin(row),
      String(row.wrong),
      voidCell(row),
    ]),
    notes: [
      `The relay pipes the upstream's own bytes. "CPU of identity lane": per request, as a multiple of the same process's at ${work.hub!.twin} in the same round: less is better.`,
    ],
  }
}

const peakSection = (work: Work, rows: readonly PeakRow[]): Section => {
  if (work.hub) return hubSection(work, rows)
  const header = work.stream
    ? ['contender', 'streams/s', 'events/s', 'x relay', 'CPU µs/event', 'CPU x relay', 'first byte ms', 'wrong', '']
    : ['contender', 'requests/s', 'x relay', 'CPU µs/request', 'CPU x relay', 'wrong', '']
  return {
    title: `${work.name}: ${work.title}`,
    header,
    rows: rows.map((row) =>
      work.stream
        ? [
            row.contender,
            rateCell(row, row.perSecond, 1),
            rateCell(row, row.eventsPerSecond, work.events),
            withInterval(row.ratio),
            rough(row, withSpread(row.cpuPerEvent)),
            rough(row, withInterval(row.cpuRatio)),
            row.firstByte.length > 0 ? showNumber(median(row.firstByte) / 1000) : none,
            String(row.wrong),
            voidCell(row),
          ]
        : [
            row.contender,
            rateCell(row, row.perSecond, 1),
            withInterval(row.ratio),
            rough(row, withSpread(row.cpuPerRequest)),
            rough(row, withInterval(row.cpuRatio)),
            String(row.wrong),
            voidCell(row),
          ],
    ),
    notes: work.kind === 'paced' ? ['The upstream sets the pace: CPU per event is the figure.'] : [],
  }
}

const three = ({ p50, p99, p999 }: Percentiles) => [p50, p99, p999].map(showNumber).join(' / ')

const latencySection = (work: string, rows: readonly LatencyRow[]): Section => ({
  title: `${work}: latency at half of the own peak, ms, p50 / p99 / p99.9`,
  header: [
    'contender',
    'rate/s',
    'own',
    'direct',
    'added',
    'added to first byte',
    'CPU µs/request',
    'replies',
    'wrong',
    '',
  ],
  rows: rows.map((row) => [
    row.contender,
    showNumber(row.rate),
    three(row.own),
    three(row.direct),
    three(row.added),
    three(row.firstByteAdded),
    withSpread(row.cpuPerRequest),
    String(row.samples),
    String(row.wrong),
    voidCell(row),
  ]),
  notes: [
    `Open model: latency counts from the intended time of sending. The generator sent late by at most ${showNumber(
      Math.max(...rows.map(({ lag }) => lag)) / 1000,
    )} ms (p99 of the worst window), for all alike.`,
  ],
})

const memorySection = (rows: readonly MemoryRow[], figures: Figures): Section => ({
  title: 'memory (MB of the whole process group) and start-up',
  header: ['contender', 'start to first answer ms', 'idle', 'under 1,000 streams', 'after', 'wrong', ''],
  rows: figures.start.map(({ contender, startMs }) => {
    const row = rows.find((one) => one.contender === contender)
    const list = (values: readonly number[] | undefined) => values?.map((value) => value.toFixed(0)).join(', ') ?? none
    return [
      contender,
      withSpread(startMs),
      row ? row.idle.toFixed(0) : none,
      list(row?.open),
      list(row?.after),
      row ? String(row.wrong) : none,
      row?.failures.join(', ') ?? '',
    ]
  }),
  notes:
    rows.length > 0 ? ['One figure per wave of a thousand streams, in a process that did nothing else before.'] : [],
})

/** All tables of a run, in the order of the works. */
export const makeSections = (figures: Figures): Section[] => [
  ...works.flatMap((work) => {
    const peak = figures.peak.filter((row) => row.work === work.name)
    const latency = figures.latency.filter((row) => row.work === work.name)
    return [
      ...(peak.length > 0 ? [peakSection(work, peak)] : []),
      ...(latency.length > 0 ? [latencySection(work.name, latency)] : []),
    ]
  }),
  memorySection(figures.memory, figures),
]
