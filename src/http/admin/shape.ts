// What the shapes of answers are made of. A shape stands beside the code that makes the answer, and the compiler holds one to the other.
import * as z from 'zod'

/** All shapes by their names: the schemas of the OpenAPI document. */
export const shapes = z.registry<{ id: string }>()

/** An object with a name of its own in the document. */
export const named = <Fields extends z.ZodRawShape>(id: string, fields: Fields) =>
  z.object(fields).register(shapes, { id })

/** A list, as every route answers one. */
export const listed = <Item extends z.ZodType, Fields extends z.ZodRawShape>(id: string, item: Item, more: Fields) =>
  named(id, { object: word('list'), data: z.array(item), ...more })

/** What a list that comes in pages has beside its data. */
export const page = { has_more: z.boolean(), next_cursor: z.string().nullable() }

/** A text that is always the same. */
export const word = (text: string) => z.string().meta({ const: text })

/** An instant in ISO 8601, in UTC. */
export const time = z.string().meta({ format: 'date-time' })
export const whole = z.number().meta({ type: 'integer' })
/** May be beyond what a double holds. */
export const nanoUsd = z.custom<number | bigint>().meta({ type: 'integer', description: 'Nano-USD, exact.' })
export const usd = z.string().meta({ description: 'USD, an exact decimal.' })
export const texts = z.array(z.string())
export const config = z.object({ version: whole })

/** What has a shape, as code hands it out: to be read alone. */
export type Shown<Shape extends z.ZodType> = Frozen<z.output<Shape>>
type Frozen<Value> = Value extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : Value extends object
    ? { readonly [Key in keyof Value]: Frozen<Value[Key]> }
    : Value
