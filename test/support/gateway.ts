// Starts a gateway in this process on a free port, for tests that drive it through real HTTP.
import { createTurnout, type Turnout, type TurnoutOptions } from '../../src/app.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { Log, RequestLine } from '../../src/telemetry/log.ts'
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts'
import { createTokenCounter } from '../../src/telemetry/tokens/counter.ts'

export interface TestGateway {
  readonly url: string
  readonly port: number
  readonly turnout: Turnout
  readonly metrics: Metrics
  /** What the log was told of requests and of everything else, in order. */
  readonly lines: RequestLine[]
  readonly notes: unknown[]
  /** Resolves when `count` requests were settled. */
  settled(count: number): Promise<RequestLine[]>
  close(): Promise<void>
}

export interface GatewayOptions {
  env?: Record<string, string>
  insecure?: boolean
  clock?: TurnoutOptions['clock']
  random?: TurnoutOptions['random']
  /** A ledger to write to; without one nothing is recorded. And who wants to be told of breakers. */
  books?: Pick<TurnoutOptions, 'ledger' | 'hashUser' | 'reader' | 'keyring' | 'onTransition'>
  /** Where spans of kept traces go. */
  exporter?: TurnoutOptions['exporter']
  /** The end of the turns of the event loop. */
  turn?: TurnoutOptions['turn']
}

/** @param config the document of a `turnout.yaml`; the port is chosen by the system */
export async function startGateway(
  config: Record<string, unknown>,
  options: GatewayOptions = {},
): Promise<TestGateway> {
  const server = { port: 0, ...(config.server as object | undefined) }
  // One call a target unless a test is about retries: those wait between calls.
  const document = { retries: { attempts: 1 }, ...config, server }
  const { snapshot } = parseConfig(JSON.stringify(document), { env: options.env ?? {}, version: 1 })
  const lines: RequestLine[] = []
  const notes: unknown[] = []
  const waiting: (() => void)[] = []
  const note = (text: string, facts?: unknown): void => void notes.push({ text, facts })
  const log: Log = {
    debug: note,
    info: note,
    warn: note,
    error: note,
    request(line) {
      lines.push(line)
      for (const wake of waiting.splice(0)) wake()
    },
    level: 'info',
    failures: 0,
    dropped: 0,
    flush: async () => {},
    reopen: () => {},
  }
  const metrics = createMetrics()
  // As patient as a busy machine needs: a count that is exact is one in each run.
  const tokens = createTokenCounter({ maxWait: 60_000 })
  const turnout = createTurnout({
    snapshot,
    log,
    metrics,
    tokens,
    insecure: options.insecure ?? false,
    ...(options.clock ? { clock: options.clock } : {}),
    ...(options.random ? { random: options.random } : {}),
    ...options.books,
    exporter: options.exporter,
    turn: options.turn,
  })
  const listening = await turnout.listen()
  return {
    url: listening.url,
    port: listening.port,
    turnout,
    metrics,
    lines,
    notes,
    async settled(count) {
      while (lines.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return lines
    },
    async close() {
      await turnout.close()
      metrics.close()
      await tokens.close()
    },
  }
}

/** A provider that speaks OpenAI's dialect at `url`. */
export const upstreamAt = (url: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  kind: 'openai',
  baseUrl: `${url}/v1`,
  apiKey: 'sk-test-upstream-0123456789',
  ...more,
})
