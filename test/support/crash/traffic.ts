// The traffic of the crash tests: what the vendor answers, what the gateway is told, and what one client asks and sees.
import { randomUUID } from 'node:crypto'
import { Agent } from 'undici'
import type { Script } from '../../../src/simulator/index.ts'
import type { Dice } from '../../../src/simulator/random.ts'
import { upstreamAt } from '../gateway.ts'
import { simulatedPrices } from '../ledgerGateway.ts'

/** Paces of all kinds, so that a kill meets calls in every phase. */
export const scripts: Record<string, Script> = {
  'sim-quick': { tokens: 12 },
  'sim-paced': { firstTokenMs: 10, tokens: 60, tokensPerSecond: 1000 },
  'sim-late': { headersDelayMs: 25, tokens: 20 },
  'sim-thinking': { cachedTokens: 64, reasoningTokens: 8, tokens: 10, usageMode: 'always', usageOnChoices: true },
  // No usage: what it costs is an estimate.
  'sim-silent': { usageMode: 'never', tokens: 24 },
  'sim-half-down': { tokens: 12, fault: { kind: 'status', status: 503, rate: 0.5 } },
  // Long enough to watch.
  'sim-steady': { tokens: 400, tokensPerSecond: 150 },
  // Longer than it takes to fill a disk.
  'sim-lasting': { tokens: 2_000, tokensPerSecond: 150 },
  // Breaks off after its first tokens.
  'sim-broken': { tokens: 24, tokensPerSecond: 1000, fault: { kind: 'cut', afterTokens: 8 } },
}

const models = [
  'quick',
  'quick',
  'paced',
  'paced',
  'late',
  'thinking',
  'silent',
  'down',
  'shaky',
  'broken',
] as const satisfies readonly [string, ...string[]]

export type LedgerMode = 'process' | 'power' | 'relaxed'

/** A `turnout.yaml` for this traffic. */
export function configFor(upstream: string, dataDir: string, ledger: Record<string, unknown>): string {
  return JSON.stringify({
    server: { port: 0 },
    log: { level: 'error' },
    dataDir,
    ledger,
    providers: { sim: upstreamAt(upstream) },
    // Whoever waits for a number looks more often than once a second.
    access: { metricsPerMinute: 0 },
    prices: simulatedPrices,
    // A target that fails half of the time shall be asked all the same.
    breaker: { failures: 1_000_000, volume: 1_000_000, percent: 100 },
    retries: { attempts: 1 },
    routes: {
      quick: 'sim/sim-quick',
      paced: 'sim/sim-paced',
      late: 'sim/sim-late',
      thinking: 'sim/sim-thinking',
      silent: 'sim/sim-silent',
      steady: 'sim/sim-steady',
      lasting: 'sim/sim-lasting',
      // A model whose tokens can be counted exactly.
      counted: 'sim/gpt-4o',
      broken: 'sim/sim-broken',
      down: ['sim/sim-half-down', 'sim/sim-quick'],
      shaky: { targets: ['sim/sim-half-down'], retries: { attempts: 3, baseDelay: '5ms', budget: 1 } },
    },
  })
}

/** `whole`: the JSON body with all its bytes, or a stream up to `[DONE]`. `refused`: an error reply, whole. `cut`: anything else. */
export type Seen = 'whole' | 'refused' | 'cut'

/** One request as its client saw it. */
export interface Sighting {
  /** Sent as `user`: by it the request is found again at the vendor and in the ledger. */
  readonly user: string
  readonly model: string
  readonly stream: boolean
  seen: Seen
  status: number
  /** Our id, as the reply's header has it. */
  requestId: string | undefined
  /** The vendor's id, as the reply's body has it. */
  replyId: string | undefined
  text: string
  /** Milliseconds of the monotonic clock when the last byte that made it whole was here. */
  at: number
}

export interface ClientOptions {
  url: string
  dice: Dice
  /** Told of each request that ended, and of each piece of a stream. */
  onSeen?: ((sighting: Sighting) => void) | undefined
  onPiece?: ((sighting: Sighting) => void) | undefined
}

/** One request of a random kind. Never rejects: that it broke is what it saw. */
export function askAny(agent: Agent, options: ClientOptions): Promise<Sighting> {
  const { dice } = options
  return askOne(agent, dice.pick(models), dice.next() < 0.5, options)
}

export async function askOne(
  agent: Agent,
  model: string,
  stream: boolean,
  { url, onSeen, onPiece }: Omit<ClientOptions, 'dice'>,
): Promise<Sighting> {
  const it: Sighting = {
    user: randomUUID(),
    model,
    stream,
    seen: 'cut',
    status: 0,
    requestId: undefined,
    replyId: undefined,
    text: '',
    at: 0,
  }
  const messages = [{ role: 'user', content: `The ledger is asked for ${it.user}.` }]
  try {
    const { statusCode, headers, body } = await agent.request({
      origin: url,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, stream, user: it.user, messages }),
    })
    it.status = statusCode
    it.requestId = headers['x-request-id'] as string | undefined
    for await (const piece of body) {
      it.text += String(piece)
      judge(it)
      onPiece?.(it)
    }
    if (statusCode !== 200) it.seen = 'refused'
    else if (!stream) it.seen = 'whole'
    it.at ||= performance.now()
  } catch {
    // Refused, reset or cut: whatever came until then is in `it`.
  }
  it.replyId = /"id":"([^"]+)"/.exec(it.text)?.[1]
  onSeen?.(it)
  return it
}

/** A stream is whole with its end marker, whatever becomes of the connection after it. */
function judge(it: Sighting): void {
  if (!it.stream || it.status !== 200 || it.seen === 'whole' || !it.text.endsWith('data: [DONE]\n\n')) return
  it.seen = 'whole'
  it.at = performance.now()
}

/** Sockets for so many clients at once; their connections die with the gateway. */
export function openAgent(connections: number): Agent {
  return new Agent({ connections, pipelining: 1, headersTimeout: 120_000, bodyTimeout: 120_000 })
}
