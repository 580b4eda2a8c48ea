// What is asked of every contender: the list of works, their sizes, connections and tools.
import { makeContent, makeContentFrames, makeMessage, makeMessageFrames } from './vendorWire.ts'
import { makeBody, makeFrames, makeReply } from './wire.ts'

/** The upstream's behaviours. Each is a path prefix at the upstream and a model name (`bench-<lane>`) at a gateway. */
export const lanes = [
  'small',
  'cached',
  'large',
  'fast',
  'paced',
  'slow',
  'claude',
  'claude-fast',
  'gemini',
  'gemini-fast',
] as const
export type Lane = (typeof lanes)[number]

/** Those that answer whole JSON. */
export const jsonLanes: readonly Lane[] = ['small', 'cached', 'large', 'claude', 'gemini']

/** What an upstream's lane speaks. Clients always speak OpenAI's. */
export const dialectOf = (lane: Lane): 'openai' | 'anthropic' | 'gemini' =>
  lane.startsWith('claude') ? 'anthropic' : lane.startsWith('gemini') ? 'gemini' : 'openai'

/** Events of a stream; what the issue of the bench and its anchors count in. */
export const eventsPerStream = 200

export interface Work {
  readonly name: string
  readonly title: string
  readonly lane: Lane
  readonly stream: boolean
  readonly connections: number
  readonly body: Buffer
  /** The bytes that a perfect relay hands to the client. */
  readonly reply: Buffer
  readonly events: number
  /** `peak`: as fast as it goes. `paced`: the upstream sets the pace, CPU per event is the figure. */
  readonly kind: 'peak' | 'paced'
  /** The smallest set that holds it. */
  readonly set: 'quick' | 'core' | 'full'
  /** Replies have ids and times of the gateway's making: everything else in them must be the same each time. */
  readonly varies?: boolean
  /** Who takes part; all unless given. */
  readonly contenders?: readonly string[]
  /** Translated on the way: the work that asks the same of the identity lane. */
  readonly hub?: { readonly twin: string }
}

const smallReply = makeReply(820)
const largeReply = makeReply(8192)

const json = (
  name: string,
  title: string,
  lane: Lane,
  bodyBytes: number,
  connections: number,
  set: Work['set'],
): Work => ({
  name,
  title,
  lane,
  stream: false,
  connections,
  body: makeBody(`bench-${lane}`, bodyBytes),
  reply: lane === 'large' ? largeReply : smallReply,
  events: 0,
  kind: 'peak',
  set,
})

const stream = (
  name: string,
  title: string,
  lane: Lane,
  connections: number,
  includeUsage: boolean,
  set: Work['set'],
): Work => ({
  name,
  title,
  lane,
  stream: true,
  connections,
  body: makeBody(`bench-${lane}`, 1024, { includeUsage }),
  reply: Buffer.concat(makeFrames(lane === 'slow' ? slowEvents : eventsPerStream, includeUsage)),
  events: lane === 'slow' ? slowEvents : eventsPerStream,
  kind: lane === 'fast' ? 'peak' : 'paced',
  set,
})

/** Those that translate, and the relay, which pipes the upstream's own bytes. */
const translators = ['relay', 'turnout', 'turnout-bare', 'portkey']

/** portkey ends a translated Gemini stream without `[DONE]`: that is no answer of the kind that is asked for, and would end the whole run. */
const geminiStreamers = translators.filter((name) => name !== 'portkey')

const hub = (
  name: string,
  title: string,
  lane: Lane,
  twin: string,
  reply: Buffer,
  set: Work['set'],
  contenders = translators,
): Work => {
  const isStream = !jsonLanes.includes(lane)
  return {
    name,
    title,
    lane,
    stream: isStream,
    connections: 64,
    body: makeBody(`bench-${lane}`, 1024, isStream ? { includeUsage: true } : undefined),
    reply,
    events: isStream ? eventsPerStream : 0,
    kind: 'peak',
    set,
    varies: true,
    contenders,
    hub: { twin },
  }
}

/** One event each 250 ms: long enough that a thousand of them are open at the same time. */
export const slowEvents = 14

export const works: readonly Work[] = [
  json('json', 'JSON 1 KB in, 0.8 KB out, 64 connections', 'small', 1024, 64, 'quick'),
  {
    ...json(
      'json-cached',
      'the same JSON request again and again, 64 connections: hits of the cache',
      'cached',
      1024,
      64,
      'core',
    ),
    varies: true,
    contenders: ['relay', 'turnout'],
  },
  json('json-1', 'JSON 1 KB in, 0.8 KB out, 1 connection', 'small', 1024, 1, 'core'),
  json('json-256', 'JSON 1 KB in, 0.8 KB out, 256 connections', 'small', 1024, 256, 'core'),
  json('json-100k', 'JSON 100 KB in, 8 KB out, 64 connections', 'large', 100 * 1024, 64, 'core'),
  json('json-400k', 'JSON 400 KB prompt, 8 KB out, 16 connections', 'large', 400 * 1024, 16, 'core'),
  stream('stream', '200 events as fast as possible, 64 connections', 'fast', 64, true, 'quick'),
  stream('stream-unasked', 'the same, usage not asked for by the client', 'fast', 64, false, 'core'),
  stream('stream-1', '200 events as fast as possible, 1 connection', 'fast', 1, true, 'full'),
  stream('stream-256', '200 events as fast as possible, 256 connections', 'fast', 256, true, 'full'),
  hub('hub-json', 'OpenAI in, Anthropic out: JSON 1 KB', 'claude', 'json', makeMessage(820), 'core'),
  hub(
    'hub-stream',
    'OpenAI in, Anthropic out: 200 events as fast as possible',
    'claude-fast',
    'stream',
    Buffer.concat(makeMessageFrames(eventsPerStream)),
    'core',
  ),
  hub('hub-json-gemini', 'OpenAI in, Gemini out: JSON 1 KB', 'gemini', 'json', makeContent(820), 'full'),
  hub(
    'hub-stream-gemini',
    'OpenAI in, Gemini out: 200 events as fast as possible',
    'gemini-fast',
    'stream',
    Buffer.concat(makeContentFrames(eventsPerStream)),
    'full',
    geminiStreamers,
  ),
  stream('stream-paced', '200 events, 10 ms first, 1 ms between, 16 connections', 'paced', 16, true, 'core'),
  stream('stream-paced-64', '200 events, 10 ms first, 1 ms between, 64 connections', 'paced', 64, true, 'full'),
]

/** A thousand of these are held open for the memory figures. */
export const slowWork: Work = stream('stream-slow', 'a long stream, one event each 250 ms', 'slow', 1000, true, 'core')
