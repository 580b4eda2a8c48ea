// Sends spans to an OTLP collector in the background. OpenTelemetry's own code is loaded when there is a collector to send to.
import type { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import type { OtlpSettings } from '../../config/observabilityTypes.ts'
import { openHttpAgent } from '../../egress/agent.ts'

export type Attribute = string | number | boolean | readonly string[]

/** One span, without any of OpenTelemetry's types. */
export interface SpanFacts {
  readonly name: string
  readonly kind: 'server' | 'client'
  readonly traceId: string
  readonly spanId: string
  readonly parent: string | undefined
  readonly state: string | undefined
  readonly sampled: boolean
  /** Unix milliseconds, with fractions. */
  readonly start: number
  readonly end: number
  readonly failed: boolean
  /** Undefined ones are left out. */
  readonly attributes: Readonly<Record<string, Attribute | undefined>>
}

export interface SpanExporter {
  /**
   * Makes the spans of one request, when there is time for it. Never throws, never waits. Holds `spans` for so long: it should hold little.
   * @param count how many they will be
   */
  push(spans: () => readonly SpanFacts[], count: number): void
  /** Sends what is left, for at most two seconds. */
  close(): Promise<void>
}

export interface ExporterOptions extends OtlpSettings {
  readonly version: string
  counted(outcome: 'exported' | 'failed' | 'dropped', spans: number): void
  /** Told of a failure, at most once a minute. */
  trouble(error: unknown): void
}

/** Requests that wait to be sent; more than these are dropped and counted, because memory is for traffic. */
const maxWaiting = 2_000
const flushEvery = 1_000
const maxBatch = 256
/** For one post. */
const timeoutMillis = 10_000

type Spans = Parameters<OTLPTraceExporter['export']>[0]
type ExportResult = Parameters<Parameters<OTLPTraceExporter['export']>[1]>[0]

/** Exports to one collector, at most 256 requests' spans a post. Close it to send what waits. */
export function createSpanExporter(options: ExporterOptions): SpanExporter {
  let waiting: (() => readonly SpanFacts[])[] = []
  let timer: NodeJS.Timeout | undefined
  let sending: Promise<void> | undefined
  let toldAt = Number.NEGATIVE_INFINITY
  let loaded: Promise<Loaded> | undefined
  let closed = false

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      const facts = waiting.splice(0, maxBatch).flatMap((make) => make())
      try {
        loaded ??= load(options)
        const { exporter, toSpan } = await loaded
        const result = await new Promise<ExportResult>((resolve) => exporter.export(facts.map(toSpan), resolve))
        if (result.code !== 0) throw result.error ?? new Error('the collector refused the spans')
        options.counted('exported', facts.length)
      } catch (error) {
        options.counted('failed', facts.length)
        const now = performance.now()
        if (now - toldAt > 60_000) {
          toldAt = now
          options.trouble(error)
        }
      }
    }
  }

  function flush(): Promise<void> {
    timer = undefined
    sending ??= send().finally(() => {
      sending = undefined
    })
    return sending
  }

  return {
    push(spans, count) {
      if (closed || waiting.length >= maxWaiting) return options.counted('dropped', count)
      waiting.push(spans)
      if (timer) return
      timer = setTimeout(flush, flushEvery)
      timer.unref()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      const late = new Promise<void>((resolve) => setTimeout(resolve, 2_000).unref())
      await Promise.race([flush().then(flush), late])
      waiting = []
      if (loaded) await Promise.race([loaded.then(({ exporter }) => exporter.shutdown()).catch(() => {}), late])
    },
  }
}

interface Loaded {
  readonly exporter: OTLPTraceExporter
  toSpan(facts: SpanFacts): Spans[number]
}

async function load({ url, headers, version, proxy }: ExporterOptions): Promise<Loaded> {
  const [api, otlp, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  const resource = resources.resourceFromAttributes({ 'service.name': 'turnout', 'service.version': version })
  const scope = { name: 'turnout', version }
  const kinds = { server: api.SpanKind.SERVER, client: api.SpanKind.CLIENT }
  return {
    exporter: new otlp.OTLPTraceExporter({
      url,
      headers: { ...headers },
      timeoutMillis,
      ...(proxy === undefined
        ? {}
        : { httpAgentOptions: (protocol: string) => openHttpAgent(proxy, protocol, timeoutMillis) }),
    }),
    toSpan(facts) {
      const { traceId, spanId, parent, state, sampled } = facts
      const traceFlags = sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE
      const context = (span: string) => ({
        traceId,
        spanId: span,
        traceFlags,
        ...(state === undefined ? {} : { traceState: api.createTraceState(state) }),
      })
      return {
        name: facts.name,
        kind: kinds[facts.kind],
        spanContext: () => context(spanId),
        ...(parent === undefined
          ? {}
          : { parentSpanContext: { ...context(parent), isRemote: facts.kind === 'server' } }),
        startTime: hrTime(facts.start),
        endTime: hrTime(facts.end),
        duration: hrTime(facts.end - facts.start),
        status: { code: facts.failed ? api.SpanStatusCode.ERROR : api.SpanStatusCode.UNSET },
        attributes: Object.fromEntries(
          Object.entries(facts.attributes).filter(([, value]) => value !== undefined),
        ) as Spans[number]['attributes'],
        links: [],
        events: [],
        ended: true,
        resource,
        instrumentationScope: scope,
        droppedAttributesCount: 0,
        droppedEventsCount: 0,
        droppedLinksCount: 0,
      }
    },
  }
}

function hrTime(ms: number): [seconds: number, nanoseconds: number] {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}
