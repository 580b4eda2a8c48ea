// The identity lane: client and upstream speak one dialect, so bytes pass as they are but for the named edits.
import type { Provider, Target } from '../config/snapshot.ts'
import type { Loss } from '../dialects/chat.ts'
import type {
  HubLane,
  IdentityLane,
  Inspected,
  Outbound,
  ReplyEdits,
  ReplyFacts,
  StreamTap,
} from '../dialects/dialect.ts'
import { UpstreamFault } from '../dialects/errors.ts'
import { FrameSplitter, isCutOff, MOST_BLANK, readFrame } from '../dialects/sse.ts'
import { capEdit } from './capName.ts'
import { foreignIn, refusedBy } from './foreignFields.ts'
import { type Replying, restream } from './hubLane.ts'
import type { Lane, LaneStream } from './lane.ts'

export function identityLane(
  outbound: Outbound & IdentityLane & HubLane,
  inspected: Inspected,
  replying: Replying,
  target: Target,
  model: string,
  params: Readonly<Record<string, unknown>> | undefined,
): Lane {
  const { ask } = inspected
  const { provider } = target
  const asks = provider.streamUsage === 'ask' && !provider.quirks.includes('no-stream-options')
  const askUsage = ask.stream && !ask.includeUsage && asks
  const edits: ReplyEdits = {
    stripUsage: askUsage && !replying.ask.includeUsage,
    choices: ask.n,
    quirks: provider.quirks,
  }
  const refused = ask.stream ? refusedOptions(inspected.wire, provider) : undefined
  const cap = capEdit(inspected.wire, provider, model, params)
  const drop = [...replying.drop, ...(refused ? ['stream_options'] : []), ...(cap.drop ? [cap.drop] : [])]
  const foreign = foreignIn(inspected.wire, refusedBy(provider, model), params)
  const encoded = encodeURIComponent(model)
  return {
    name: 'identity',
    path: provider.kind.chatPath?.(encoded, { apiVersion: provider.apiVersion }) ?? outbound.path(model, ask.stream),
    body: outbound.patch(inspected, {
      model,
      askUsage,
      params,
      systemPrefix: target.systemPrefix,
      drop,
      rename: cap.rename,
      cut: foreign?.cut,
    }),
    bounds: () => outbound.bounds(editedWire(inspected.wire, params, drop)),
    stream: () => new IdentityStream(outbound.tap(edits)),
    headers: {},
    losses: [...(refused ?? []), ...(foreign?.losses ?? [])],
    whole: (body) => outbound.whole(body, edits),
    restream: (body) => restream(outbound, replying, body),
  }
}

/**
 * Of the client's `stream_options`, what a target that refuses them cannot be told; undefined where they may pass. The AI SDK and
 * LangChain send them with each stream, and such a target would answer 400 to every one.
 */
function refusedOptions(wire: unknown, { streamUsage, quirks }: Provider): Loss[] | undefined {
  if (streamUsage !== 'never' && !quirks.includes('no-stream-options')) return undefined
  const { stream_options: options } = wire as { stream_options?: Readonly<Record<string, unknown>> | null }
  if (options === undefined) return undefined
  const told = Object.entries(options ?? {}).filter(
    ([name, value]) => value !== null && value !== false && (name !== 'include_usage' || streamUsage === 'never'),
  )
  return told.map(([name]) => ({ param: `stream_options.${name}`, reason: 'unsupported' as const }))
}

/** What the upstream reads, parsed: the client's request with the parameters that are forced on it. */
function editedWire(
  wire: unknown,
  params: Readonly<Record<string, unknown>> | undefined,
  drop: readonly string[],
): unknown {
  if (params === undefined && drop.length === 0) return wire
  const edited = { ...(wire as Record<string, unknown>) }
  for (const name of drop) delete edited[name]
  return Object.assign(edited, params)
}

const END_OF_FRAME = Buffer.from('\n\n')

class IdentityStream implements LaneStream {
  readonly ready: Buffer[] = []
  readonly held: Buffer[] = []
  finishing = false
  fault: UpstreamFault | undefined
  errorFrame: Buffer | undefined
  readonly #tap: StreamTap
  readonly #splitter = new FrameSplitter()
  /** What the current bytes come down to: runs that lie side by side are one, and all of them one piece for the socket. */
  #runs: Run[] = []

  constructor(tap: StreamTap) {
    this.#tap = tap
  }

  get good(): boolean {
    return this.#tap.good
  }

  get complete(): boolean {
    return this.#tap.complete && !this.#splitter.awaitsLf
  }

  get unfinished(): number {
    return this.#splitter.unfinished
  }

  get progress(): number {
    return this.#tap.facts.contentBytes
  }

  get facts(): ReplyFacts {
    return this.#tap.facts
  }

  push(chunk: Buffer): void {
    if (this.fault) return
    try {
      this.#splitter.split(chunk, this.#take)
    } catch (error) {
      if (!(error instanceof UpstreamFault)) throw error
      this.fault = error
    }
    this.#flush()
  }

  end(): void {
    const rest = this.fault ? undefined : this.#splitter.end()
    const last = rest && readFrame(rest)
    if (last && !isCutOff(last)) this.#take(rest, 0, rest.length)
    this.fault ??= this.#tap.end()
    if (this.fault) {
      // What the client is told of the fault must not become a part of the line that has no end.
      if (last?.data === undefined) this.#runs = []
      else if (this.#runs.length > 0) this.#add(END_OF_FRAME, 0, END_OF_FRAME.length)
    }
    this.#flush()
  }

  readonly #take = (buffer: Buffer, start: number, end: number): void => {
    if (this.fault) return
    if (end - start <= MOST_BLANK) return this.#add(buffer, start, end)
    const verdict = this.#tap.take(buffer, start, end)
    if (verdict === 'fault') {
      this.fault = this.#tap.fault
      if (this.fault?.body) this.errorFrame = Buffer.from(buffer.subarray(start, end))
      return
    }
    if (verdict === 'drop') return
    if (verdict === 'finish' && !this.finishing) {
      this.#flush()
      this.finishing = true
    }
    const { edited } = this.#tap
    if (edited) this.#add(edited, 0, edited.length)
    else if (verdict === 'cut') {
      this.#add(buffer, start, this.#tap.cutStart)
      this.#add(buffer, this.#tap.cutEnd, end)
    } else this.#add(buffer, start, end)
  }

  #add(buffer: Buffer, start: number, end: number): void {
    const last = this.#runs.at(-1)
    if (last && last.buffer === buffer && last.end === start) last.end = end
    else this.#runs.push({ buffer, start, end })
  }

  #flush(): void {
    if (this.#runs.length === 0) return
    const bytes = join(this.#runs)
    this.#runs = []
    if (this.finishing) this.held.push(bytes)
    else this.ready.push(bytes)
  }
}

interface Run {
  buffer: Buffer
  start: number
  end: number
}

function join(runs: Run[]): Buffer {
  if (runs.length === 1) {
    const { buffer, start, end } = runs[0]!
    return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end)
  }
  const joined = Buffer.allocUnsafe(runs.reduce((sum, { start, end }) => sum + end - start, 0))
  let at = 0
  for (const { buffer, start, end } of runs) at += buffer.copy(joined, at, start, end)
  return joined
}
