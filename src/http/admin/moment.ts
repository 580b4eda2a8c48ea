// Points in time as queries write them: a day, or an instant.
import * as z from 'zod'

const dayMs = 86_400_000

/** A UTC day, `2026-01-31`. */
export const day = z.iso.date({ error: 'expected a day such as 2026-01-31' })

const instant = z.iso.datetime({ offset: true })
const expected = 'expected a day such as 2026-01-31, or an instant such as 2026-01-31T08:00:00Z'

/** Unix milliseconds. A day is its beginning (UTC), or as the end of a range its end: `to=2026-01-31` includes all of it. */
export function moment(edge: 'from' | 'to') {
  return z.string().transform((text, context) => {
    if (day.safeParse(text).success) return Date.parse(`${text}T00:00:00Z`) + (edge === 'to' ? dayMs : 0)
    if (instant.safeParse(text).success) return Date.parse(text)
    context.addIssue({ code: 'custom', message: expected })
    return z.NEVER
  })
}
