// Token usage of the anthropic-messages wire: counts that exclude cached tokens to disjoint classes.
import { type Billed, type BilledPass, noUsage, type Usage } from '../chat.ts'
import { asObject, countOf, type Json, partition, readCount } from '../usage.ts'

/**
 * Wire to hub: the `usage` of a message, a `message_start` or a (merged) `message_delta`; undefined when it holds no count at all.
 *
 * `input_tokens` excludes what was read from and written to the cache. `cache_creation` splits the writes by lifetime; without it they
 * are 5-minute writes, the default. `output_tokens` includes `output_tokens_details.thinking_tokens`. `iterations` are not read
 * here: see `readBilled`.
 */
export function readUsage(raw: unknown): Usage | undefined {
  const usage = asObject(raw)
  if (!usage) return undefined
  const input = readCount(usage.input_tokens)
  const answered = readCount(usage.output_tokens)
  if (input === undefined && answered === undefined) return undefined

  const oneHour = countOf(asObject(usage.cache_creation), 'ephemeral_1h_input_tokens')
  const written = writtenOf(usage)
  const thought = countOf(asObject(usage.output_tokens_details), 'thinking_tokens')
  const [reasoning, output] = partition(answered ?? 0, thought) as [number, number]
  const webSearches = countOf(asObject(usage.server_tool_use), 'web_search_requests')
  return {
    input: input ?? 0,
    cacheRead: countOf(usage, 'cache_read_input_tokens'),
    cacheWrite5m: written - oneHour,
    cacheWrite1h: oneHour,
    output,
    reasoning,
    audioIn: 0,
    audioOut: 0,
    ...(webSearches > 0 && { webSearches }),
  }
}

/** What was written to the cache, however long it lives. */
function writtenOf(usage: Json): number {
  const lifetimes = asObject(usage.cache_creation)
  const both = countOf(lifetimes, 'ephemeral_5m_input_tokens') + countOf(lifetimes, 'ephemeral_1h_input_tokens')
  return Math.max(countOf(usage, 'cache_creation_input_tokens'), both)
}

/** Fields that count the prompt. */
const asked: ReadonlySet<string> = new Set([
  'input_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
  'cache_creation',
])

/** All fields that are read here. Any others are not kept: a stream may bring new ones in each event, without end. */
const known: ReadonlySet<string> = new Set([
  ...asked,
  'output_tokens',
  'output_tokens_details',
  'server_tool_use',
  'iterations',
  'service_tier',
  'inference_geo',
  'speed',
])

/**
 * Lays a later raw `usage` of the same stream over an earlier one, field by field. A `message_delta` is cumulative but may leave out
 * what `message_start` said (some send `output_tokens` alone, some servers a 0 for the prompt, and no prompt is empty); a null is not a
 * count, nor is a -1. Of fields that nobody reads nothing is kept.
 */
export function mergeRawUsage(earlier: unknown, later: unknown): unknown {
  const before = asObject(earlier)
  const after = asObject(later)
  if (!after) return before
  const merged: Record<string, unknown> = { ...before }
  const isAsked = countOf(after, 'input_tokens') + countOf(after, 'cache_read_input_tokens') + writtenOf(after) > 0
  for (const name of known) {
    const value = after[name]
    if (value === null || value === undefined || isNoCount(value)) continue
    if (isAsked || !asked.has(name) || merged[name] === undefined) merged[name] = value
  }
  return merged
}

const isNoCount = (value: unknown): boolean => typeof value === 'number' && readCount(value) === undefined

/** Where the reply was made and how fast, in the words that say that it was as ever. Models before Opus 4.6 tell of no place. */
const usual: ReadonlySet<unknown> = new Set(['global', 'not_available', 'standard'])

/** The tier of a usage and what is charged on top of it, joined by `+`: `standard+us+fast`. Undefined where nothing is. */
export function readTariff(raw: unknown): string | undefined {
  const { service_tier: tier, inference_geo: place, speed } = asObject(raw) ?? {}
  const extra = [place, speed].filter((word) => typeof word === 'string' && !usual.has(word))
  return extra.length === 0 ? undefined : [tier ?? 'standard', ...extra].join('+')
}

/** Kinds of passes that the counts of a message may hold; those of all others stand beside them. */
const within: ReadonlySet<unknown> = new Set(['message', 'fallback_message'])

/** More passes than any message takes: those of a list without end would be summed up again with each event that counts. */
const MOST_PASSES = 256

/**
 * All that a message is billed for, where `iterations` tells of more than one pass: each is charged by itself (its own prompt chooses the
 * price of a long one), an advisor's and a fallback's at the price of their own model. The counts of a message hold only its own passes,
 * summed up, and of those before a fallback none; where the list tells less than they do, they count.
 */
export function readBilled(raw: unknown): Billed | undefined {
  const iterations = asObject(raw)?.iterations
  const own = readUsage(raw)
  if (!own || !Array.isArray(iterations) || iterations.length > MOST_PASSES) return undefined
  const { inside, beside } = passesOf(iterations)
  if (inside.length < 2 && beside.length === 0) return undefined
  const isListed = tokensOf(sumOf(inside)) >= tokensOf(own)
  const passes = [...(isListed ? inside : [{ usage: own }]), ...beside]
  const sum = sumOf(passes)
  // Of passes nobody tells how much of the output was thought, nor which of them searched.
  const [reasoning, output] = partition(sum.output + sum.reasoning, own.reasoning) as [number, number]
  if (own.webSearches && isListed) passes.push({ usage: { ...noUsage(), webSearches: own.webSearches } })
  return { usage: { ...sum, output, reasoning, ...(own.webSearches && { webSearches: own.webSearches }) }, passes }
}

interface Passes {
  readonly inside: readonly BilledPass[]
  readonly beside: readonly BilledPass[]
}

/** Lists that were read: a stream counts with each of its events, and few of them bring another one. */
const listed = new WeakMap<readonly unknown[], Passes>()

function passesOf(iterations: readonly unknown[]): Passes {
  const before = listed.get(iterations)
  if (before) return before
  const inside: BilledPass[] = []
  const beside: BilledPass[] = []
  for (const iteration of iterations) {
    const pass = asObject(iteration)
    const usage = readUsage(pass)
    if (!pass || !usage) continue
    const list = within.has(pass.type) ? inside : beside
    list.push(typeof pass.model === 'string' ? { model: pass.model, usage } : { usage })
  }
  listed.set(iterations, { inside, beside })
  return { inside, beside }
}

function sumOf(passes: readonly BilledPass[]): Usage {
  const sum = noUsage()
  for (const { usage } of passes) {
    sum.input += usage.input
    sum.cacheRead += usage.cacheRead
    sum.cacheWrite5m += usage.cacheWrite5m
    sum.cacheWrite1h += usage.cacheWrite1h
    sum.output += usage.output
    sum.reasoning += usage.reasoning
  }
  return sum
}

const tokensOf = (usage: Usage): number =>
  usage.input + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h + usage.output + usage.reasoning
