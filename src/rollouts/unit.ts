// What stays on one arm, and by which words of a request it is known.
import { asObject } from '../dialects/field.ts'
import { type Opening, readOpening } from './opening.ts'

/** `request`: each one is assigned by itself. With the others everything of one unit goes to one arm. */
export const unitKinds = ['request', 'conversation', 'user', 'key'] as const
export type UnitKind = (typeof unitKinds)[number]

/** Where a unit is looked for. `transcript` is how a conversation begins, `api_key` the name of the key. */
export type UnitSource =
  | { readonly from: 'header'; readonly name: string }
  | { readonly from: 'body'; readonly name: string }
  | { readonly from: 'transcript' }
  | { readonly from: 'api_key' }

/** Headers of sessions that clients and coding tools send already. */
const sessions: readonly UnitSource[] = ['x-turnout-unit', 'x-session-id', 'x-conversation-id', 'x-thread-id'].map(
  (name) => ({ from: 'header', name }),
)

/** Where each kind is looked for unless the configuration says otherwise; the first that is there counts. */
export const defaultSources: Readonly<Record<UnitKind, readonly UnitSource[]>> = {
  request: [],
  conversation: [...sessions, { from: 'body', name: 'prompt_cache_key' }, { from: 'transcript' }],
  user: [
    { from: 'header', name: 'x-turnout-unit' },
    { from: 'body', name: 'safety_identifier' },
    { from: 'body', name: 'user' },
  ],
  key: [{ from: 'api_key' }],
}

/** Reads `header:NAME`, `body:FIELD`, `transcript` or `api_key`; undefined when it is none of them. */
export function parseSource(text: string): UnitSource | undefined {
  if (text === 'transcript' || text === 'api_key') return { from: text }
  const [, from, name] = /^(header|body):([!#$%&'*+.^_`|~\w-]{1,128})$/.exec(text) ?? []
  if (from === 'header') return { from, name: name!.toLowerCase() }
  return from === 'body' ? { from, name: name! } : undefined
}

/** What of a request is looked at. */
export interface UnitFacts {
  /** With lower-case names, as `node:http` gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The parsed body. */
  readonly wire: unknown
  /** The name of the API key, if the request has one. */
  readonly apiKey: string | undefined
}

/** Longer words are no ids. They would cost hashing, and whoever sends them can send a header. */
const longest = 512

/**
 * The unit of a request, from the first source that the request has; undefined when it has none, and is then drawn by itself. A text as
 * it is, or how the conversation begins: both are for the installation's hash, and for nobody else.
 */
export function unitOf(sources: readonly UnitSource[], facts: UnitFacts): string | Opening | undefined {
  for (const source of sources) {
    const unit = look(source, facts)
    if (unit) return unit
  }
  return undefined
}

/** A field of that name; with dots in it, also one of a block: `metadata.chat` is where apps that use OpenAI's `metadata` have their ids. */
function fieldOf(wire: unknown, name: string): unknown {
  const block = asObject(wire)
  if (!block || Object.hasOwn(block, name)) return block?.[name]
  const dot = name.indexOf('.')
  return dot < 0 ? undefined : fieldOf(block[name.slice(0, dot)], name.slice(dot + 1))
}

/**
 * The opening of a conversation is its unit because every later turn and every call with a tool's result carries the same one, so the
 * conversation stays where it is without any change at the client. Equal openings of one key share a unit; a client that rewrites its
 * history gets another one.
 */
function look(source: UnitSource, facts: UnitFacts): string | Opening | undefined {
  switch (source.from) {
    case 'header': {
      const value = facts.headers[source.name]
      return typeof value === 'string' && value.length <= longest ? value.trim() : undefined
    }
    case 'body': {
      const value = fieldOf(facts.wire, source.name)
      return typeof value === 'string' && value.length <= longest ? value : undefined
    }
    case 'api_key':
      return facts.apiKey
    case 'transcript':
      return readOpening(facts.wire)
  }
}
