// What a dialect is: how clients speak a wire format to us, and how we speak it to upstreams.
import type { BilledPass, Chat, ChatEvent, FinishReason, Loss, Usage } from './chat.ts'
import type { GatewayError, UpstreamFault } from './errors.ts'
import type { Cut, Fields } from './splice.ts'

export type DialectName = 'openai-chat' | 'anthropic-messages' | 'gemini'

/** Facts of a request that routing, limits and accounting need. Numbers and names, never the text. */
export interface Ask {
  /** The model as the client wrote it: a route's name, or a provider's model. */
  model: string
  /** Further models that the client would take, best first (OpenRouter's `models`). */
  models?: readonly string[] | undefined
  stream: boolean
  /** The client itself asked for the usage chunk of a stream. */
  includeUsage: boolean
  /** The client's cap on output tokens, if any. */
  maxTokens: number | undefined
  /** How many answers were asked for. */
  n: number
  messages: number
  /** Length of the body in bytes. */
  bytes: number
  /** Of any kind, the deprecated `functions` included. */
  tools: number
  /** `bytes`: how much of the body's length is their content in base64, which is text to nobody. */
  media: { images: number; audio: number; files: number; bytes?: number | undefined }
  /** The client's end-user id, unhashed: goes no further than the HMAC. */
  user: string | undefined
}

/** A request body that was looked at once: its facts, its parsed form, and where its top-level fields lie in the bytes. */
export interface Inspected {
  ask: Ask
  wire: unknown
  raw: Buffer
  fields: Fields
}

/** Bounds of a request body beyond its length. */
export interface InspectLimits {
  maxDepth: number
  maxMessages: number
}

/** The named edits of the identity lane, inwards. Anything not named here reaches the upstream byte for byte. */
export interface RequestEdits {
  model: string
  /** Ask for the usage chunk of a stream (`stream_options.include_usage`), because the provider sends none unasked. */
  askUsage: boolean
  /** Top-level fields that were meant for us. */
  drop?: readonly string[]
  /** Top-level fields that the provider knows by another name, with that name. */
  rename?: Readonly<Record<string, string>> | undefined
  /** Parameters that the target forces, by wire name. */
  params?: Readonly<Record<string, unknown>> | undefined
  /** System text that the target puts before the client's messages. */
  systemPrefix?: string | undefined
  /** What the provider answers an error to, further inside. */
  cut?: Cut | undefined
}

/** The named edits of the identity lane, outwards. */
export interface ReplyEdits {
  /** Take out the usage chunk and `"usage":null` that we asked for and the client did not. */
  stripUsage: boolean
  /** How many answers were asked for: the ending begins when all of them are finished. */
  choices: number
  quirks: readonly Quirk[]
}

/** Known misbehaviours of providers that the identity lane repairs; each is documented where it is implemented. */
export type Quirk = 'stop-after-tool-call' | 'untyped-tool-calls' | 'listed-thoughts' | 'no-stream-options'

/** What is learnt about a reply while it passes. */
export interface ReplyFacts {
  id: string | undefined
  /** The model that the provider says it used. */
  model: string | undefined
  finish: FinishReason | undefined
  /** The vendor's own word for it. */
  rawFinish: string | undefined
  usage: Usage | undefined
  /** The runs that `usage` is the sum of, where there are several and each is charged by itself. */
  passes?: readonly BilledPass[] | undefined
  /** The service tier that the provider says it used, and what else prices depend on, joined by `+`. */
  serviceTier: string | undefined
  /** Bytes of generated content seen (text, reasoning, tool input), for estimates when usage never comes. */
  contentBytes: number
  /** What had to be JSON, an answer or the arguments of a call, is none; undefined where nobody looked. */
  invalidJson?: boolean
}

/**
 * Watches one streamed reply on the identity lane. Fed whole frames in order; says per frame what to do with its bytes.
 * `wait`: nothing generated yet, pass it on once committed. `pass`: content. `cut`: pass it without the bytes from `cutStart` to before
 * `cutEnd`. `edit`: send `edited` instead. `drop`: ours alone. `finish`: the first frame of the ending, to be held with all that follows until the request is settled.
 * `fault`: the upstream failed inside its 200 stream; see `fault`.
 */
export type FrameVerdict = 'wait' | 'pass' | 'cut' | 'edit' | 'drop' | 'finish' | 'fault'

export interface StreamTap {
  /** Looks at the frame that lies from `start` to before `end`. */
  take(buffer: Buffer, start: number, end: number): FrameVerdict
  /** The replacement of the last frame when the verdict was `edit`, or `finish` with an edit; undefined otherwise. */
  readonly edited: Buffer | undefined
  /** The bytes to leave out when the verdict was `cut`, as offsets of the buffer. */
  readonly cutStart: number
  readonly cutEnd: number
  readonly fault: UpstreamFault | undefined
  /** True once something generated was seen: the commit point. */
  readonly good: boolean
  /** The end-of-stream marker was seen: nothing more needs to come. */
  readonly complete: boolean
  /** The upstream closed the stream: returns the fault if it was not complete. */
  end(): UpstreamFault | undefined
  readonly facts: ReplyFacts
}

export interface Inbound {
  /** Parses a body once. Throws `Refusal` for bodies that are not a request of this dialect. */
  inspect(body: Buffer, limits: InspectLimits): Inspected
  /**
   * Checks what the model wrote earlier and the client sends back: tool arguments that hold more values than `most`, or are not JSON, which
   * may be left to the upstream. Throws `Refusal`.
   */
  checkHistory(wire: unknown, most: number, isLeft: boolean): void
  /** Wire to hub. Throws `Refusal` that names what it cannot hold. Never mutates the wire. */
  decode?(wire: unknown): Chat
  /** Hub events to one JSON reply. Throws the `UpstreamFault` of a `fault` event. */
  reply?(events: readonly ChatEvent[], ask: Ask, context: ReplyContext): string
  /**
   * Hub events to stream text; the closure holds the state of one stream. `end` gives the end-of-stream marker; `fault` gives the
   * error frame, after which everything gives the empty string. Faults found elsewhere (timeouts, a cut) are fed in the same way.
   */
  stream?(ask: Ask, context: ReplyContext): (event: ChatEvent) => string
  /** Writes the cost into the usage of a whole reply or of a stream's ending. */
  addCost(ending: Buffer, stream: boolean, cost: ReplyCost): Buffer
  /** A whole stream, or its ending, as clients get it that ask for usage. */
  withUsageChunk(stream: Buffer, told: ToldOfUsage): Buffer
  /** A whole stream, or some frames of it, as all others get it. */
  withoutUsageChunk(stream: Buffer): Buffer
  /** The body of an error reply. */
  error(error: GatewayError): string
  /** Whether the clients of this dialect find in an upstream's error body what is wrong. */
  isError(body: Buffer): boolean
  /** The frame that reports a failure after the commit point. No end-of-stream marker may follow it. */
  errorFrame(error: GatewayError): string
}

/** What a chunk with the usage is made of where a stream has none. */
export type ToldOfUsage = Pick<ReplyFacts, 'id' | 'model' | 'usage'>

/** What a request cost, for clients that asked for it in the reply's usage. */
export interface ReplyCost {
  /** Exact decimal of USD, all attempts; undefined when the price is unknown. */
  usd: string | undefined
  source: string | undefined
  version: string | undefined
  attempts: number
}

/** What a reply needs that the upstream may not give. Made once a request, so that dialects need no clock and no randomness. */
export interface ReplyContext {
  /** Used as the reply's id where the upstream gave none. */
  id: string
  /** Seconds since the epoch; used where the upstream gave none. */
  created: number
  /** The decoded request, where the form of the reply depends on it (deprecated `functions`). */
  chat?: Chat | undefined
}

/**
 * Keeps what a vendor must get back although the client's wire format has no place for it (Gemini's thought signatures), by tool-call
 * id. Bounded by its owner, who also keeps tenants apart; a lookup may fail at any time.
 */
export interface SignatureStore {
  get(callId: string): string | undefined
  put(callId: string, signature: string): void
}

/** What the hub lane may use beside its input. */
export interface HubAids {
  signatures?: SignatureStore | undefined
  /** Distinguishes the tool calls of this reply from all others, where the vendor gives neither call ids nor a reply id. */
  replyId?: string | undefined
  /** What the operator forces on the target, by its name on the wire. It goes over what is encoded, which has to go together with it. */
  forced?: Readonly<Record<string, unknown>> | undefined
}

/** What bounds the cost of a request, as it is sent. */
export interface CostBounds {
  /** Cap on the output tokens of each answer; undefined = none. */
  maxTokens: number | undefined
  /** Answers asked for. */
  n: number
  serviceTier: string | undefined
  /** Tools are offered: vendors add a prompt of their own. */
  tools: boolean
  /** Output beyond the answer may be billed, up to the length of a prediction. */
  predicts: boolean
  /** Something is asked for that no number of tokens bounds: the vendor's own tools, state that lies there, a model of its choice. */
  unbounded: boolean
}

/** An upstream request of the hub lane: what to send, what it could not say, and headers that it depends on (lower case). */
export interface Encoded {
  wire: unknown
  losses: Loss[]
  headers?: Readonly<Record<string, string>>
}

/** Decodes one upstream stream of the hub lane. Fed whole frames in order. Nothing follows an `end` or `fault` event. */
export interface StreamDecoder {
  take(frame: { event?: string | undefined; data?: string | undefined }): ChatEvent[]
  /**
   * The upstream closed the stream, or we did: the events of its ending where that is the only sign of it, else the usage so far (where
   * the vendor tells it before the end) and the fault of a cut.
   */
  end(): ChatEvent[]
}

/** A whole reply that could be read. With a `fault` it is no answer, but tells what was used even so. */
export interface JudgedReply {
  readonly body: Buffer
  readonly facts: ReplyFacts
  readonly fault?: UpstreamFault
}

/** Client and upstream speak this dialect: bytes are forwarded. */
export interface IdentityLane {
  /** The client's bytes with the named edits. */
  patch(inspected: Inspected, edits: RequestEdits): Buffer
  /** Watches a streamed reply. */
  tap(edits: ReplyEdits): StreamTap
  /** Judges a whole 2xx JSON reply. Returns the (possibly edited) body and its facts, or the fault it hides. */
  whole(body: Buffer, edits: ReplyEdits): JudgedReply | UpstreamFault
}

/** The client speaks another dialect: requests and replies are translated through the hub. */
export interface HubLane {
  /** Hub to wire. Throws `Refusal` for content that the target cannot take. Never mutates the chat. */
  encode(chat: Chat, model: string, aids?: HubAids): Encoded
  /** A whole 2xx JSON reply as events; one that hides a failure ends in a `fault` event. Never throws. */
  events(wire: unknown, aids?: HubAids): ChatEvent[]
  decodeStream(aids?: HubAids): StreamDecoder
}

/** How we speak to upstreams. A dialect has the lanes that it can serve; `patch` stands for the whole identity lane, `encode` for the hub. */
export interface Outbound extends Partial<IdentityLane>, Partial<HubLane> {
  /** Path under the provider's base URL, with the query that the call needs. */
  path(model: string, stream: boolean): string
  /** Reads what bounds the cost of a request from its body. */
  bounds(wire: unknown): CostBounds
  /** Classifies a reply whose status is not 2xx. */
  fault(status: number, headers: Readonly<Record<string, string | string[] | undefined>>, body: Buffer): UpstreamFault
}

/** Narrows to a dialect whose clients' bytes can be forwarded as they are. */
export const hasIdentityLane = (outbound: Outbound): outbound is Outbound & IdentityLane => outbound.patch !== undefined

/** Narrows to a dialect that requests of other dialects can be translated to. */
export const hasHubLane = (outbound: Outbound): outbound is Outbound & HubLane => outbound.encode !== undefined

export interface Dialect {
  readonly name: DialectName
  readonly inbound?: Inbound
  readonly outbound?: Outbound
}
