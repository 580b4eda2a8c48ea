// What a conversation carries from one vendor to the next: fields of its messages, and ids of its calls, that the next one answers an error to.
import { hash } from 'node:crypto'
import type { Provider } from '../config/snapshot.ts'
import type { Loss } from '../dialects/chat.ts'
import type { Cut } from '../dialects/splice.ts'
import { allFieldsBut, type CallIdRule, type ForeignField, nothingRefused, type Refused } from '../providers/history.ts'

/** What is to be left out for a model or written otherwise, and what of it meant something. */
export interface Foreign {
  readonly cut: Cut
  readonly losses: readonly Loss[]
}

/** Where such fields may stand: in these of an object, in each element of an array, or further inside. */
interface Place {
  readonly fields?: readonly ForeignField[]
  /** The field that holds the id of a tool call. */
  readonly id?: string
  readonly each?: Place
  readonly inside?: Readonly<Record<string, Place>>
}

type Holder = Readonly<Record<string, unknown>>

const marked: Place = { fields: ['cache_control'] }

const request = {
  inside: {
    messages: {
      each: {
        fields: allFieldsBut('thinking', 'parsed_arguments'),
        id: 'tool_call_id',
        inside: {
          content: { each: { fields: ['cache_control', 'thinking'] } },
          tool_calls: {
            each: {
              fields: ['extra_content', 'index'],
              id: 'id',
              inside: { function: { fields: ['parsed_arguments'] } },
            },
          },
        },
      },
    },
    tools: { each: { ...marked, inside: { function: marked } } },
  },
} satisfies Place

/** What a model refuses of a history that others have made. */
export function refusedBy({ refusedFields: fields, kind }: Provider, model: string): Refused {
  const known = kind.refuses?.(model) ?? nothingRefused
  return fields ? { ...known, fields } : known
}

/** Objects of one request that are changed. No conversation has so many, and each takes some ten microseconds. */
const MAX_CHANGED = 10_000

interface Search extends Refused {
  readonly losses: Map<string, Loss>
  left: number
}

/**
 * Finds in a client's parsed request what a model refuses. People send the assistant's message back as it came, and it came from whoever
 * answered then: a conversation that goes on at another vendor, by a canary or because the first one is down, would end in 400.
 *
 * @param forced parameters of the target, which stand in the place of the client's own
 * @returns undefined where nothing has to go, and where there is far too much of it: then the vendor says what is wrong
 */
export function foreignIn(
  wire: unknown,
  refused: Refused,
  forced: Readonly<Record<string, unknown>> = {},
): Foreign | undefined {
  if (refused.fields.length === 0 && !refused.callIds && !refused.developer && !refused.mute) return undefined
  const search: Search = { ...refused, losses: new Map(), left: MAX_CHANGED }
  // The client's tools do not arrive where the target has its own, so that nothing may be cut out of them: the edits would overlap.
  const place = 'tools' in forced ? { inside: { messages: request.inside.messages } } : request
  const cut = cutOf(wire, place, search)
  return cut && search.left > 0 ? { cut, losses: [...search.losses.values()] } : undefined
}

function cutOf(value: unknown, place: Place, search: Search): Cut | undefined {
  if (typeof value !== 'object' || value === null || search.left <= 0) return undefined
  let inside: Map<string | number, Cut> | undefined
  if (Array.isArray(value)) {
    const { each } = place
    if (!each) return undefined
    const thoughtless = search.fields.includes('thinking') && each.fields?.includes('thinking')
    let elements: Set<number> | undefined
    for (let at = 0; at < value.length; at++) {
      if (thoughtless && isThought(value[at])) {
        elements ??= new Set()
        elements.add(at)
        search.left--
        continue
      }
      const cut = cutOf(value[at], each, search)
      if (!cut) continue
      inside ??= new Map()
      inside.set(at, cut)
    }
    if (elements) tell('thinking', search.losses)
    return (inside || elements) && { fields: nothing, elements, inside: inside ?? nowhere }
  }
  const holder = value as Holder
  const { losses } = search
  let fields: string[] | undefined
  let renamed: Cut['renamed']
  let thoughtful: Cut['put']
  for (const name of search.fields) {
    if (holder[name] === undefined || !place.fields?.includes(name)) continue
    if ((name === 'tool_calls' || name === 'function_call') && !isEmpty(holder[name])) continue
    if (name === 'name' && holder.role === 'tool') continue
    if (name === 'index' && place.id === 'id' && search.numbersCalls) continue
    if (name === 'refusal' && isAllThatIsSaid(holder)) {
      losses.set('messages.refusal', { param: 'messages.refusal', reason: 'approximated', detail: 'sent as text' })
      renamed = refusalAsText
      if (holder.content !== undefined) fields = [...(fields ?? nothing), 'content']
      continue
    }
    fields ??= []
    fields.push(name)
    if (name === 'reasoning_content' && search.listsThoughts) thoughtful = thoughtsAsPart(holder)
    // The other fields of that name say the same.
    if (thoughtful && name.startsWith('reasoning')) continue
    if (!saysNothing(name, holder[name])) tell(name, losses)
  }
  const id = place.id === undefined ? undefined : holder[place.id]
  let put = typeof id === 'string' ? newId(place.id!, id, search.callIds) : undefined
  if (thoughtful) put = thoughtful
  else if (search.mute && !renamed && isMute(holder)) put = blankContent
  else if (fields && isSilent(holder)) put = emptyContent
  if (search.developer && holder.role === 'developer') put = systemRole
  for (const name in place.inside) {
    const cut = cutOf(holder[name], place.inside[name]!, search)
    if (!cut) continue
    // Parts of which none is left: an empty list of them is an error as well.
    if (cut.elements && cut.elements.size === (holder[name] as readonly unknown[]).length) {
      put = emptyContent
      continue
    }
    inside ??= new Map()
    inside.set(name, cut)
  }
  if (!fields && !inside && !renamed && !put) return undefined
  search.left--
  return { fields: fields ?? nothing, inside: inside ?? nowhere, renamed, put }
}

/** The same id always becomes the same one, so that an answer goes on belonging to its call, and a vendor's cache of prompts holds. */
function newId(field: string, id: string, rule: CallIdRule | undefined): Cut['put'] {
  if (rule === undefined || rule.takes.test(id)) return undefined
  const written = hash('sha256', id, 'base64url').replace(/[-_]/g, 'x').slice(0, rule.length)
  return new Map([[field, JSON.stringify(written)]])
}

const refusalAsText: Cut['renamed'] = new Map([['refusal', 'content']])

/** An assistant's message without content or calls is an error as well: a refusal that is alone is its text. */
function isAllThatIsSaid({ role, refusal, content, tool_calls: calls }: Holder): boolean {
  if (role !== 'assistant') return false
  return typeof refusal === 'string' && refusal !== '' && (content === '' || isEmpty(content)) && isEmpty(calls)
}

/** An answer that was cut off while its model thought: without its thoughts null is left, which is an error, and no content is none. */
const isSilent = ({ role, content, refusal, audio, tool_calls: calls, function_call: call }: Holder): boolean =>
  role === 'assistant' && content === null && [refusal, audio, calls, call].every(isEmpty)

/** An answer in which nothing was said at all. */
const isMute = ({ role, content, tool_calls: calls }: Holder): boolean =>
  role === 'assistant' && (content === '' || isEmpty(content)) && isEmpty(calls)

/** A part of the content that Mistral's models thought, and did not say. */
const isThought = (part: unknown): boolean => (part as { type?: unknown } | null)?.type === 'thinking'

/** Thoughts that a client sends back as it got them, in the form that Mistral gave them in: a part of the content, before what was said. */
function thoughtsAsPart(holder: Holder): Cut['put'] {
  const { role, reasoning_content: thoughts, content } = holder
  if (role !== 'assistant' || typeof thoughts !== 'string' || thoughts === '' || isAllThatIsSaid(holder))
    return undefined
  if (typeof content !== 'string' && !isEmpty(content)) return undefined
  const parts: unknown[] = [{ type: 'thinking', thinking: [{ type: 'text', text: thoughts }] }]
  if (content) parts.push({ type: 'text', text: content })
  return new Map([['content', JSON.stringify(parts)]])
}

const systemRole: Cut['put'] = new Map([['role', '"system"']])

const emptyContent: Cut['put'] = new Map([['content', '""']])
const blankContent: Cut['put'] = new Map([['content', '" "']])

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0)

function tell(field: ForeignField, losses: Map<string, Loss>): void {
  const param = paramOf(field)
  losses.set(param, { param, reason: 'dropped', detail: 'this vendor refuses it' })
}

/** The names that translations report the same things by. */
function paramOf(field: ForeignField): string {
  if (field === 'cache_control') return field
  return thoughts.has(field) || field.startsWith('reasoning') ? 'messages.reasoning' : `messages.${field}`
}

const thoughts: ReadonlySet<ForeignField> = new Set(['extra_content', 'thought_signature', 'thinking'])

/** `parsed` is the text once more, as a value, and of the others nobody else makes anything. */
const meaningless: ReadonlySet<ForeignField> = new Set(['parsed', 'parsed_arguments', 'channel', 'index'])

/** And what SDKs write where there is nothing. */
const saysNothing = (name: ForeignField, value: unknown): boolean =>
  meaningless.has(name) || value === '' || isEmpty(value)

const nothing: readonly ForeignField[] = []
const nowhere: ReadonlyMap<string, Cut> = new Map()
