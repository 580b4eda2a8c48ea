// The identity lane: client and upstream speak one dialect, so bytes pass as they are but for the named edits.
import type { Target } from '../config/snapshot.ts'
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
import { FrameSplitter } from '../dialects/sse.ts'
import { type Replying, restream } from './hubLane.ts'
import type { Lane, LaneStream } from './lane.ts'

export function identityLane(
  outbound: Outbound & IdentityLane & HubLane,
  inspected: Inspected,
  replying: Replying,
  target: Target,
  model: string,
): Lane {
  const { ask } = inspected
  const { provider } = target
  const askUsage = ask.stream && !ask.includeUsage && provider.streamUsage === 'ask'
  const edits: ReplyEdits = { stripUsage: askUsage, choices: ask.n, quirks: provider.quirks }
  const encoded = encodeURIComponent(model)
  return {
    name: 'identity',
    path: provider.kind.chatPath?.(encoded, { apiVersion: provider.apiVersion }) ?? outbound.path(model, ask.stream),
    body: outbound.patch(inspected, { model, askUsage, params: target.params }),
    stream: () => new IdentityStream(outbound.tap(edits)),
    headers: {},
    losses: [],
    whole: (body) => outbound.whole(body, edits),
    restream: (body) => restream(outbound, replying, body),
  }
}

class IdentityStream implements LaneStream {
  readonly ready: Buffer[] = []
  readonly held: Buffer[] = []
  finishing = false
  fault: UpstreamFault | undefined
  readonly #tap: StreamTap
  readonly #splitter = new FrameSplitter()
  /** A run of unedited frames that lie side by side: one piece for the socket. */
  #run: Buffer | undefined
  #runStart = 0
  #runEnd = 0

  constructor(tap: StreamTap) {
    this.#tap = tap
  }

  get good(): boolean {
    return this.#tap.good
  }

  get complete(): boolean {
    return this.#tap.complete
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
    this.#flushRun()
  }

  end(): void {
    const rest = this.#splitter.end()
    if (rest && !this.fault) {
      this.#take(rest, 0, rest.length)
      this.#flushRun()
    }
    this.fault ??= this.#tap.end()
  }

  readonly #take = (buffer: Buffer, start: number, end: number): void => {
    if (this.fault) return
    const verdict = this.#tap.take(buffer, start, end)
    if (verdict === 'fault') {
      this.fault = this.#tap.fault
      return
    }
    if (verdict === 'drop') return
    if (verdict === 'finish' && !this.finishing) {
      this.#flushRun()
      this.finishing = true
    }
    const { edited } = this.#tap
    if (edited) {
      this.#flushRun()
      this.#put(edited)
    } else if (this.#run === buffer && this.#runEnd === start) this.#runEnd = end
    else {
      this.#flushRun()
      this.#run = buffer
      this.#runStart = start
      this.#runEnd = end
    }
  }

  #flushRun(): void {
    if (this.#run === undefined) return
    const { length } = this.#run
    this.#put(
      this.#runStart === 0 && this.#runEnd === length ? this.#run : this.#run.subarray(this.#runStart, this.#runEnd),
    )
    this.#run = undefined
  }

  #put(bytes: Buffer): void {
    if (this.finishing) this.held.push(bytes)
    else this.ready.push(bytes)
  }
}
