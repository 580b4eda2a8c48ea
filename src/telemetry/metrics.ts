// Counts what happens, and hands the numbers to prom-client when somebody scrapes /metrics.
import { lossLabels } from '../dialects/loss.ts'
import { type Configured, seedRows } from './configuredRows.ts'
import { type Exposition, writePage } from './exposition.ts'
import {
  BoundedNames,
  CounterFamily,
  type Family,
  HistogramFamily,
  type HistogramRow,
  ReadFamily,
  type Sample,
} from './families.ts'
import {
  type AttemptOutcome,
  attemptOutcomes,
  type CounterKey,
  type HistogramKey,
  type MetricSpec,
  metricTable,
  type ReadKey,
  type RequestOutcome,
  requestOutcomes,
  type TokenClass,
  tokenClasses,
} from './metricTable.ts'
import {
  readCpu,
  readHeap,
  readMemory,
  readMemoryLimit,
  readOpenFiles,
  readStartTime,
  watchLoop,
} from './processFacts.ts'

export interface EndedRequest {
  /** Name of the route; '' when none was found. */
  route: string
  /** Id of the target whose answer or fault the client got; '' when none was called. */
  target: string
  /** Status sent to the client; 0 when the connection was gone before. */
  status: number
  outcome: RequestOutcome
  durationMs: number
  /** Streams only. */
  firstTokenMs?: number | undefined
  overheadMs?: number | undefined
  /** Made by ourselves: no client's request, in none of the figures of those. */
  background?: boolean | undefined
  stream: boolean
}

export interface EndedAttempt {
  target: string
  outcome: AttemptOutcome
  durationMs: number
  /** What it used; absent where it has no bill. */
  usage?: Readonly<Record<TokenClass, number>> | undefined
  /** Integer nano-USD; null = the price is not known. */
  nanoUsd?: number | null | undefined
  /** Parameters that the target was not told as they were meant: labels that `lossLabel` gives, each once. */
  dropped?: Iterable<string> | undefined
}

export interface Metrics {
  requestStarted(): void
  requestEnded(ended: EndedRequest): void
  attemptEnded(ended: EndedAttempt): void
  /** Names that always keep series of their own, and have them from now on. Call at each change of the configuration. */
  setConfiguration(configuration: Configured): void
  /** Client-influenced names as labels: themselves where configured or among the first to come, else `other`. */
  readonly labels: Readonly<Record<'route' | 'target' | 'key' | 'team', (name: string) => string>>
  /** Where the gaps between the pieces of a route's streams are observed. */
  tokenGaps(route: string): HistogramRow
  /** The family of a counter in the table, for features that count by themselves. Keep its rows. */
  counter(key: CounterKey): CounterFamily
  histogram(key: HistogramKey): HistogramFamily
  /** Gives a gauge of the table its reader, or a counter that somebody else keeps. Once per key. */
  gauge(key: ReadKey, read: () => Sample[]): void
  readonly inFlight: number
  /** The exposition text. Yields to the event loop between pieces; scrapes at the same time share one result. */
  expose(): Promise<Exposition>
  /** Stops watching the event loop. */
  close(): void
}

export interface MetricsOptions {
  version?: string
  /** Names beyond the configured ones that get series of their own, per label. */
  maxImplicit?: number
}

/** What one (route, target) pair counts into. */
interface PairRows {
  counts: Float64Array
  duration: HistogramRow
  streamDuration: HistogramRow
  firstToken: HistogramRow
}

/** What the attempts on one target count into. */
interface TargetRows {
  label: string
  counts: Float64Array
  duration: HistogramRow
  tokens: Float64Array
  cost: Float64Array
  unpriced: Float64Array
  dropped: Float64Array | undefined
}

/** The metrics of one gateway, one family for each row of the table in metricTable.ts. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const families: Family[] = []
  const register = <F extends Family>(family: F): F => {
    const { name } = family.spec
    if (families.some(({ spec }) => spec.name === name)) throw new Error(`${name} has a reader already`)
    families.push(family)
    return family
  }
  const counters = new Map<string, CounterFamily>()
  const histograms = new Map<string, HistogramFamily>()
  for (const [key, spec] of Object.entries(metricTable) as [string, MetricSpec][]) {
    if (spec.kind === 'histogram') histograms.set(key, register(new HistogramFamily(spec)))
    if (spec.kind === 'counter' && !spec.read) counters.set(key, register(new CounterFamily(spec)))
  }
  const counter = (key: CounterKey): CounterFamily => counters.get(key) as CounterFamily
  const histogram = (key: HistogramKey): HistogramFamily => histograms.get(key) as HistogramFamily
  const read = (key: ReadKey, reader: () => Sample[]): void => void register(new ReadFamily(metricTable[key], reader))

  const limit = options.maxImplicit ?? 200
  const routes = new BoundedNames(limit)
  const targets = new BoundedNames(limit)
  const keys = new BoundedNames(limit)
  const teams = new BoundedNames(limit)
  const overhead = histogram('overhead').row()
  const loop = watchLoop()
  let inFlight = 0
  let configVersion = 0
  let pairs = new Map<string, Map<string, PairRows>>()
  let attempts = new Map<string, TargetRows>()
  let gaps = new Map<string, HistogramRow>()

  read('inFlight', () => [{ labels: {}, value: inFlight }])
  read('loopLag', loop.read)
  read('cpu', readCpu)
  read('memory', readMemory)
  read('memoryLimit', readMemoryLimit)
  read('heap', readHeap)
  read('openFiles', readOpenFiles)
  read('startTime', readStartTime)
  read('config', () => [{ labels: {}, value: configVersion }])
  read('build', () => [{ labels: { version: options.version ?? '', node: process.version }, value: 1 }])

  function findPair(route: string, target: string): PairRows {
    const known = pairs.get(route)?.get(target)
    if (known) return known
    const routeLabel = routes.admit(route)
    const targetLabel = targets.admit(target)
    const rows: PairRows = {
      counts: counter('requests').row(routeLabel, targetLabel),
      duration: histogram('requestDuration').row(routeLabel, 'false'),
      streamDuration: histogram('requestDuration').row(routeLabel, 'true'),
      firstToken: histogram('firstToken').row(routeLabel),
    }
    // Only names that have a series are remembered: the rest is without bound.
    if (routeLabel === route && targetLabel === target) {
      const byTarget = pairs.get(route) ?? new Map<string, PairRows>()
      byTarget.set(target, rows)
      pairs.set(route, byTarget)
    }
    return rows
  }

  function findAttempts(target: string): TargetRows {
    const known = attempts.get(target)
    if (known) return known
    const label = targets.admit(target)
    const rows: TargetRows = {
      label,
      counts: counter('attempts').row(label),
      duration: histogram('attemptDuration').row(label),
      tokens: counter('tokens').row(label),
      cost: counter('cost').row(label),
      unpriced: counter('unpriced').row(label),
      dropped: undefined,
    }
    if (label === target) attempts.set(target, rows)
    return rows
  }

  let scrape: Promise<Exposition> | undefined

  return {
    requestStarted() {
      inFlight++
    },
    requestEnded(ended) {
      inFlight--
      if (ended.background) return
      const rows = findPair(ended.route, ended.target)
      add(rows.counts, classOf(ended.status) * requestOutcomes.length + outcomeIndex[ended.outcome])
      const duration = ended.stream ? rows.streamDuration : rows.duration
      duration.observe(ended.durationMs / 1000)
      if (ended.firstTokenMs !== undefined) rows.firstToken.observe(ended.firstTokenMs / 1000)
      if (ended.overheadMs !== undefined) overhead.observe(ended.overheadMs / 1000)
    },
    attemptEnded(ended) {
      const rows = findAttempts(ended.target)
      add(rows.counts, attemptIndex[ended.outcome])
      rows.duration.observe(ended.durationMs / 1000)
      const { usage, nanoUsd } = ended
      if (usage) addUsage(rows.tokens, usage)
      if (nanoUsd === null) add(rows.unpriced, 0)
      else if (nanoUsd !== undefined) add(rows.cost, 0, nanoUsd)
      for (const label of ended.dropped ?? []) {
        rows.dropped ??= counter('droppedParams').row(rows.label)
        add(rows.dropped, lossIndex[label] as number)
      }
    },
    setConfiguration(configuration) {
      configVersion = configuration.version
      routes.setConfigured(configuration.routes)
      targets.setConfigured(configuration.targets)
      keys.setConfigured((configuration.keys ?? []).map(({ name }) => name))
      teams.setConfigured((configuration.keys ?? []).map(({ team }) => team ?? ''))
      seedRows(configuration, { counter, histogram })
      // Dropped, so that a name that left the configuration goes through the bound again.
      pairs = new Map()
      attempts = new Map()
      gaps = new Map()
    },
    labels: {
      route: (name) => routes.admit(name),
      target: (name) => targets.admit(name),
      key: (name) => keys.admit(name),
      team: (name) => teams.admit(name),
    },
    tokenGaps(route) {
      const known = gaps.get(route)
      if (known) return known
      const label = routes.admit(route)
      const row = histogram('tokenGap').row(label)
      if (label === route) gaps.set(route, row)
      return row
    },
    counter,
    histogram,
    gauge: read,
    get inFlight() {
      return inFlight
    },
    expose() {
      scrape ??= writePage(families).finally(() => {
        scrape = undefined
      })
      return scrape
    },
    close: loop.stop,
  }
}

const outcomeIndex = Object.fromEntries(requestOutcomes.map((name, index) => [name, index])) as Record<
  RequestOutcome,
  number
>
const attemptIndex = Object.fromEntries(attemptOutcomes.map((name, index) => [name, index])) as Record<
  AttemptOutcome,
  number
>

const lossIndex = Object.fromEntries(lossLabels.map((label, index) => [label, index]))

function add(row: Float64Array, cell: number, amount = 1): void {
  row[cell] = (row[cell] as number) + amount
}

const classes = Object.keys(tokenClasses) as TokenClass[]

function addUsage(row: Float64Array, usage: Readonly<Record<TokenClass, number>>): void {
  for (let cell = 0; cell < classes.length; cell++) add(row, cell, usage[classes[cell] as TokenClass])
}

/** Index into `statusClasses`. */
function classOf(status: number): number {
  return status >= 100 && status < 600 ? Math.floor(status / 100) : 0
}
