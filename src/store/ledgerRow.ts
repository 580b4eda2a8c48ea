// What the ledger keeps of a request, of each upstream call, and of each call that is about to be made.

/** Token counts in disjoint classes; see the hub's `Usage`. Whole numbers. */
export interface Tokens {
  input: number
  cacheRead: number
  cacheWrite5m: number
  cacheWrite1h: number
  output: number
  reasoning: number
  audioIn: number
  audioOut: number
}

/**
 * A call that is about to go to an upstream. Durable before the first byte leaves. Absent names are undefined or ''.
 * The estimate is what is booked when this process dies before the call is settled.
 */
export interface Intent {
  /** `attemptId(request, n)`. */
  id: number
  route?: string | undefined
  key?: string | undefined
  team?: string | undefined
  /** From `hashUser`. */
  user?: string | undefined
  /** The client's wire format. */
  dialect: string
  stream: boolean
  /** Version of the configuration. */
  config?: number | undefined
  target: string
  provider: string
  /** The model asked of the provider. */
  model: string
  lane: string
  reason: AttemptReason
  estimate?: Estimate | undefined
}

export interface Estimate {
  inputTokens: number
  outputTokens: number
  /** Integer nano-USD; null when the price is unknown. */
  cost: number | null
  priceSource?: string | undefined
  priceVersion?: string | undefined
}

/** Why an attempt was made. */
export type AttemptReason = 'first' | 'retry' | 'fallback' | 'hedge' | 'shadow' | 'probe'

/** How a request ended; `interrupted` is written for requests of a run that died. */
export type LedgerOutcome = 'ok' | 'partial' | 'failed' | 'refused' | 'client_disconnected' | 'interrupted'

/** One client request, settled. Times in milliseconds, with fractions. Tokens and cost are summed from its attempts. */
export interface RequestRow {
  /** From `nextRequestId()`: holds the time of arrival. */
  id: number
  route?: string | undefined
  key?: string | undefined
  team?: string | undefined
  user?: string | undefined
  /** Labels that the client or the key gave, a small flat object. */
  tags?: Readonly<Record<string, string>> | undefined
  dialect: string
  stream: boolean
  config?: number | undefined
  /** Sent to the client; 0 when nothing could be sent. */
  status: number
  outcome: LedgerOutcome
  /** Refusal code or fault kind. */
  error?: string | undefined
  latencyMs?: number | undefined
  firstTokenMs?: number | undefined
  overheadMs?: number | undefined
  rollout?: RolloutFacts | undefined
  cache?: CacheFacts | undefined
  trace?: TraceRow | undefined
}

/** What the response cache did for a request. */
export interface CacheFacts {
  status: 'hit' | 'stale' | 'coalesced' | 'refresh'
  /** Whole seconds. */
  age?: number | undefined
  /** Integer nano-USD; null when it is not known. */
  saved: number | null
}

/** What a trace has that its request has not. */
export interface TraceRow {
  /** 32 hex digits. */
  trace: string
  /** The client's span, 16 hex digits. */
  parent: string | undefined
  /** False: kept because something went wrong or took long. */
  sampled: boolean
  /** From the arrival until the body was read, and until it was decided whom to ask. */
  bodyMs: number | undefined
  planMs: number | undefined
}

/** What is needed to replay the decisions of a rollout offline. */
export interface RolloutFacts {
  /** What it has in common with many others: from `caseText` of src/rollouts/rolloutCase.ts. */
  case: string
  unit?: string | undefined
  arrivalSeq?: number | undefined
  /** What it adds to the evidence; absent where it adds nothing. */
  epoch?: number | undefined
  /** Parts per million by number of a guard, where a bad event was judged by another share than the arm's. */
  shares?: Readonly<Record<number, number>> | undefined
  /** Request id that this one mirrors. */
  shadowOf?: number | undefined
}

/** One upstream call, ended. */
export interface AttemptRow {
  id: number
  target: string
  provider: string
  model: string
  /** The model that the provider says it used. */
  served?: string | undefined
  lane: string
  reason: AttemptReason
  /** Status of the upstream; 0 when there was none. */
  status?: number | undefined
  /** Kind of fault; absent when it went well. */
  fault?: string | undefined
  finish?: string | undefined
  /** From the request's arrival to the dispatch. */
  startedMs?: number | undefined
  /** From the dispatch to the end, and to the first generated content. */
  latencyMs?: number | undefined
  firstTokenMs?: number | undefined
  tokens: Tokens
  /** The tokens are ours, not the provider's. */
  estimated: boolean
  priceSource?: string | undefined
  priceVersion?: string | undefined
  /** Integer nano-USD, below 2^53 (9 million USD). Null when the price is unknown; 0 only when it is known to be nothing. */
  cost: number | null
  /** What the target could not express. */
  losses?: readonly { param: string; reason: string; detail?: string | undefined }[] | undefined
}

export const noTokens = (): Tokens => ({
  input: 0,
  cacheRead: 0,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  output: 0,
  reasoning: 0,
  audioIn: 0,
  audioOut: 0,
})

/** Why the ledger could not take a row. `locked` and `full` pass by themselves; settled rows are kept and written then. */
export type LedgerFailure = 'locked' | 'full' | 'io' | 'overloaded' | 'duplicate' | 'invalid' | 'closed'

/** A row that the ledger could not take; `code` says why. */
export class LedgerError extends Error {
  readonly code: LedgerFailure
  /** True for a settled row that is kept in memory and will be written when the trouble is over. */
  readonly kept: boolean

  constructor(code: LedgerFailure, message: string, kept = false, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LedgerError'
    this.code = code
    this.kept = kept
  }
}

/** Throws `LedgerError` `invalid` for numbers that would make a sum inexact or a row unreadable. */
export function checkRows(request: RequestRow, attempts: readonly AttemptRow[]): void {
  checkInteger('id', request.id)
  if (request.id % 64 !== 0) throw invalid(`${request.id} is not the id of a request`)
  checkInteger('status', request.status)
  checkWhole('config', request.config)
  if (request.cache) {
    checkInteger('saved', request.cache.saved ?? 0)
    checkWhole('age', request.cache.age)
  }
  if (request.rollout) checkFacts(request.rollout)
  let cost = 0
  for (const attempt of attempts) {
    if (attempt.id - request.id < 1 || attempt.id - request.id > 63) {
      throw invalid(`attempt ${attempt.id} does not belong to request ${request.id}`)
    }
    const { tokens } = attempt
    checkWhole('status', attempt.status)
    checkInteger('input', tokens.input)
    checkInteger('cacheRead', tokens.cacheRead)
    checkInteger('cacheWrite5m', tokens.cacheWrite5m)
    checkInteger('cacheWrite1h', tokens.cacheWrite1h)
    checkInteger('output', tokens.output)
    checkInteger('reasoning', tokens.reasoning)
    checkInteger('audioIn', tokens.audioIn)
    checkInteger('audioOut', tokens.audioOut)
    if (attempt.cost !== null) checkInteger('cost', attempt.cost)
    cost += attempt.cost ?? 0
  }
  checkInteger('cost of all attempts', cost)
}

/** As `checkRows`, for an intent. */
export function checkIntent(intent: Intent): void {
  checkInteger('id', intent.id)
  if (intent.id % 64 === 0) throw invalid(`${intent.id} is not the id of an attempt`)
  checkWhole('config', intent.config)
  const { estimate } = intent
  if (!estimate) return
  checkInteger('inputTokens', estimate.inputTokens)
  checkInteger('outputTokens', estimate.outputTokens)
  if (estimate.cost !== null) checkInteger('cost', estimate.cost)
}

function checkFacts({ arrivalSeq, epoch, shadowOf }: RolloutFacts): void {
  checkWhole('arrivalSeq', arrivalSeq)
  checkWhole('epoch', epoch)
  checkWhole('shadowOf', shadowOf)
}

/** SQLite would refuse it: too late for a row that the journal holds already. */
function checkWhole(name: string, value: number | undefined): void {
  if (value !== undefined && !Number.isSafeInteger(value)) throw invalid(`${name} is ${value}, not a whole number`)
}

function checkInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw invalid(`${name} is ${value}, not a whole number from 0 to 2^53`)
}

function invalid(what: string): LedgerError {
  return new LedgerError('invalid', `The ledger refused a row: ${what}.`)
}
