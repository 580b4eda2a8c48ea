// What an attempt used and cost: the provider's own count where there is one, else an estimate that is marked as one.
import type { BilledPass, Usage } from '../dialects/chat.ts'
import { noUsage } from '../dialects/chat.ts'
import type { FaultKind } from '../dialects/errors.ts'
import type { PriceBook, Priced, UnknownReason } from '../pricing/book.ts'
import type { Estimate } from '../store/ledgerRow.ts'
import type { TokenCounter } from '../telemetry/tokens/counter.ts'
import type { Attempt, Call } from './call.ts'

/** Integer nano-USD; null when the price is unknown, which is never the same as 0. */
export interface Bill {
  readonly usage: Usage
  readonly nanoUsd: number | null
  readonly priceSource: string | undefined
  readonly priceVersion: string | undefined
  /** Why the price is unknown, and of which model, where it ran beside the one that answered. */
  readonly unknown?: UnknownReason | undefined
  readonly unknownModel?: string | undefined
}

/** How many bytes stand for a token and what a token costs, as of one snapshot. */
export interface Rates {
  readonly prices: PriceBook
  readonly tokens: Pick<TokenCounter, 'estimate' | 'learn'>
}

/** Faults after which a vendor has generated nothing and charges nothing. After the others assume that it worked for us. */
const free: ReadonlySet<FaultKind> = new Set([
  'dial_failed',
  'no_socket',
  'connect_timeout',
  'tls_failed',
  'redirect',
  'overloaded',
  'server_error',
  'rate_limited',
  'quota_exhausted',
  'auth_failed',
  'permission_denied',
  'model_not_found',
  'upstream_request_timeout',
  'conflict',
  'context_window',
  'content_policy',
  'bad_request',
  'loop',
])

/**
 * Faults that end a stream before the vendor has told all. What it says of the answer itself (`in_band`, `empty`) comes with its last word of
 * usage; an error that it breaks off with, overloaded say, does not.
 */
const broken: ReadonlySet<FaultKind> = new Set([
  ...free,
  'reset',
  'cut',
  'garbage',
  'too_large',
  'first_token_timeout',
  'idle_timeout',
  'total_timeout',
  'withdrawn',
])

/** The bill of an ended attempt. The provider's usage always wins over an estimate; the two are never summed. */
export function billOf(call: Call, attempt: Attempt, rates: Rates): Bill {
  const { facts } = attempt
  const ask = call.inspected!.ask
  // Nothing was asked of anybody, or the vendor worked for nobody: that costs nothing at any price, known or not.
  if (costsNothing(attempt)) return nothing
  const told = facts?.usage && toldInFull(call, attempt, facts.usage, rates)
  const usage = told ?? estimate(call, attempt, rates)
  const passes = told && told === facts.usage ? facts.passes : undefined
  // Only what was told of a whole reply teaches anything, and only where nothing but the answer was generated.
  if (
    told &&
    told === facts.usage &&
    !told.estimated &&
    !passes &&
    ask.media.images + ask.media.audio + ask.media.files === 0
  ) {
    rates.tokens.learn(attempt.model, promptBytes(call, attempt), promptTokens(usage), 'prompt')
    rates.tokens.learn(attempt.model, facts.contentBytes, usage.output + usage.reasoning, 'answer')
  }
  const priced: Sum = passes ? sumOf(passes, call, attempt, rates.prices) : priceOf(usage, call, attempt, rates.prices)
  return {
    usage,
    nanoUsd: priced.nanoUsd,
    priceSource: priced.priceSource ?? undefined,
    priceVersion: priced.priceVersion ?? undefined,
    unknown: priced.unknown,
    unknownModel: priced.unknownModel,
  }
}

function priceOf(
  usage: Usage,
  call: Call,
  { facts, target, model: asked }: Attempt,
  prices: PriceBook,
  isFurther = false,
): Priced {
  const options = { serviceTier: facts?.serviceTier, isFurther }
  const { name } = target.provider
  const served = facts?.model ?? asked
  // The served name is the exact one (an alias, a deployment), unless the operator has set a price for the asked one: budgets hold by it,
  // too. One of the client's own list is no alias. Where nothing is known of the better one, the other may be known.
  const isExact = call.inspected!.ask.models?.includes(served) || prices.told(name, asked) <= prices.told(name, served)
  const first = prices.price(name, isExact ? served : asked, usage, options)
  if (first.nanoUsd !== null || served === asked) return first
  const second = prices.price(name, isExact ? asked : served, usage, options)
  return second.nanoUsd === null && first.priceSource !== null ? first : second
}

type Sum = Priced & Pick<Bill, 'unknownModel'>

/** Each pass at the price of its own model, by the list of the first; null where one has no known price. */
function sumOf(passes: readonly BilledPass[], call: Call, attempt: Attempt, prices: PriceBook): Sum {
  const { facts, target } = attempt
  let sum: Priced | undefined
  for (const { model, usage } of passes) {
    const isFurther = sum !== undefined
    const own = model === undefined || model === facts?.model
    const { name } = target.provider
    const priced = own
      ? priceOf(usage, call, attempt, prices, isFurther)
      : prices.price(name, model, usage, { serviceTier: facts?.serviceTier, isFurther })
    const { nanoUsd, unknown } = priced
    if (nanoUsd === null)
      return { ...(sum ?? priced), nanoUsd, unknown: unknown!, unknownModel: own ? undefined : model }
    sum = sum ? { ...sum, nanoUsd: sum.nanoUsd! + nanoUsd } : priced
  }
  return sum!
}

const nothing: Bill = { usage: noUsage(), nanoUsd: 0, priceSource: undefined, priceVersion: undefined }

/** Whether an ended attempt is certain to be charged nothing. */
export function costsNothing({ sent, facts, fault }: Attempt): boolean {
  if (facts?.usage) return false
  return !sent || ((facts?.contentBytes ?? 0) === 0 && fault !== undefined && free.has(fault.kind))
}

/**
 * The provider's usage, undefined where it holds nothing, and with our estimate of a prompt that it leaves out; where the reply broke off and
 * it tells of far less output than there was, with our estimate of that. Anthropic counts one token when the message begins and tells the rest
 * at its end, which a client that leaves never lets come, and of several answers the first may have ended alone. Whatever is told of a stream
 * that broke off, the vendor may charge more.
 */
function toldInFull(call: Call, attempt: Attempt, told: Usage, rates: Rates): Usage | undefined {
  const { facts, fault } = attempt
  let usage = told
  // Some servers send zeros where they have not counted; no answer comes of no tokens, and no prompt is empty.
  if (facts!.contentBytes > 0 && promptTokens(told) === 0) {
    if (outputTokens(told) === 0) return undefined
    usage = { ...told, input: promptEstimate(call, attempt, rates), estimated: true }
  }
  if (facts!.finish !== undefined && !told.estimated) return usage
  const output = answerEstimate(attempt, rates.tokens)
  if (outputTokens(usage) * 2 < output) return { ...usage, output, reasoning: 0, audioOut: 0, estimated: true }
  const brokeOff = call.gone || (fault !== undefined && broken.has(fault.kind))
  return brokeOff && call.inspected!.ask.stream ? { ...usage, estimated: true } : usage
}

function estimate(call: Call, attempt: Attempt, rates: Rates): Usage {
  const usage = { ...noUsage(), estimated: true }
  usage.input = promptEstimate(call, attempt, rates)
  usage.output = answerEstimate(attempt, rates.tokens)
  return usage
}

/** Bytes of text for a token: fewer in most texts. */
const SHOWN = 4
/** A token of the longest words and of white space has more; no text has this many for each, after the first few. */
const LONGEST = 8
const FEW = 6

/**
 * By what this model's answers have had for each byte that was shown, thoughts included. They are within the cap: that it was passed over is only
 * believed of a text that no such number of tokens holds, and then as far as it was seen.
 */
function answerEstimate({ model, facts, held }: Attempt, tokens: Rates['tokens']): number {
  const shown = facts?.contentBytes ?? 0
  if (shown === 0) return 0
  const all = tokens.estimate(model, shown, 'answer')
  if (!held || held.outputTokens === 0) return all
  const cap = held.outputTokens
  return Math.min(all, shown > (cap + FEW) * LONGEST ? Math.max(cap, Math.ceil(shown / SHOWN)) : cap)
}

/** What one image is taken for: OpenAI's and Anthropic's models count 765 to 1,600 for a photograph, however many bytes it has. */
const IMAGE = 1_500
/** Bytes of base64 for a token: a page of a PDF is 1,500 to 3,000, a second of compressed audio 10 to 32. */
const FILE_BYTES = 32
const AUDIO_BYTES = 500

function promptEstimate(call: Call, attempt: Attempt, { prices, tokens }: Rates): number {
  const text = tokens.estimate(attempt.model, promptBytes(call, attempt), 'prompt')
  const { images, audio, files, bytes = 0 } = call.inspected!.ask.media
  if (images + audio + files === 0) return text
  const apart = files > 0 ? bytes / FILE_BYTES : audio > 0 ? bytes / AUDIO_BYTES : 0
  const { contextWindow = Number.POSITIVE_INFINITY } = prices.info(attempt.target.provider.name, attempt.model)
  return Math.min(text + images * IMAGE + Math.ceil(apart), Math.max(text, contextWindow))
}

/** The text of the client's body, and what the target puts before it. Media in base64 are text to nobody. */
function promptBytes(call: Call, { target }: Attempt): number {
  const { bytes, media } = call.inspected!.ask
  const text = bytes - (media.bytes ?? 0)
  return target.systemPrefix === undefined ? text : text + Buffer.byteLength(target.systemPrefix)
}

/** Output tokens booked for a request whose process died: nobody knows how far it came. */
const LOST_OUTPUT = 256

/** What an attempt is booked at if this process dies before it ends. */
export function worthOf(call: Call, attempt: Attempt, rates: Rates): Estimate {
  const { ask } = call.inspected!
  const usage = noUsage()
  usage.input = promptEstimate(call, attempt, rates)
  usage.output = Math.min(ask.maxTokens ?? LOST_OUTPUT, LOST_OUTPUT)
  const priced = rates.prices.price(attempt.target.provider.name, attempt.model, usage)
  const source = { priceSource: priced.priceSource ?? undefined, priceVersion: priced.priceVersion ?? undefined }
  // A hard budget has to hold although this process dies: then all counts that the vendor may have charged.
  if (attempt.held?.reservation.hard && !attempt.held.reservation.unbounded) {
    const { promptTokens: inputTokens, outputTokens, reservation } = attempt.held
    return { inputTokens, outputTokens, cost: reservation.amount, ...source }
  }
  return {
    inputTokens: usage.input,
    outputTokens: usage.output,
    cost: priced.nanoUsd,
    ...source,
  }
}

/** All tokens of the prompt: cached ones and audio included. */
export function promptTokens(usage: Usage): number {
  return usage.input + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h + usage.audioIn
}

/** All tokens of the output: reasoning and audio included. */
export function outputTokens(usage: Usage): number {
  return usage.output + usage.reasoning + usage.audioOut
}
