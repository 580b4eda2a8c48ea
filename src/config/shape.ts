// Checks a document against the schema, and keeps what is sound of a faulty one so that its names can be checked too.
import type { SourceDocument } from './document.ts'
import { faultsOf, type SchemaFault } from './issue.ts'
import type { Path, Report } from './problem.ts'
import { configSchema, type Settings } from './schema.ts'

export interface Shape {
  settings: Settings
  /** Names under `providers:`, faulty ones included; undefined without that block. */
  providerNames: string[] | undefined
  /** Ids under `targets:`, faulty ones included. */
  targetIds: string[]
  /** Names under `routes:`, faulty ones included. */
  routeNames: string[]
}

type Data = Record<string | number, unknown>

/**
 * Tells of every fault of form. A scalar that is one variable and nothing else becomes a number or a boolean where that is
 * wanted. Entries with a fault are left out of the result, so that the rest can be looked at in the same run; undefined when
 * a fault is so high up that the rest would only complain about what is missing.
 */
export function checkShape(document: SourceDocument, report: Report): Shape | undefined {
  // An empty file is an empty configuration, not a wrong one.
  const data = (document.data ?? {}) as Data
  let result = configSchema.safeParse(data)
  if (!result.success && convertVariables(data, faultsOf(result.error.issues), document)) {
    result = configSchema.safeParse(data)
  }
  const providerNames = keysOf(data.providers)
  const targetIds = keysOf(data.targets) ?? []
  const routeNames = keysOf(data.routes) ?? []
  if (!result.success) {
    const faults = faultsOf(result.error.issues)
    for (const { path, message, atKey } of faults) report(path, message, atKey ? 'key' : 'value')
    for (const { path } of faults) if (!leaveOut(data, path)) return undefined
    result = configSchema.safeParse(data)
  }
  return result.success ? { settings: result.data, providerNames, targetIds, routeNames } : undefined
}

function convertVariables(data: Data, faults: readonly SchemaFault[], document: SourceDocument): boolean {
  let converted = false
  for (const { path, expected } of faults) {
    if (expected === undefined || document.origin(path) !== 'variable') continue
    converted = convertAt(data, path, expected) || converted
  }
  return converted
}

function convertAt(data: Data, path: Path, expected: string): boolean {
  let holder = data
  for (const step of path.slice(0, -1)) holder = holder[step] as Data
  const last = path.at(-1)!
  const text = holder[last]
  if (typeof text !== 'string') return false
  if (expected === 'boolean' && /^(true|false)$/.test(text)) holder[last] = text === 'true'
  else if ((expected === 'number' || expected === 'int') && /^-?\d+(\.\d+)?$/.test(text)) holder[last] = Number(text)
  else return false
  return true
}

/** Sections without which the rest can be looked at all the same. */
const replaceable: ReadonlySet<unknown> = new Set([
  'keys',
  'auth',
  'dataDir',
  'directModels',
  'limits',
  'budgets',
  'teams',
  'access',
  'webhooks',
  'alerts',
  'rollouts',
  'fallback',
  'retries',
  'breaker',
])

/** Removes the entry of a section that a fault lies in. False when the fault is the section itself, or the whole document. */
function leaveOut(data: Data, [section, entry]: Path): boolean {
  if (section === undefined) return false
  const known = section in configSchema.shape
  if (entry === undefined || keysOf(data[section]) === undefined) {
    delete data[section]
    return !known || replaceable.has(section)
  }
  delete (data[section] as Data)[entry]
  return true
}

const keysOf = (value: unknown): string[] | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : undefined
