// Token usage of the anthropic-messages wire: counts that exclude cached tokens to disjoint classes.
import type { Usage } from '../chat.ts'
import { asObject, countOf, type Json, partition, readCount } from '../usage.ts'

/**
 * Wire to hub: the `usage` of a message, a `message_start` or a (merged) `message_delta`; undefined when it holds no count at all.
 *
 * `input_tokens` excludes what was read from and written to the cache. `cache_creation` splits the writes by lifetime; without it they
 * are 5-minute writes, the default. `output_tokens` includes `output_tokens_details.thinking_tokens`. `iterations` (compaction, advisor)
 * are not read here: see `readSideUsage`, and `readBilledUsage`.
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
  return {
    input: input ?? 0,
    cacheRead: countOf(usage, 'cache_read_input_tokens'),
    cacheWrite5m: written - oneHour,
    cacheWrite1h: oneHour,
    output,
    reasoning,
    audioIn: 0,
    audioOut: 0,
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

/**
 * Lays a later raw `usage` of the same stream over an earlier one, field by field. A `message_delta` is cumulative but may leave out
 * what `message_start` said (some send `output_tokens` alone, some servers a 0 for the prompt, and no prompt is empty); a null is not a count.
 */
export function mergeRawUsage(earlier: unknown, later: unknown): unknown {
  const before = asObject(earlier)
  const after = asObject(later)
  if (!before) return after
  if (!after) return before
  const merged: Record<string, unknown> = { ...before }
  const isAsked = countOf(after, 'input_tokens') + countOf(after, 'cache_read_input_tokens') + writtenOf(after) > 0
  for (const [name, value] of Object.entries(after)) {
    if (value === null || value === undefined) continue
    if (isAsked || !asked.has(name) || before[name] === undefined) merged[name] = value
  }
  return merged
}

/**
 * What a message cost beside its own counts: Anthropic leaves compaction and advisor passes out of the top-level numbers and lists
 * them in `iterations`, each billed on top, an advisor at the price of its own model.
 * Returns one entry per such pass; `model` is undefined where it is the message's own.
 */
export function readSideUsage(raw: unknown): { kind: string; model: string | undefined; usage: Usage }[] {
  const iterations = asObject(raw)?.iterations
  if (!Array.isArray(iterations)) return []
  const passes: { kind: string; model: string | undefined; usage: Usage }[] = []
  for (const iteration of iterations) {
    const pass = asObject(iteration)
    const usage = readUsage(pass)
    if (!pass || !usage || typeof pass.type !== 'string' || pass.type === 'message') continue
    passes.push({ kind: pass.type, model: typeof pass.model === 'string' ? pass.model : undefined, usage })
  }
  return passes
}

/**
 * All that a message is billed for at the price of its own model: its counts, and the passes in which the vendor shortened the conversation
 * before it answered; undefined where there were none. An advisor's are at the price of another model and not in it.
 */
export function readBilledUsage(raw: unknown): Usage | undefined {
  const passes = readSideUsage(raw).filter(({ kind }) => kind === 'compaction')
  const sum = passes.length > 0 ? readUsage(raw) : undefined
  if (!sum) return undefined
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
