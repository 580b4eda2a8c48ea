// Reads the variables that operators of older systems have: one table from their names to ours, with their units.
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import { formatPath, type Path } from './problem.ts'
import { configSchema, type Settings } from './schema.ts'
import { showDuration } from './unit.ts'

/** How an old value is written: `retries` are calls after the first, `flag` is true or false in any spelling. */
export type LegacyUnit = 'model' | 'count' | 'retries' | 'milliseconds' | 'seconds' | 'flag' | 'percent' | 'any'

export interface LegacyRow {
  /** A star at the end stands for any rest. */
  readonly name: string
  readonly unit: LegacyUnit
  /** The key of the file that says the same. */
  readonly path?: Path
  /** The variable that says the same. */
  readonly variable?: string
  /** Why it has no effect in this version. */
  readonly absent?: string
}

/** Of two names for one key the upper counts. */
export const legacyRows: readonly LegacyRow[] = [
  { name: 'PAM_PRIMARY_MODEL', unit: 'model', variable: 'TURNOUT_PRIMARY_MODEL' },
  { name: 'PAM_FALLBACK_MODEL_1', unit: 'model', variable: 'TURNOUT_FALLBACK_MODEL_1' },
  { name: 'PAM_FALLBACK_MODEL_2', unit: 'model', variable: 'TURNOUT_FALLBACK_MODEL_2' },
  { name: 'PAM_FALLBACK_MODEL_3', unit: 'model', variable: 'TURNOUT_FALLBACK_MODEL_3' },
  { name: 'AI_CIRCUIT_BREAKER_THRESHOLD', unit: 'count', path: ['breaker', 'failures'] },
  { name: 'AI_CIRCUIT_BREAKER_TIMEOUT', unit: 'milliseconds', path: ['breaker', 'openFor'] },
  { name: 'AI_RETRY_MAX_ATTEMPTS', unit: 'count', path: ['retries', 'attempts'] },
  { name: 'AI_RETRY_BASE_DELAY', unit: 'milliseconds', path: ['retries', 'baseDelay'] },
  { name: 'AI_RATE_LIMIT_*', unit: 'any', absent: 'rate limits stand in the file, under `limits`' },
  { name: 'GATEWAY_MAX_RETRIES', unit: 'retries', path: ['retries', 'attempts'] },
  { name: 'GATEWAY_RETRY_DELAY', unit: 'seconds', path: ['retries', 'baseDelay'] },
  { name: 'GATEWAY_FALLBACK_ENABLED', unit: 'flag', path: ['fallback'] },
  {
    name: 'GATEWAY_TRACE_SAMPLING_RATE',
    unit: 'any',
    absent: 'the share of traces that is kept is `trace.sample` of the file',
  },
  {
    name: 'GATEWAY_METRICS_RETENTION_HOURS',
    unit: 'any',
    absent: 'Turnout keeps no metrics, whoever scrapes them does; for rows of requests there is `ledger.retentionDays`',
  },
  { name: 'OPENROUTER_FALLBACK_ENABLED', unit: 'flag', path: ['providers', 'openrouter', 'fallback'] },
  { name: 'GATEWAY_V2_PERCENTAGE', unit: 'percent', variable: 'TURNOUT_CANARY_PERCENT' },
]

export interface LegacyNote {
  readonly name: string
  readonly message: string
}

export interface Legacy {
  /** What fills gaps of the file, in its shape. */
  readonly gaps: Settings
  /** The models by our variable's name, with the old name that gave them. */
  readonly models: ReadonlyMap<string, { name: string; value: string }>
  /** One for each old variable that is set: what to write in its place, or why it counts for nothing. */
  readonly notes: readonly LegacyNote[]
}

/** Reads all old names that are set. The file and our own variables win; what cannot be read is told of and left out. */
export function readLegacy(env: Env, written: Settings): Legacy {
  const models = new Map<string, { name: string; value: string }>()
  const notes: LegacyNote[] = []
  let gaps: Settings = {}
  for (const row of legacyRows) {
    for (const name of namesOf(row, env)) {
      const found = firstSet(env, [name])
      if (!found) continue
      const tell = (message: string) => notes.push({ name, message })
      if (row.absent !== undefined) tell(`has no effect: ${row.absent}`)
      else if (row.variable !== undefined) {
        if (firstSet(env, [row.variable])) tell(`is an old name and counts for nothing: ${row.variable} is set`)
        else {
          models.set(row.variable, found)
          tell(`is an old name: call it ${row.variable}`)
        }
      } else {
        gaps = fill(gaps, row, found.value, written, tell)
      }
    }
  }
  return { gaps, models, notes }
}

function fill(gaps: Settings, row: LegacyRow, text: string, written: Settings, tell: (message: string) => void) {
  const path = row.path!
  const key = `\`${formatPath(path)}\``
  if (valueAt(written, path) !== undefined) {
    tell(`is an old name and counts for nothing: the file says ${key}`)
    return gaps
  }
  if (valueAt(gaps, path) !== undefined) {
    tell(`counts for nothing: another old variable says ${key} already`)
    return gaps
  }
  const value = read(row.unit, text)
  const parsed = configSchema.safeParse(value === undefined ? null : withValue(gaps, path, value))
  if (!parsed.success) {
    tell(`holds no usable ${nouns[row.unit]} and counts for nothing: set ${key} in the file`)
    return gaps
  }
  const shown = row.unit === 'milliseconds' || row.unit === 'seconds' ? showDuration(value as number) : String(value)
  tell(`is an old name: write ${key}: ${shown} into the file`)
  return parsed.data
}

const nouns: Readonly<Record<LegacyUnit, string>> = {
  model: 'model',
  count: 'number',
  retries: 'number of retries',
  milliseconds: 'number of milliseconds',
  seconds: 'number of seconds',
  flag: 'true or false',
  percent: 'percentage',
  any: 'value',
}

function read(unit: LegacyUnit, text: string): number | boolean | undefined {
  if (unit === 'flag') {
    if (/^(true|1|yes|on)$/i.test(text)) return true
    return /^(false|0|no|off)$/i.test(text) ? false : undefined
  }
  if (!/^\d+(\.\d+)?$/.test(text)) return undefined
  const number = Number(text)
  if (unit === 'retries') return number + 1
  return unit === 'seconds' ? Math.round(number * 1000) : number
}

const namesOf = ({ name }: LegacyRow, env: Env): string[] =>
  name.endsWith('*')
    ? Object.keys(env)
        .filter((known) => known.startsWith(name.slice(0, -1)))
        .sort()
    : [name]

function valueAt(holder: unknown, path: Path): unknown {
  let value = holder
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}

function withValue(holder: unknown, [step, ...rest]: Path, value: unknown): Record<string, unknown> {
  const copy = { ...(holder as Record<string, unknown> | undefined) }
  copy[step!] = rest.length === 0 ? value : withValue(copy[step!], rest, value)
  return copy
}
