// One recorded call and the sums over all of them: what the simulator tells about its traffic.
import type { FaultKind } from './script.ts'

export type Outcome = 'running' | 'completed' | 'aborted' | 'faulted'

/** One request. Live: the numbers grow while the reply is delivered; after the outcome nothing changes any more. */
export interface Call {
  /** 1 for the first since start or reset. */
  readonly n: number
  /** The id in the reply, without the vendor's prefix; empty for errors and lists. */
  readonly id: string
  readonly wire: string
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly model: string
  readonly stream: boolean
  /** 0 until headers are sent, and for ever if none are. */
  status: number
  /** `aborted`: the client went first. `faulted`: a scripted fault was carried out. */
  outcome: Outcome
  /** The fault that was chosen for this call, whether or not it came to it. */
  readonly fault: FaultKind | undefined
  /** What a vendor would bill, as far as generated. Inclusive: cached are part of prompt, reasoning of completion. */
  promptTokens: number
  completionTokens: number
  cachedTokens: number
  reasoningTokens: number
  /** Events of a stream, or 1 for a JSON body. */
  chunks: number
  /** Body bytes handed to the socket. */
  bytes: number
  /** Lower case, in the order they came. */
  readonly headerNames: readonly string[]
  /** The headers that carry no credentials, values cut at 256 characters. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since 1970. */
  readonly startedAt: number
  endedAt: number | undefined
  /** The request body as it came, with `keepBodies` and as long as there is room. */
  body?: Buffer
}

export interface Totals {
  requests: number
  streams: number
  running: number
  completed: number
  aborted: number
  faulted: number
  promptTokens: number
  completionTokens: number
  cachedTokens: number
  reasoningTokens: number
  chunks: number
  bytes: number
  /** Requests that followed a scripted redirect. */
  redirectsFollowed: number
  byStatus: Record<string, number>
  /** Up to 1000 models by name, the rest under `(others)`. */
  byModel: Record<string, { requests: number; promptTokens: number; completionTokens: number }>
}

/** Headers whose value nobody may read back. */
const SECRET = /(^|-)(authorization|cookie|api-key|token|secret|password)$/

/** Names and harmless values out of Node's flat list. */
export function readHeaders(raw: readonly string[]): Pick<Call, 'headerNames' | 'headers'> {
  const headerNames: string[] = []
  const headers: Record<string, string> = {}
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase()
    headerNames.push(name)
    if (!SECRET.test(name)) headers[name] = (raw[i + 1] as string).slice(0, 256)
  }
  return { headerNames, headers }
}
