// Judges what the cache may do: whether a request's answer can be used again at all, and whether an answer is good enough to be kept.
import type { RouteCache } from '../config/cacheSettings.ts'
import type { Target } from '../config/snapshot.ts'
import type { ChatEvent } from '../dialects/chat.ts'
import type { Ask, Dialect, ReplyFacts } from '../dialects/dialect.ts'
import { parseJson } from '../dialects/exactJson.ts'
import { asObject } from '../dialects/field.ts'
import { framesOf, readFrame } from '../dialects/sse.ts'
import type { Framing } from '../state/cache/entry.ts'
import type { UnkeptReason } from '../state/cache/responseCache.ts'

/** Why the cache is not asked for a request. */
export type BypassReason = 'skip' | 'switched_off' | 'not_deterministic' | 'store'

/** Why a request's answer is of no use to others; undefined when it is of use. What the target forces wins over what was asked. */
export function unfitness(
  wire: unknown,
  { params }: Target,
  { deterministicOnly }: RouteCache,
): BypassReason | undefined {
  const asked = wire as Record<string, unknown>
  // Gemini is told of its parameters in a block of their own.
  const block = params && asObject(params.generationConfig)
  const told = (name: string): unknown =>
    params && name in params ? params[name] : block && name in block ? block[name] : asked[name]
  // The vendor keeps it under its id, which a second client would not get.
  if (told('store') === true) return 'store'
  if (!deterministicOnly || told('temperature') === 0) return undefined
  const seed = told('seed')
  return seed === undefined || seed === null ? 'not_deterministic' : undefined
}

export interface Answer {
  readonly framing: Framing
  readonly body: Buffer
  readonly facts: ReplyFacts
  readonly status: number
  /** Who gave it. */
  readonly target: Target
}

/** Why an answer may not be kept; undefined when it may. */
export function unkept(
  { framing, body, facts, status, target }: Answer,
  ask: Ask,
  dialect: Dialect,
  settings: RouteCache,
): UnkeptReason | undefined {
  if (status !== 200) return 'status'
  const bad = unkeptFinish(facts.finish, settings)
  if (bad) return bad
  if (facts.finish === 'stop' && !isOver(facts.rawFinish)) return 'unfinished'
  if (body.length > settings.maxEntryBytes) return 'too_large'
  // The facts tell the last finish alone, and some servers say "stop" after a tool call.
  if (ask.n === 1 && !choosesNumber(target) && (settings.toolCalls || ask.tools === 0)) return undefined
  const events = eventsOf(dialect, framing, body)
  if (!events) return 'unreadable'
  for (const event of events) {
    const found = event.type === 'finish' ? unkeptFinish(event.reason, settings) : undefined
    if (found) return found
    if (event.type === 'block-start' && event.block.type === 'tool-call' && !settings.toolCalls) return 'tool_calls'
  }
  return undefined
}

/** Whether the target, and not the client, says how many answers there are. */
const choosesNumber = ({ params }: Target): boolean =>
  params?.n !== undefined || asObject(params?.generationConfig)?.candidateCount !== undefined

function unkeptFinish(finish: ReplyFacts['finish'], settings: RouteCache): UnkeptReason | undefined {
  if (finish === undefined) return 'unfinished'
  if (finish === 'length') return 'truncated'
  if (finish === 'content_filter') return 'filtered'
  return finish === 'tool_calls' && !settings.toolCalls ? 'tool_calls' : undefined
}

/** The vendors' words for an answer that is whole; TGI and Cohere have their own. Others, such as Anthropic's `pause_turn`, may stand for a part. */
const wholes: ReadonlySet<string> = new Set(['stop', 'end_turn', 'stop_sequence', 'eos', 'eos_token', 'complete'])

const isOver = (raw: string | undefined): boolean => raw === undefined || wholes.has(raw.toLowerCase())

/** The events of an answer in a client's dialect; undefined where that cannot be read back, or tells of a failure. */
export function eventsOf({ outbound }: Dialect, framing: Framing, body: Buffer): ChatEvent[] | undefined {
  if (!outbound?.events || !outbound.decodeStream) return undefined
  const events: ChatEvent[] = []
  try {
    if (framing === 'json') events.push(...outbound.events(parseJson(body.toString('utf8'))))
    else {
      const decoder = outbound.decodeStream()
      for (const frame of framesOf(body)) events.push(...decoder.take(readFrame(frame)))
    }
  } catch {
    return undefined
  }
  return events.at(-1)?.type === 'end' ? events : undefined
}
