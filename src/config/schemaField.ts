// The kinds of field that the schema is made of: blocks that refuse unknown keys, durations, sizes, counts, names.
import * as z from 'zod'
import { likelyName } from './nearest.ts'
import { durationPattern, maxDuration, readDuration, readSize, showDuration, showSize, sizePattern } from './unit.ts'

/** An object that refuses unknown keys: one line per key, in the order of the issue's `keys`, each with what was meant. */
export const strict = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => unknownKey(key, shape)).join('\n') : undefined,
  })

const unknownKey = (key: string, shape: object): string => {
  const known = Object.keys(shape)
  const meant = likelyName(key, known)
  return `unknown key "${key}"; ${meant === undefined ? `known here: ${known.join(', ')}` : `did you mean "${meant}"?`}`
}

/** A block that may be left empty: `server:` with nothing after it is null in YAML, and means "all defaults". */
export const block = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  strict(shape)
    .nullable()
    .transform((value) => value ?? undefined)

const durationText = 'milliseconds, or text such as 500ms, 30s, 10m, 1h'
export const duration = (fallback?: number) =>
  z
    .union(
      [z.number().nonnegative(), z.string().regex(durationPattern, { error: `expected a duration: ${durationText}` })],
      { error: `expected a duration: ${durationText}` },
    )
    .transform((value) => readDuration(value)!)
    .refine((value) => value >= 1 && value <= maxDuration, { error: 'a duration must be between 1ms and 24 days' })
    .optional()
    .meta({
      ...(fallback === undefined ? {} : { default: showDuration(fallback) }),
      examples: ['500ms', '30s', '10m'],
    })

const sizeText = 'bytes, or text such as 512KB, 20MB'
export const size = (fallback: number) =>
  z
    .union([z.number().nonnegative(), z.string().regex(sizePattern, { error: `expected a size: ${sizeText}` })], {
      error: `expected a size: ${sizeText}`,
    })
    .transform((value) => readSize(value)!)
    .refine((value) => value >= 1024 && value <= 2 ** 30, { error: 'a size must be between 1KB and 1GB' })
    .optional()
    .meta({ default: showSize(fallback), examples: ['512KB', '20MB'] })

export const count = (fallback: number, least = 1, most = 1_000_000) =>
  z.number().int().min(least).max(most).meta({ default: fallback })

/** Ids that end up in headers, labels and `provider/model`: no slash, no star, no space. */
export const id = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/, { error: 'a name is letters, digits and . _ : @ - (at most 128)' })

export const text = (most = 2048) => z.string().min(1, { error: 'may not be empty' }).max(most)

/** A record that may be left empty. */
export const emptyRecord = <Value extends z.ZodType>(name: z.ZodType<string, string>, value: Value) =>
  z
    .record(name, value)
    .nullable()
    .transform((record) => record ?? undefined)
