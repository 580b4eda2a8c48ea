// The hub lane: the client's request is decoded once and encoded for a target of another dialect; the reply comes back as events.
import type { Target } from '../config/snapshot.ts'
import type { Chat, ChatEvent } from '../dialects/chat.ts'
import { faultOfText } from '../dialects/depth.ts'
import type {
  Ask,
  HubAids,
  HubLane,
  Inbound,
  JudgedReply,
  Outbound,
  ReplyContext,
  ReplyFacts,
  StreamDecoder,
} from '../dialects/dialect.ts'
import { UpstreamFault } from '../dialects/errors.ts'
import { parseJson, writeJson } from '../dialects/exactJson.ts'
import { FrameSplitter, isCutOff, MOST_BLANK, readFrame } from '../dialects/sse.ts'
import type { Lane, LaneStream } from './lane.ts'

/** What the way back to the client needs. */
export interface Replying {
  inbound: Inbound
  ask: Ask
  context: ReplyContext
  aids: HubAids
  /** Top-level fields of the request that were meant for us. */
  drop: readonly string[]
}

/** @throws Refusal for content that the target cannot take */
export function hubLane(
  outbound: Outbound & HubLane,
  chat: Chat,
  replying: Replying,
  target: Target,
  model: string,
): Lane {
  const { ask, aids } = replying
  const { wire, losses, headers } = outbound.encode(chat, model, aids)
  const forced = target.params ? force(wire as Wire, target.params) : wire
  return {
    name: 'hub',
    path: outbound.path(model, ask.stream),
    body: Buffer.from(writeJson(forced)),
    headers: headers ?? {},
    losses,
    bounds: () => outbound.bounds(forced),
    stream: () => new HubStream(outbound, replying),
    whole: (body) => wholeReply(outbound, replying, body),
    restream: (body) => restream(outbound, replying, body),
  }
}

type Wire = Readonly<Record<string, unknown>>

/** Where Gemini has all its parameters, and Anthropic an effort and the answer's format. */
const blocks = ['generationConfig', 'output_config'] as const

/** One parameter that is forced in a block leaves the client's others there. */
function force(wire: Wire, params: Wire): Wire {
  const forced: Record<string, unknown> = { ...wire, ...params }
  for (const name of blocks) {
    const [own, theirs] = [wire[name], params[name]]
    if (isBlock(own) && isBlock(theirs)) forced[name] = { ...own, ...theirs }
  }
  return forced
}

const isBlock = (value: unknown): value is object => typeof value === 'object' && value !== null

/** A whole JSON reply in the client's dialect. */
function wholeReply(outbound: HubLane, { inbound, ask, context, aids }: Replying, body: Buffer): Judged {
  const events = readEvents(outbound, aids, body)
  if (events instanceof UpstreamFault) return events
  const facts = new FactReader(ask.n)
  for (const event of events) facts.take(event)
  if (facts.fault) return judgedBad(body, facts)
  return { body: Buffer.from(inbound.reply!(events, ask, context)), facts: facts.facts }
}

/** A whole JSON reply as the stream that the client asked for: some servers do not stream, and a reply is a stream that came at once. */
export function restream(outbound: HubLane, { inbound, ask, context, aids }: Replying, body: Buffer): Judged {
  const events = readEvents(outbound, aids, body)
  if (events instanceof UpstreamFault) return events
  const facts = new FactReader(ask.n)
  const write = inbound.stream!(ask, context)
  let text = ''
  for (const event of events) {
    facts.take(event)
    text += write(event)
  }
  return facts.fault ? judgedBad(body, facts) : { body: Buffer.from(text), facts: facts.facts }
}

type Judged = JudgedReply | UpstreamFault

/** A vendor that tells of its usage charges for it, whatever else it says. */
const judgedBad = (body: Buffer, { facts, fault }: FactReader): Judged =>
  facts.usage === undefined ? fault! : { body, facts, fault: fault! }

function readEvents(outbound: HubLane, aids: HubAids, body: Buffer): ChatEvent[] | UpstreamFault {
  const text = body.toString('utf8')
  let wire: unknown
  try {
    wire = parseJson(text)
  } catch {
    return faultOfText(text, 'The upstream answered 200 with a body that is not JSON.')
  }
  return outbound.events(wire, aids)
}

/** Learns from events what the journey needs to know of a reply. */
class FactReader {
  readonly facts: ReplyFacts = {
    id: undefined,
    model: undefined,
    finish: undefined,
    rawFinish: undefined,
    usage: undefined,
    serviceTier: undefined,
    contentBytes: 0,
  }
  fault: UpstreamFault | undefined
  good = false
  complete = false
  readonly #choices: number
  #finished = 0

  constructor(choices: number) {
    this.#choices = choices
  }

  get finishing(): boolean {
    return this.#finished >= this.#choices || this.complete
  }

  take(event: ChatEvent): void {
    const { facts } = this
    switch (event.type) {
      case 'start':
        facts.id = event.id
        facts.model = event.model
        facts.serviceTier = event.serviceTier
        return
      case 'block-start':
        // Text and thoughts open before anything is generated; a call or a picture is something by itself.
        if (event.block.type === 'text' || event.block.type === 'reasoning' || event.block.type === 'refusal') return
        facts.contentBytes++
        this.good = true
        return
      case 'block-delta':
        if (event.text === '') return
        facts.contentBytes += Buffer.byteLength(event.text)
        this.good = true
        return
      case 'usage':
        facts.usage = (event.billed ?? event).usage
        facts.passes = event.billed?.passes
        facts.serviceTier = event.tariff ?? facts.serviceTier
        return
      case 'finish':
        facts.finish = event.reason
        facts.rawFinish = event.raw ?? event.reason
        this.#finished++
        if (event.reason !== 'stop') this.good = true
        return
      case 'end':
        this.complete = true
        this.good = true
        return
      case 'fault':
        this.fault = event.fault
    }
  }
}

class HubStream implements LaneStream {
  readonly ready: Buffer[] = []
  readonly held: Buffer[] = []
  readonly #splitter = new FrameSplitter()
  readonly #decoder: StreamDecoder
  readonly #write: (event: ChatEvent) => string
  readonly #reader: FactReader
  #text = ''

  constructor(outbound: HubLane, { inbound, ask, context, aids }: Replying) {
    this.#decoder = outbound.decodeStream(aids)
    this.#write = inbound.stream!(ask, context)
    this.#reader = new FactReader(ask.n)
  }

  get good(): boolean {
    return this.#reader.good
  }

  get finishing(): boolean {
    return this.#reader.finishing
  }

  get complete(): boolean {
    return this.#reader.complete
  }

  get unfinished(): number {
    return this.#splitter.unfinished
  }

  get progress(): number {
    return this.#reader.facts.contentBytes
  }

  get facts(): ReplyFacts {
    return this.#reader.facts
  }

  get fault(): UpstreamFault | undefined {
    return this.#reader.fault
  }

  push(chunk: Buffer): void {
    try {
      this.#splitter.push(chunk, (frame) => {
        if (frame.length > MOST_BLANK) this.#pass(this.#decoder.take(readFrame(frame)))
      })
    } catch (error) {
      if (!(error instanceof UpstreamFault)) throw error
      this.#reader.take({ type: 'fault', fault: error })
    }
    this.#flush()
  }

  end(): void {
    const rest = this.#splitter.end()
    const last = rest && readFrame(rest)
    if (last && !isCutOff(last)) this.#pass(this.#decoder.take(last))
    this.#pass(this.#decoder.end())
    this.#flush()
  }

  #pass(events: ChatEvent[]): void {
    for (const event of events) {
      if (this.#reader.fault) return
      const wasFinishing = this.#reader.finishing
      this.#reader.take(event)
      // The error frame is the relay's to write: before the commit point there is none.
      if (event.type === 'fault') return
      if (!wasFinishing && this.#reader.finishing) this.#flush(false)
      this.#text += this.#write(event)
    }
  }

  /** One piece for the socket per piece from it. */
  #flush(finishing = this.#reader.finishing): void {
    if (this.#text === '') return
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    if (finishing) this.held.push(bytes)
    else this.ready.push(bytes)
  }
}
