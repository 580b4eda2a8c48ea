// What a dialect is: how clients speak a wire format to us, and how we speak it to upstreams.
import type { Chat, ChatEvent, FinishReason, Loss, Usage } from './chat.ts'
import type { GatewayError, UpstreamFault } from './errors.ts'
import type { Fields } from './splice.ts'

export type DialectName = 'openai-chat' | 'anthropic-messages' | 'gemini' | 'openai-responses'

/** Facts of a request that routing, limits and accounting need. Numbers and names, never the text. */
export interface Ask {
  /** The model as the client wrote it: a route's name, or a provider's model. */
  model: string
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
  tools: number
  media: { images: number; audio: number; files: number }
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
  /** Parameters that the target forces, by wire name. */
  params?: Readonly<Record<string, unknown>> | undefined
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
export type Quirk = 'stop-after-tool-call'

/** What is learnt about a reply while it passes. */
export interface ReplyFacts {
  id: string | undefined
  /** The model that the provider says it used. */
  model: string | undefined
  finish: FinishReason | undefined
  /** The vendor's own word for it. */
  rawFinish: string | undefined
  usage: Usage | undefined
  /** Bytes of generated content seen (text, reasoning, tool input), for estimates when usage never comes. */
  contentBytes: number
}

/**
 * Watches one streamed reply on the identity lane. Fed whole frames in order; says per frame what to do with its bytes.
 * `wait`: nothing generated yet, pass it on once committed. `pass`: content. `edit`: send `edited` instead. `drop`: ours alone.
 * `finish`: the first frame of the ending, to be held with all that follows until the request is settled.
 * `fault`: the upstream failed inside its 200 stream; see `fault`.
 */
export type FrameVerdict = 'wait' | 'pass' | 'edit' | 'drop' | 'finish' | 'fault'

export interface StreamTap {
  /** Looks at the frame that lies from `start` to before `end`. */
  take(buffer: Buffer, start: number, end: number): FrameVerdict
  /** The replacement of the last frame when the verdict was `edit`, or `finish` with an edit; undefined otherwise. */
  readonly edited: Buffer | undefined
  readonly fault: UpstreamFault | undefined
  /** True once something generated was seen: the commit point. */
  readonly good: boolean
  /** The upstream closed the stream: returns the fault if it was not complete. */
  end(): UpstreamFault | undefined
  readonly facts: ReplyFacts
}

export interface Inbound {
  /** Parses a body once. Throws `Refusal` for bodies that are not a request of this dialect. */
  inspect(body: Buffer, limits: InspectLimits): Inspected
  /** Checks what the model wrote earlier and the client sends back: tool arguments that are not JSON. Throws `Refusal`. */
  checkHistory(wire: unknown): void
  /** Wire to hub. Throws `Refusal` that names what it cannot hold. */
  decode?(wire: unknown): Chat
  /** Hub events to one JSON reply. */
  reply?(events: ChatEvent[], ask: Ask): string
  /** Hub events to stream text; the closure holds the state of one stream. */
  stream?(ask: Ask): (event: ChatEvent) => string
  /** The body of an error reply. */
  error(error: GatewayError): string
  /** The frame that reports a failure after the commit point. No end-of-stream marker may follow it. */
  errorFrame(error: GatewayError): string
}

export interface Outbound {
  /** Path under the provider's base URL. */
  path(model: string, stream: boolean): string
  /** Identity lane: the client's bytes with the named edits. */
  patch(inspected: Inspected, edits: RequestEdits): Buffer
  /** Identity lane: watches a streamed reply. */
  tap(edits: ReplyEdits): StreamTap
  /** Identity lane: judges a whole 2xx JSON reply. Returns the (possibly edited) body and its facts, or the fault it hides. */
  whole(body: Buffer, edits: ReplyEdits): { body: Buffer; facts: ReplyFacts } | UpstreamFault
  /** Classifies a reply whose status is not 2xx. */
  fault(status: number, headers: Readonly<Record<string, string | string[] | undefined>>, body: Buffer): UpstreamFault
  /** Hub to wire. Never mutates the chat. */
  encode?(chat: Chat, model: string): { wire: unknown; losses: Loss[] }
  /** Hub lane: a whole JSON reply as events. */
  events?(wire: unknown): ChatEvent[]
  /** Hub lane: stream frames to events; the closure holds the state of one stream. */
  decodeStream?(): (frame: { event?: string | undefined; data: string }) => ChatEvent[]
}

export interface Dialect {
  readonly name: DialectName
  readonly inbound?: Inbound
  readonly outbound?: Outbound
}
