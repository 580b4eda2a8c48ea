// What a conversation carries from one vendor to the next: fields of its messages that the next one answers an error to.
import type { Provider } from '../config/snapshot.ts'
import type { Loss } from '../dialects/chat.ts'
import type { Cut } from '../dialects/splice.ts'
import type { ForeignField } from '../providers/provider.ts'

/** What is to be left out for a model, and what of it meant something. */
export interface Foreign {
  readonly cut: Cut
  readonly losses: readonly Loss[]
}

/** Where such fields may stand: in these of an object, in each element of an array, or further inside. */
interface Place {
  readonly fields?: readonly ForeignField[]
  readonly each?: Place
  readonly inside?: Readonly<Record<string, Place>>
}

const marked: Place = { fields: ['cache_control'] }

const request: Place = {
  inside: {
    messages: {
      each: {
        fields: [
          'reasoning_content',
          'reasoning',
          'reasoning_details',
          'refusal',
          'annotations',
          'citations',
          'images',
          'audio',
          'parsed',
          'cache_control',
        ],
        inside: { content: { each: marked }, tool_calls: { each: { fields: ['extra_content'] } } },
      },
    },
    tools: { each: { ...marked, inside: { function: marked } } },
  },
}

/** What a model refuses of such fields. */
export const refusedFields = ({ refusedFields: own, kind }: Provider, model: string): readonly ForeignField[] =>
  own ?? kind.refusedFields?.(model) ?? nothing

/**
 * Finds in a client's parsed request what a model refuses. People send the assistant's message back as it came, and it came from whoever
 * answered then: a conversation that goes on at another vendor, by a canary or because the first one is down, would end in 400.
 *
 * @returns undefined where nothing has to go
 */
export function foreignIn(wire: unknown, refused: readonly ForeignField[]): Foreign | undefined {
  if (refused.length === 0) return undefined
  const losses = new Map<string, Loss>()
  const cut = cutOf(wire, request, refused, losses)
  return cut && { cut, losses: [...losses.values()] }
}

function cutOf(
  value: unknown,
  place: Place,
  refused: readonly ForeignField[],
  losses: Map<string, Loss>,
): Cut | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  let inside: Map<string | number, Cut> | undefined
  if (Array.isArray(value)) {
    if (!place.each) return undefined
    for (let at = 0; at < value.length; at++) {
      const cut = cutOf(value[at], place.each, refused, losses)
      if (!cut) continue
      inside ??= new Map()
      inside.set(at, cut)
    }
    return inside && { fields: nothing, inside }
  }
  const holder = value as Readonly<Record<string, unknown>>
  let fields: ForeignField[] | undefined
  for (const name of refused) {
    if (holder[name] === undefined || !place.fields?.includes(name)) continue
    fields ??= []
    fields.push(name)
    if (!saysNothing(name, holder[name])) tell(name, losses)
  }
  for (const name in place.inside) {
    const cut = cutOf(holder[name], place.inside[name]!, refused, losses)
    if (!cut) continue
    inside ??= new Map()
    inside.set(name, cut)
  }
  return fields || inside ? { fields: fields ?? nothing, inside: inside ?? nowhere } : undefined
}

function tell(field: ForeignField, losses: Map<string, Loss>): void {
  const param = paramOf(field)
  losses.set(param, { param, reason: 'dropped', detail: 'this vendor refuses it' })
}

/** The names that translations report the same things by. */
function paramOf(field: ForeignField): string {
  if (field === 'cache_control') return field
  return field.startsWith('reasoning') || field === 'extra_content' ? 'messages.reasoning' : `messages.${field}`
}

/** What SDKs write where there is nothing; and `parsed` is the content once more, as a value. */
function saysNothing(name: ForeignField, value: unknown): boolean {
  return name === 'parsed' || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

const nothing: readonly ForeignField[] = []
const nowhere: ReadonlyMap<string, Cut> = new Map()
