// Counters and histograms as plain number arrays: an event costs an array increment, the labels are put together at scrape.
import type { ClosedLabel, MetricSpec } from './metricTable.ts'

/** One line of a scrape, in prom-client's form. `sharedLabels` objects are kept alive: prom-client caches their text by identity. */
export interface Sample {
  labels: Record<string, string | number>
  sharedLabels?: Record<string, string>
  metricName?: string
  value: number
}

/** What is asked of a metric at scrape: its lines, put together as they are taken. */
export interface Family {
  readonly spec: MetricSpec
  samples(): Iterable<Sample>
}

const otherName = 'other'

/** Lets a closed number of client-influenced names through and calls the rest `other`. Configured names always pass. */
export class BoundedNames {
  readonly #limit: number
  readonly #admitted = new Set<string>()
  #configured: ReadonlySet<string> = new Set()

  constructor(limit: number) {
    this.#limit = limit
  }

  setConfigured(names: Iterable<string>): void {
    this.#configured = new Set(names)
  }

  /** `name` itself, or `other`. Long names are `other` too: a label is not a place to store text. */
  admit(name: string): string {
    if (this.#configured.has(name) || this.#admitted.has(name)) return name
    if (this.#admitted.size >= this.#limit || name.length > 128) return otherName
    this.#admitted.add(name)
    return name
  }
}

/**
 * A counter. A row belongs to one combination of the open labels and has a cell per combination of the closed ones:
 * `row[i * sizeOfSecond + j]++`. Keep the row; finding it costs a string and a hash.
 */
export class CounterFamily implements Family {
  readonly spec: MetricSpec
  readonly cells: number
  readonly #closed: readonly ClosedLabel[]
  readonly #rows = new Rows<Float64Array>()
  /** Cells that are shown at 0, of rows that are; undefined = all. */
  readonly #seeded = new Map<Float64Array, readonly boolean[] | undefined>()
  readonly #shown: readonly boolean[] | undefined

  constructor(spec: MetricSpec) {
    this.spec = spec
    this.#closed = spec.closed ?? []
    this.cells = this.#closed.reduce((product, [, values]) => product * values.length, 1)
    this.#shown = spec.shown && this.#cellsOf(spec.shown)
  }

  row(...values: string[]): Float64Array {
    return this.#rows.find(this.spec.labels, values, () => new Float64Array(this.cells))
  }

  /** As `row`, and its cells are shown before they count: an increase from nothing to 1 is one that Prometheus does not see. */
  seed(...values: string[]): Float64Array {
    return this.seedWith([], ...values)
  }

  /** @param more combinations of the closed labels that this row shows beside those that all of its kind show */
  seedWith(more: NonNullable<MetricSpec['shown']>, ...values: string[]): Float64Array {
    const row = this.#rows.find(this.spec.labels, values, () => new Float64Array(this.cells), true)
    const { shown } = this.spec
    this.#seeded.set(row, shown && more.length > 0 ? this.#cellsOf([...shown, ...more]) : this.#shown)
    return row
  }

  *samples(): Iterable<Sample> {
    const { per = 1 } = this.spec
    for (const { labels, data } of this.#rows.all()) {
      const seeded = this.cells === 1 || this.#seeded.has(data)
      const shown = this.#seeded.get(data)
      for (let cell = 0; cell < this.cells; cell++) {
        const value = (data[cell] ?? 0) / per
        // Of names that came along only what counted is shown: their number is bounded, not small.
        if (value === 0 && !(seeded && (shown?.[cell] ?? true))) continue
        yield { labels: this.#closedLabels(cell), sharedLabels: labels, value }
      }
    }
  }

  #cellsOf(shown: NonNullable<MetricSpec['shown']>): boolean[] {
    const cells = shown.map((values) => this.#cellOf(values))
    return Array.from({ length: this.cells }, (_, cell) => cells.includes(cell))
  }

  #cellOf(values: readonly string[]): number {
    return this.#closed.reduce((cell, [, known], at) => cell * known.length + known.indexOf(values[at]!), 0)
  }

  #closedLabels(cell: number): Record<string, string> {
    const labels: Record<string, string> = {}
    let size = this.cells
    let rest = cell
    for (const [name, values] of this.#closed) {
      size /= values.length
      labels[name] = values[Math.floor(rest / size)] ?? ''
      rest %= size
    }
    return labels
  }
}

/** One series of a histogram. `counts` has a cell per bound and one for what lies above; they are not cumulative. */
export class HistogramRow {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** Counts `value`, in the unit of the bounds. */
  observe(value: number): void {
    const bounds = this.bounds
    let low = 0
    let high = bounds.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (value <= (bounds[middle] as number)) high = middle
      else low = middle + 1
    }
    this.counts[low] = (this.counts[low] as number) + 1
    this.sum += value
  }
}

export class HistogramFamily implements Family {
  readonly spec: MetricSpec
  readonly #bounds: readonly number[]
  readonly #rows = new Rows<HistogramRow>()

  constructor(spec: MetricSpec) {
    this.spec = spec
    this.#bounds = spec.bounds ?? []
  }

  row(...values: string[]): HistogramRow {
    return this.#rows.find(this.spec.labels, values, () => new HistogramRow(this.#bounds))
  }

  *samples(): Iterable<Sample> {
    const { name } = this.spec
    for (const { labels, data } of this.#rows.all()) {
      // All of a row at once: what is observed while others are written must not come between its bucket and its count.
      const samples: Sample[] = []
      let total = 0
      data.counts.forEach((count, index) => {
        total += count
        const le = this.#bounds[index] ?? '+Inf'
        samples.push({ metricName: `${name}_bucket`, labels: { le }, sharedLabels: labels, value: total })
      })
      samples.push({ metricName: `${name}_sum`, labels: {}, sharedLabels: labels, value: data.sum })
      samples.push({ metricName: `${name}_count`, labels: {}, sharedLabels: labels, value: total })
      yield* samples
    }
  }
}

/** Values that are read at scrape and kept nowhere. Also for counters that the system keeps (CPU time). */
export class ReadFamily implements Family {
  readonly spec: MetricSpec
  readonly #read: () => Sample[]

  constructor(spec: MetricSpec, read: () => Sample[]) {
    this.spec = spec
    this.#read = read
  }

  samples(): Sample[] {
    return this.#read()
  }
}

/** A backstop against products of labels: each label is bounded by itself, their combinations here. */
const maxRows = 2000
/** Of all rows: what is configured, and sums of what came later, have room beyond that. */
const maxAll = 4000

class Rows<T> {
  readonly #rows = new Map<string, { labels: Record<string, string>; data: T }>()

  /** @param kept has a row as long as there is room for any: it is configured, or stands for many */
  find(names: readonly string[], values: readonly string[], make: () => T, kept = false): T {
    const key = values.join('\0')
    const found = this.#rows.get(key)
    if (found) return found.data
    if (this.#rows.size >= (kept ? maxAll : maxRows) && values.some((value) => value !== otherName)) {
      // Without room for each of its keys a route still has its sum.
      const first = kept || values.length === 1 ? otherName : values[0]!
      return this.find(names, [first, ...values.slice(1).map(() => otherName)], make, true)
    }
    const labels: Record<string, string> = {}
    names.forEach((name, index) => {
      labels[name] = values[index] ?? ''
    })
    const data = make()
    this.#rows.set(key, { labels, data })
    return data
  }

  all(): Iterable<{ labels: Record<string, string>; data: T }> {
    return this.#rows.values()
  }
}
