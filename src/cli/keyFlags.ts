// Reads the flags of `turnout keys`: what a key may do, in the words of the admin API.
import { parse } from 'yaml'

export interface KeyFlags {
  name?: string
  role?: string
  team?: string
  tag?: string[]
  routes?: string
  models?: string
  limits?: string
  budgets?: string
  expires?: string
  disabled?: boolean
  enabled?: boolean
}

/** Takes a restriction away, and team and tags. */
const none = 'none'

const spans = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** The body of a write: what was not said is not in it. Throws Error that names the flag. `now`: Unix milliseconds. */
export function bodyOf(flags: KeyFlags, now: number): Record<string, unknown> {
  if (flags.disabled && flags.enabled) throw new Error('--disabled and --enabled: one of them')
  const body: Record<string, unknown> = {
    name: flags.name,
    role: flags.role,
    team: flags.team === none ? null : flags.team,
    tags: flags.tag && tagsOf(flags.tag),
    routes: listOf(flags.routes),
    models: listOf(flags.models),
    limits: blockOf('--limits', flags.limits),
    budgets: blockOf('--budgets', flags.budgets),
    expires_at: timeOf(flags.expires, now),
    disabled: flags.disabled ? true : flags.enabled ? false : undefined,
  }
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
}

/** Seconds of `90s`, `30m`, `24h`, `7d`. */
export function secondsOf(flag: string, text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count === undefined) throw new Error(`${flag}: expected a time such as 90s, 30m, 24h or 7d`)
  return (Number(count) * (unit === 's' ? 1_000 : spans[unit as keyof typeof spans])) / 1_000
}

function tagsOf(tags: readonly string[]): Record<string, string> | null {
  if (tags.length === 1 && tags[0] === none) return null
  return Object.fromEntries(
    tags.map((tag) => {
      const at = tag.indexOf('=')
      if (at < 1) throw new Error('--tag: expected name=value')
      return [tag.slice(0, at), tag.slice(at + 1)]
    }),
  )
}

const listOf = (text: string | undefined): string[] | null | undefined =>
  text === none
    ? null
    : text
        ?.split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')

function blockOf(flag: string, text: string | undefined): unknown {
  if (text === undefined) return undefined
  if (text === none) return null
  let block: unknown
  try {
    block = parse(text)
  } catch {
    block = undefined
  }
  if (typeof block === 'object' && block !== null) return block
  throw new Error(`${flag}: expected a block as in the file, such as '{ requests: 100 }', or none`)
}

/** A time as it is, `30d` from now on. */
function timeOf(text: string | undefined, now: number): string | null | undefined {
  if (text === undefined) return undefined
  if (text === none) return null
  const isSpan = /^\d+[smhd]$/.test(text)
  const at = isSpan ? now + secondsOf('--expires', text) * 1000 : Date.parse(text)
  // Years of more than four digits are none that the gateway takes.
  if (!(at < Date.UTC(10_000, 0)))
    throw new Error('--expires: expected a time such as 2027-01-31T00:00:00Z, or 30d, or none')
  return new Date(at).toISOString()
}
