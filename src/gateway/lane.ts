// How a request reaches a target and its reply comes back: as bytes where both sides speak one dialect, else through the hub.
import type { Loss } from '../dialects/chat.ts'
import type { CostBounds, JudgedReply, ReplyFacts } from '../dialects/dialect.ts'
import type { UpstreamFault } from '../dialects/errors.ts'

/** One streamed reply on its way through a lane. */
export interface LaneStream {
  /** Feeds upstream bytes. */
  push(chunk: Buffer): void
  /** The upstream closed the stream; afterwards `fault` says whether the answer was complete. */
  end(): void
  /** Bytes that may go to the client once the reply is committed. Whoever sends them empties the list. */
  readonly ready: Buffer[]
  /** The ending, from the first finish frame on: released only when the request is settled. */
  readonly held: Buffer[]
  /** Something was generated: the commit point. */
  readonly good: boolean
  /** Grows whenever generated content comes: keep-alive comments do not count. */
  readonly progress: number
  /** Bytes of an event that has come in part: an image is megabytes in one. */
  readonly unfinished: number
  /** The finish frame has come. */
  readonly finishing: boolean
  /** Nothing more needs to come. */
  readonly complete: boolean
  readonly fault: UpstreamFault | undefined
  /** The vendor's own frame that reports the fault, where the client can read it. */
  readonly errorFrame?: Buffer | undefined
  readonly facts: ReplyFacts
}

export interface Lane {
  readonly name: 'identity' | 'hub'
  /** Path under the provider's base URL, and the body. */
  readonly path: string
  readonly body: Buffer
  /** Headers that the body depends on. */
  readonly headers: Readonly<Record<string, string>>
  /** What the target could not be told. */
  readonly losses: readonly Loss[]
  /** What bounds the cost of the request as it is sent. */
  bounds(): CostBounds
  stream(): LaneStream
  /** Judges a whole 2xx JSON reply. */
  whole(body: Buffer): JudgedReply | UpstreamFault
  /** Turns a whole 2xx JSON reply into the text of a stream, for a client that asked for one. */
  restream(body: Buffer): JudgedReply | UpstreamFault
}
