// What a wire is: one vendor's HTTP surface, as far as the simulator needs it. A new vendor is one folder and one line in `index.ts`.
import type { Asked } from '../asked.ts'
import type { Reply, ReplyUsage } from '../reply.ts'
import type { Script } from '../script.ts'

/** What a path asks for. `model` is set where the vendor puts it in the path. */
export interface Match {
  kind: 'generate' | 'list' | 'model'
  model?: string | undefined
  /** Set where the path, and not the body, says whether to stream. */
  stream?: boolean
  /** Set where a stream was asked for without its framing: it then is one list. */
  asList?: boolean
}

/** What of a request a wire may look at beside method, path and body. */
export interface Asking {
  /** Without the question mark. */
  readonly query: string
  /** The headers that some wire's `headerNames` lists. */
  readonly headers: Readonly<Record<string, string | undefined>>
}

/** One event of a stream. `tokens`: how much generation it stands for; only events with tokens are paced. */
export interface Frame {
  event?: string
  data: string
  tokens: number
  /** Belongs to the ending (finish, usage, end marker): a reply that breaks off never has it. */
  final?: boolean
}

/** An error before it has a vendor's shape. */
export interface VendorError {
  status: number
  message?: string | undefined
  code?: string | undefined
  param?: string | undefined
  /** Seconds, or a date, for vendors that say it in the body, too. */
  retryAfter?: string | number | undefined
}

/** What a wire throws at a request that its vendor would turn down. */
export class WireRefusal extends Error {
  readonly status: number
  readonly code: string | undefined
  readonly param: string | undefined

  constructor(status: number, message: string, more: { code?: string; param?: string } = {}) {
    super(message)
    this.name = 'WireRefusal'
    this.status = status
    this.code = more.code
    this.param = more.param
  }
}

export interface Wire {
  readonly name: string
  /** Headers beside the credential that its answers depend on. Lower case. */
  readonly headerNames?: readonly string[]
  /** The refusal of a wrong credential; default 401. */
  readonly wrongKey?: VendorError
  /** Claims a request by its method and path (without the query). */
  match(method: string, path: string, asking: Asking): Match | undefined
  /** The credential among the request's headers, without its scheme. */
  keyOf(headers: NodeJS.Dict<string | string[]>): string | undefined
  /** Checks a body as strictly as the vendor does. Throws `WireRefusal`. */
  read(body: Buffer, match: Match, asking: Asking): Asked
  /** The JSON body of a whole reply; without usage where it is undefined. */
  whole(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): string
  /** The events of a streamed reply, in order, from the first to the end marker; without usage where it is undefined. */
  stream(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): Frame[]
  /** The JSON body of an error. */
  error(error: VendorError): string
  /** The event that reports an error inside a stream. */
  errorFrame(error: VendorError): Frame
  /** An event whose data is broken in the middle. */
  garbageFrame(reply: Reply): Frame
  /** The body of a model listing, or of one model. */
  models(names: readonly string[]): string
  model(name: string): string
}
