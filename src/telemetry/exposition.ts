// Writes the page that Prometheus scrapes: a slice in each turn of the event loop, so that no request waits for the whole of it.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Metric, Registry } from 'prom-client'
import type { Family, Sample } from './families.ts'

export interface Exposition {
  readonly contentType: string
  /** To be sent one after another: thousands of routes make tens of megabytes. */
  readonly pieces: readonly Buffer[]
  /** All of it, put together when it is asked for. */
  readonly body: string
}

/** Lines put together in one turn of the event loop, of whichever metrics: about a millisecond of work. */
const linesPerTurn = 400

/**
 * prom-client makes a whole page in one turn (26 ms at 11,000 lines): hand it the samples in pieces, and breathe between.
 * A row of a histogram is read in one turn, rows of the same page may be a few turns apart.
 */
export async function writePage(families: Iterable<Family>): Promise<Exposition> {
  const pieces: Buffer[] = []
  let page = ''
  let lines = 0
  for (const family of families) {
    let batch: Sample[] = []
    let isBegun = false
    const write = async (): Promise<void> => {
      const text = await textOf(family, batch)
      page += isBegun ? withoutHead(text) : text
      isBegun = true
      batch = []
    }
    for (const sample of family.samples()) {
      batch.push(sample)
      if (++lines < linesPerTurn) continue
      await write()
      pieces.push(Buffer.from(page))
      page = ''
      await nextTurn()
      lines = 0
    }
    if (!isBegun || batch.length > 0) await write()
  }
  pieces.push(Buffer.from(page))
  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    pieces,
    get body() {
      return Buffer.concat(pieces).toString()
    },
  }
}

function textOf({ spec: { name, help, kind } }: Family, values: readonly Sample[]): Promise<string> {
  // prom-client asks nothing of a metric but `name` and `get()`; its classes would hash the labels at each increment.
  const metric = { name, help, type: kind, values, aggregator: 'sum' }
  const alone = new Registry()
  alone.registerMetric({ ...metric, get: async () => metric } as unknown as Metric)
  return alone.metrics()
}

/** The lines HELP and TYPE are said once. */
const withoutHead = (text: string): string => text.slice(text.indexOf('\n', text.indexOf('\n') + 1) + 1)
