// Swaps the configuration of a serving process again and again under load, and looks for requests that failed or saw two of them.
import { type Script, startSimulator } from '../../src/simulator/index.ts'
import type { Reader } from '../../src/store/reader.ts'
import { type Reply, readStream, runClients } from './load.ts'
import { type ServedTurnout, serveTurnout } from './servedTurnout.ts'

export interface SwapStormOptions {
  swaps: number
  /** Clients that ask for whole replies, and for streams that live through several swaps. */
  jsonClients: number
  streamClients: number
  told?: (line: string) => void
}

export interface SwapStormReport {
  swaps: number
  /** Files with mistakes that were put in between and refused. */
  refused: number
  requests: number
  streams: number
  /** Streams that were live while the configuration changed at least once. */
  streamsAcrossSwaps: number
  /** What went wrong, in words; the first hundred. */
  failed: string[]
  mixed: string[]
  /** Numbers of configurations that some reply named. */
  seen: number
  /** Requests in the ledger with two attempts, all of one configuration. */
  fallbacks: number
  seconds: number
}

/** Tokens of a stream, and how fast: about 0.7 s. */
const LIVE: Script = { tokens: 70, tokensPerSecond: 100 }
const STREAM_TOKENS = 70

/**
 * Each document routes `chat` and `live` to targets that carry its number in their ids, their models and a header that the vendor gets.
 * The first target of `chat` fails every third time, so that requests with two attempts are caught between two documents, too.
 */
const documentOf = (number: number, vendor: string): Record<string, unknown> => ({
  providers: {
    vendor: {
      kind: 'openai',
      baseUrl: `${vendor}/v1`,
      apiKey: 'sk-test-upstream-0123456789',
      headers: { 'x-document': String(number) },
    },
  },
  breaker: { failures: 1_000, volume: 1_000_000 },
  targets: {
    [`shaky-${number}`]: { provider: 'vendor', model: `shaky-${number}` },
    [`sound-${number}`]: { provider: 'vendor', model: `sound-${number}` },
    [`live-${number}`]: { provider: 'vendor', model: `live-${number}` },
  },
  routes: { chat: [`shaky-${number}`, `sound-${number}`], live: [`live-${number}`] },
})

/** Starts a vendor, a gateway and clients; swaps; waits for everything to end; reads the ledger. */
export async function stormSwaps(options: SwapStormOptions): Promise<SwapStormReport> {
  const begin = performance.now()
  const simulator = await startSimulator({ seed: 7 })
  const prepare = (number: number): void => {
    simulator.script(`shaky-${number}`, { headersDelayMs: 5, fault: { kind: 'status', status: 503, rate: 0.33 } })
    simulator.script(`live-${number}`, LIVE)
  }
  prepare(0)
  const served = await serveTurnout(documentOf(0, simulator.url))
  const report: SwapStormReport = {
    swaps: 0,
    refused: 0,
    requests: 0,
    streams: 0,
    streamsAcrossSwaps: 0,
    failed: [],
    mixed: [],
    seen: 0,
    fallbacks: 0,
    seconds: 0,
  }
  const numberOf = new Map<string, string>()
  const judge = judgeOf(report, numberOf)
  // What the vendor was sent: the header of one document and the model of another would be a mixture, too.
  const watchVendor = (): void => {
    for (const { model, headers, n } of simulator.calls)
      if (model.split('-')[1] !== headers['x-document'])
        note(report.mixed, `call ${n}: ${model}, ${headers['x-document']}`)
  }
  let over = false
  const stopped = (): boolean => over
  let answered = 0
  let wake = (): void => {}
  /** However fast swaps are, some requests come between two of them. */
  const someAnswered = async (count: number): Promise<void> => {
    for (const goal = answered + count; answered < goal; ) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  try {
    const load = Promise.all([
      runClients(served.url, options.jsonClients, stopped, async (client) => {
        report.requests++
        // Every other one takes its time to say what it wants: the configuration may change in between.
        const asking = report.requests % 2 === 0 ? { bodyGap: 10 } : {}
        judge(await client.ask(bodyOf('chat', false), asking), false)
        answered++
        wake()
      }),
      runClients(served.url, options.streamClients, stopped, async (client) => {
        report.streams++
        const before = report.swaps
        judge(await client.ask(bodyOf('live', true)), true)
        if (report.swaps > before) report.streamsAcrossSwaps++
      }),
    ])
    for (let number = 1; number <= options.swaps; number++) {
      if (number % 10 === 0) await offerMistakes(served, report)
      prepare(number)
      served.write(documentOf(number, simulator.url))
      // The watch on the file may have met the one with mistakes, too, and say so late.
      const { event } = await served.reload((line) => line.event === 'refused' && hasMistakes(line))
      if (event === 'swapped') report.swaps++
      else note(report.failed, `swap ${number}: ${event}`)
      await someAnswered(4)
      watchVendor()
      // What no request can ask for any more is forgotten, or the vendor would be what grows.
      simulator.script(`shaky-${number - 50}`, undefined)
      simulator.script(`live-${number - 50}`, undefined)
      if (number % 100 === 0) options.told?.(`${number} swaps, ${report.requests + report.streams} requests`)
    }
    over = true
    await load
    watchVendor()
    report.seen = numberOf.size
    await served.read((reader) => readBooks(reader, report))
  } finally {
    over = true
    await served.stop()
    await simulator.close()
  }
  report.seconds = Math.round((performance.now() - begin) / 1000)
  return report
}

const bodyOf = (model: string, stream: boolean): Record<string, unknown> => ({
  model,
  stream,
  max_tokens: 200,
  messages: [{ role: 'user', content: 'Which line is this?' }],
})

function note(list: string[], text: string): void {
  if (list.length < 100) list.push(text)
}

/** Puts a file with mistakes in the place of the good one: it is refused with all of them, each with its path. */
async function offerMistakes(served: ServedTurnout, report: SwapStormReport): Promise<void> {
  served.write('{ server: { port: none }, routes: { chat: [nobody/x] } }')
  const line = await served.reload()
  if (line.event === 'refused' && hasMistakes(line)) report.refused++
  else note(report.failed, `a file with mistakes: ${line.event} ${line.problems}`)
}

function hasMistakes(line: Record<string, unknown>): boolean {
  const text = String(line.problems)
  return text.includes('server.port') && text.includes('routes.chat')
}

/** Judges one reply: whole, and everything in it of one document. `numberOf`: which document each version turned out to be. */
function judgeOf(report: SwapStormReport, numberOf: Map<string, string>): (reply: Reply, stream: boolean) => void {
  return (reply, stream) => {
    const { status, headers, text, complete, error } = reply
    if (status !== 200 || !complete || error !== undefined)
      return note(report.failed, `${status} ${error ?? ''} ${headers['x-turnout-error'] ?? ''} ${text.slice(-300)}`)
    const config = String(headers['x-turnout-config'])
    const names = [headers['x-turnout-target'], headers['x-turnout-model']].map(String)
    if (stream) {
      const { events, done } = readStream(text)
      const tokens = events.filter(({ choices }) => choices?.[0]?.delta?.content).length
      if (!done || tokens !== STREAM_TOKENS || events.some((event) => event.error !== undefined))
        return note(report.failed, `a stream of ${tokens} tokens, ${done ? 'ended' : 'not ended'}: ${text.slice(-300)}`)
      names.push(...events.map(({ model }) => String(model)))
    } else names.push(JSON.parse(text).model)
    const numbers = new Set(names.map((name) => name.split('-')[1]!))
    const [number] = numbers
    const known = numberOf.get(config) ?? number!
    numberOf.set(config, known)
    if (numbers.size !== 1 || known !== number)
      note(report.mixed, `version ${config} was document ${known}, and now: ${[...new Set(names)].join(', ')}`)
  }
}

/** All attempts of a request, in the ledger, went to targets of one document; every version stands for one. */
async function readBooks(reader: Reader, report: SwapStormReport): Promise<void> {
  const configOf = new Map<string, number>()
  for await (const { id, config, outcome, error } of rowsOf(reader, 'requests')) {
    configOf.set(String(id), Number(config))
    if (outcome !== 'ok') note(report.failed, `ledger: ${id} ${outcome} ${error}`)
  }
  if (configOf.size !== report.requests + report.streams)
    note(report.failed, `ledger: ${configOf.size} rows of ${report.requests + report.streams} requests`)
  const numberOf = new Map<number, string>()
  for await (const { request, target, n } of rowsOf(reader, 'attempts')) {
    const config = configOf.get(String(request))!
    const number = String(target).split('-')[1]!
    const known = numberOf.get(config) ?? number
    numberOf.set(config, known)
    if (n === 2) report.fallbacks++
    if (known !== number) note(report.mixed, `ledger: ${request} of version ${config}: ${target}, not ${known}`)
  }
  const { problems } = await reader.verify()
  for (const problem of problems) note(report.failed, `ledger: ${JSON.stringify(problem)}`)
}

async function* rowsOf(reader: Reader, rows: 'requests' | 'attempts'): AsyncGenerator<Record<string, unknown>> {
  for await (const text of reader.export({ format: 'jsonl', rows }))
    for (const line of text.split('\n')) if (line !== '') yield JSON.parse(line)
}
