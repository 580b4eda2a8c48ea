// Keeps a serving process under mixed faults and clients that leave, and watches whether its memory grows.
import { setTimeout as pause } from 'node:timers/promises'
import { type Script, startSimulator } from '../../src/simulator/index.ts'
import type { WireName } from '../support/faultTable.ts'
import { vendorAt } from '../support/faultyVendors.ts'
import { type Asking, type LoadClient, type Reply, readStream, runClients } from './load.ts'
import { serveTurnout } from './servedTurnout.ts'

export interface FaultStormOptions {
  /** When it is over: after so many seconds, or so many requests, whatever comes first. */
  seconds: number
  requests?: number
  clients: number
  /** What is asked for; `mixed` is all faults, `aborts` only streams whose clients leave. */
  mix: 'mixed' | 'aborts'
  /** Of the gateway's process. */
  env?: Record<string, string>
  told?: (line: string) => void
}

export interface FaultStormReport {
  requests: number
  left: number
  /** Of those, the ones that left before any headers came: the gateway may never have seen them. */
  unheard: number
  /** By status and how it ended. */
  outcomes: Record<string, number>
  /** Replies that looked whole and were not, hangs, statuses that cannot be. */
  wrong: string[]
  /** Resident memory in MB, at equal distances of work. */
  rss: number[]
  /** The median of the last quarter of them against that of the quarter after the warm-up (the first half). */
  growth: { early: number; late: number; requests: number }
  ledger: { rows: number; problems: unknown[] }
  /** Requests in flight, and upstream calls still running, when all clients had gone. */
  leftOver: { gateway: number; vendor: number }
  seconds: number
}

const wires: readonly WireName[] = ['openai', 'anthropic', 'gemini']
const TOKENS = 40
const tokens = { tokens: TOKENS }

/** Faults of all kinds, at a rate, so that breakers open and close all the time. */
const scripts: Record<string, Script> = {
  sound: { ...tokens, tokensPerSecond: 400 },
  long: { tokens: 600, tokensPerSecond: 200 },
  wide: { tokens: 1_000, tokensPerSecond: 20_000 },
  slow: { ...tokens, firstTokenMs: 400, keepAliveMs: 50 },
  status: { ...tokens, fault: { kind: 'status', status: 503, rate: 0.4 } },
  limited: { ...tokens, fault: { kind: 'status', status: 429, retryAfter: 0, rate: 0.4 } },
  early: { ...tokens, fault: { kind: 'firstEventError', rate: 0.5 } },
  middle: { ...tokens, fault: { kind: 'midStreamError', rate: 0.5 } },
  cut: { ...tokens, fault: { kind: 'cut', rate: 0.5 } },
  end: { ...tokens, fault: { kind: 'truncate', rate: 0.5 } },
  stall: { ...tokens, fault: { kind: 'stall', afterTokens: 10, rate: 0.3 } },
  reset: { ...tokens, fault: { kind: 'reset', rate: 0.5 } },
  json: { ...tokens, fault: { kind: 'garbageJson', rate: 0.5 } },
  sse: { ...tokens, fault: { kind: 'garbageSse', rate: 0.5 } },
  empty: { ...tokens, fault: { kind: 'emptySuccess', rate: 0.5 } },
}
const names = Object.keys(scripts)

/** Each script of each vendor is a route, with a sound target of the next vendor behind it. */
function configOf(vendor: string): Record<string, unknown> {
  return {
    log: { level: 'info' },
    providers: Object.fromEntries(wires.map((wire) => [wire, vendorAt(wire, vendor)])),
    retries: { attempts: 2, baseDelay: '5ms', maxDelay: '100ms', budget: 1 },
    breaker: { failures: 3, openFor: '200ms', unhealthyFor: '500ms' },
    routes: Object.fromEntries(
      wires.flatMap((wire, at) =>
        names.map((name) => [
          `${wire}.${name}`,
          {
            targets: [`${wire}/${name}`, `${wires[(at + 1) % wires.length]}/sound`],
            timeouts: { firstToken: '2s', idle: '300ms', total: '20s' },
          },
        ]),
      ),
    ),
  }
}

/** Starts a vendor, a gateway in a process of its own and clients; samples the memory; lets everything end; reads the ledger. */
export async function stormFaults(options: FaultStormOptions): Promise<FaultStormReport> {
  const begin = performance.now()
  const simulator = await startSimulator({ seed: 11, scripts })
  const served = await serveTurnout(configOf(simulator.url), options.env === undefined ? {} : { env: options.env })
  const report: FaultStormReport = {
    requests: 0,
    left: 0,
    unheard: 0,
    outcomes: {},
    wrong: [],
    rss: [],
    growth: { early: 0, late: 0, requests: 0 },
    ledger: { rows: 0, problems: [] },
    leftOver: { gateway: 0, vendor: 0 },
    seconds: 0,
  }
  const most = options.requests ?? Number.POSITIVE_INFINITY
  const running = (): number => (performance.now() - begin) / 1000
  const progress = (): number => Math.max(running() / options.seconds, report.requests / most)
  const stopped = (): boolean => progress() >= 1
  try {
    const load = runClients(served.url, options.clients, stopped, (client) => turn(client, report, options.mix))
    const samples: { requests: number; rss: number }[] = []
    let told = 0
    while (!stopped()) {
      await pause(100)
      // A hundred samples at equal distances of work, whatever the pace.
      if (progress() < (samples.length + 1) / 100) continue
      samples.push({ requests: report.requests, rss: served.rss() / 1024 ** 2 })
      if (running() - told < 60) continue
      told = running()
      options.told?.(`${Math.round(told)} s, ${report.requests} requests, ${samples.at(-1)!.rss.toFixed(1)} MB`)
    }
    await load
    report.rss = samples.map(({ rss }) => Math.round(rss * 10) / 10)
    const quarter = Math.floor(samples.length / 4)
    const median = (from: number): number =>
      samples
        .slice(from, from + quarter)
        .map(({ rss }) => rss)
        .sort((a, b) => a - b)[quarter >> 1] ?? 0
    report.growth = {
      early: median(samples.length - 2 * quarter),
      late: median(samples.length - quarter),
      requests: (samples.at(-1)?.requests ?? 0) - (samples.at(-2 * quarter)?.requests ?? 0),
    }
    report.leftOver = await leftOver(served.url, () => simulator.totals().running)
    report.ledger = await served.read(async (reader) => {
      let rows = 0
      for await (const text of reader.export({ format: 'jsonl', rows: 'requests' })) rows += text.split('\n').length - 1
      return { rows, problems: (await reader.verify()).problems }
    })
  } finally {
    await served.stop()
    await simulator.close()
  }
  report.seconds = Math.round(running())
  return report
}

/** One request of one kind, drawn; half of all streams are left at some moment. */
async function turn(client: LoadClient, report: FaultStormReport, mix: FaultStormOptions['mix']): Promise<void> {
  const draw = Math.random()
  const name = mix === 'aborts' ? (draw < 0.5 ? 'wide' : 'long') : names[Math.floor(draw * names.length)]!
  const endless = name === 'long' || name === 'wide'
  const stream = endless || Math.random() < 0.6
  const wire = wires[Math.floor(Math.random() * wires.length)]!
  const leaves = endless || Math.random() < 0.4
  const body = {
    model: `${wire}.${name}`,
    stream,
    max_tokens: 10_000,
    messages: [{ role: 'user', content: `Tell me of line ${Math.floor(Math.random() * 10)}.` }],
  }
  report.requests++
  // Who wants no fallback meets the faults, and the shut doors behind them.
  const headers: Record<string, string> = Math.random() < 0.3 ? { 'x-turnout-fallback': 'off' } : {}
  const reply = await client.ask(body, { headers, ...(leaves ? leaving(stream) : {}) })
  if (reply.error === 'left') report.left++
  if (reply.error === 'left' && reply.status === 0) report.unheard++
  const outcome = judge(reply, stream, endless)
  report.outcomes[outcome] = (report.outcomes[outcome] ?? 0) + 1
  if (outcome === 'wrong' && report.wrong.length < 50)
    report.wrong.push(
      `${body.model} ${stream ? 'stream' : 'JSON'}: ${reply.status} ${reply.error} ${reply.text.slice(-300)}`,
    )
}

/** At some moment, or in the middle of a stream after some pieces of it. */
function leaving(stream: boolean): Asking {
  if (!stream || Math.random() < 0.3) return { leaveAfter: Math.random() * 100 }
  let pieces = 1 + Math.floor(Math.random() * 6)
  return { onPiece: (_piece, leave) => (--pieces === 0 ? leave() : undefined) }
}

/** Whole and right, broken and said so, refused and said so; anything else is wrong. */
function judge({ status, headers, text, complete, error }: Reply, stream: boolean, endless: boolean): string {
  if (error === 'left') return 'left'
  if (!complete || error !== undefined) return 'wrong'
  if (status !== 200)
    return status >= 400 && headers['x-turnout-error'] ? `${status} ${headers['x-turnout-error']}` : 'wrong'
  if (!stream) return JSON.parse(text).choices[0].message.content.length > 0 ? '200 whole' : 'wrong'
  const { events, done } = readStream(text)
  const said = events.filter(({ choices }) => choices?.[0]?.delta?.content).length
  const broken = events.at(-1)?.error !== undefined
  if (broken) return done ? 'wrong' : '200 broken off, and said so'
  return done && (said === TOKENS || endless) ? '200 whole stream' : 'wrong'
}

/** What is still under way when nobody asks any more; waits a little, because clients that left are told of at the next turn. */
async function leftOver(url: string, running: () => number): Promise<{ gateway: number; vendor: number }> {
  for (let look = 0; ; look++) {
    const { in_flight } = (await (await fetch(`${url}/status`)).json()) as { in_flight: number }
    if ((in_flight === 0 && running() === 0) || look === 600) return { gateway: in_flight, vendor: running() }
    await pause(100)
  }
}
