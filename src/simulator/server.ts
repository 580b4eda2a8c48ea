// A fake vendor: a real HTTP server on loopback that speaks wire formats, keeps to scripts and fails on demand.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Answer, Answers, type Question, wireOf } from './answers.ts'
import type { Call, Totals } from './call.ts'
import { CONTROL_PREFIX, control } from './control.ts'
import { deliver, type Progress } from './delivery.ts'
import { type Entry, Ledger } from './record.ts'
import { ScriptRegistry } from './registry.ts'
import type { Script } from './script.ts'
import { headerNames } from './wires/index.ts'

export interface SimulatorOptions {
  /** 0 or absent: any free port. */
  port?: number
  /** Default `127.0.0.1`. */
  host?: string
  /** Default 1. The same seed and request give the same reply: text, ids and usage. */
  seed?: number
  /** Keep the raw bodies of the last requests, up to 64 MB in all. */
  keepBodies?: boolean
  /** Refuse requests without this key (401). */
  requireKey?: string
  /** By model name; they win over the built-in names. */
  scripts?: Record<string, Script>
}

export interface Simulator {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** `url` with `/v1`: what an OpenAI SDK takes as its base URL. */
  readonly baseUrl: string
  readonly port: number
  /** Model names with a meaning of their own. Any other name simply answers. */
  readonly models: readonly string[]
  /** The last 1000 calls, oldest first. */
  readonly calls: readonly Call[]
  totals(): Totals
  /** Forgets calls and totals. */
  reset(): void
  /** Scripts a model from its next call on; `undefined` takes the script away. Throws `ScriptError`. */
  script(model: string, script: Script | undefined): void
  /** Resolves with the first call, past or to come, for which the predicate holds. Default 60,000 ms, then it rejects. */
  waitFor(predicate: (call: Call) => boolean, timeoutMs?: number): Promise<Call>
  /** Stops and destroys all connections. */
  close(): Promise<void>
}

const MAX_BODY_BYTES = 64 * 1024 * 1024

/** Starts a simulator. Throws `ScriptError` for scripts it cannot use, and the system's error when it cannot listen. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const seed = options.seed ?? 1
  const registry = new ScriptRegistry(seed, options.scripts)
  const answers = new Answers(registry, seed)
  const ledger = new Ledger(options.keepBodies ?? false)
  const script = (model: string, value: unknown) => {
    registry.set(model, value)
    answers.forget()
  }
  const controlled = { registry, ledger, script }

  const respond = (req: IncomingMessage, res: ServerResponse, chunks: Buffer[], bytes: number): void => {
    const url = req.url ?? '/'
    const mark = url.indexOf('?')
    const path = mark === -1 ? url : url.slice(0, mark)
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
    if (path === CONTROL_PREFIX || path.startsWith(`${CONTROL_PREFIX}/`)) {
      control(req, res, path, body, controlled)
      return
    }
    const method = req.method ?? 'GET'
    const header = req.headers['x-sim-script'] as string | undefined
    const asking = { query: mark === -1 ? '' : url.slice(mark + 1), headers: headersOf(req) }
    const question: Question = { method, path, asking, header, body }
    const answer = pick(req, question, bytes)
    const entry = ledger.open({ ...answer, method, path, rawHeaders: req.rawHeaders, body })
    send(res, entry)
  }

  const pick = (req: IncomingMessage, question: Question, bytes: number): Answer => {
    if (bytes > MAX_BODY_BYTES) return answers.tooLarge(question)
    if (options.requireKey === undefined) return answers.find(question)
    const key = wireOf(question).keyOf(req.headers)
    return key === options.requireKey ? answers.find(question) : answers.unauthorized(question)
  }

  const send = (res: ServerResponse, entry: Entry): void => {
    let progress: Progress | undefined
    const onProgress = () => {
      if (progress) ledger.update(entry, progress)
    }
    res.once('close', () => {
      if (!progress) return
      progress.stop()
      ledger.settle(entry, progress, res.writableFinished)
    })
    progress = deliver(res, entry.plan, onProgress)
    // What was sent right away, before there was anything to look at.
    if (!progress.ended) ledger.update(entry, progress)
  }

  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) chunks.length = 0
      else chunks.push(chunk)
    })
    req.on('end', () => respond(req, res, chunks, bytes))
  })
  // Gateways keep their pools open for long; the default of 5 s would close sockets under their hands.
  server.keepAliveTimeout = 75_000
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')

  const { port, address, family } = server.address() as AddressInfo
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  return {
    url,
    baseUrl: `${url}/v1`,
    port,
    get models() {
      return registry.names
    },
    get calls() {
      return ledger.calls
    },
    totals: () => ledger.totals(),
    reset: () => ledger.reset(),
    script,
    waitFor: (predicate, timeoutMs = 60_000) => ledger.waitFor(predicate, timeoutMs),
    async close() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** The headers that answers may depend on. */
function headersOf(req: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(headerNames.map((name) => [name, req.headers[name] as string | undefined]))
}
