// Reads what a request to the control plane asks: its query and its JSON body, checked against the route's schemas.
import type { IncomingMessage } from 'node:http'
import * as z from 'zod'
import { faultsOf, type SchemaFault } from '../../config/issue.ts'
import { Refusal } from '../../dialects/errors.ts'
import { syntaxErrorOf } from '../../dialects/json.ts'
import { scanFields } from '../../dialects/splice.ts'
import { readBody } from '../../gateway/body.ts'

const maxBodyBytes = 256 * 1024
/** Nesting of a body: what reads it further on recurses. No configuration comes near it. */
const maxDepth = 128
/** Faults that are told one by one: a body may hold thousands, and nobody reads them. */
const maxFaults = 20

/**
 * The query of a URL.
 * @throws Refusal `invalid_value` or `missing_required_parameter`, whose `param` is the field
 */
export function readQuery(url: string, schema: z.ZodType = z.strictObject({})): unknown {
  const at = url.indexOf('?')
  const given: Record<string, string> = {}
  for (const [name, value] of new URLSearchParams(at === -1 ? '' : url.slice(at))) {
    if (Object.hasOwn(given, name)) throw new Refusal('invalid_value', `'${shown(name)}' is given twice.`, shown(name))
    given[name] = value
  }
  // A query is flat: what is wrong with a part of a list is wrong with its parameter.
  return check(schema, given, 1)
}

/**
 * The JSON body; undefined where the route takes none.
 * @throws Refusal as `readQuery`; `unsupported_media_type`, `invalid_json`, `json_too_deep`, `request_too_large`
 */
export async function readJson(req: IncomingMessage, schema: z.ZodType | undefined): Promise<unknown> {
  if (schema === undefined) return undefined
  const type = (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== 'application/json')
    throw new Refusal('unsupported_media_type', "The content-type must be 'application/json'.")
  const raw = await readBody(req, maxBodyBytes)
  const [twice] = scanFields(raw, 0, maxDepth).duplicates
  const text = raw.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Refusal('invalid_json', syntaxErrorOf(text))
  }
  // Who reads the first and who reads the last would understand two different commands.
  if (twice !== undefined) throw new Refusal('invalid_value', `'${shown(twice)}' is given twice.`, shown(twice))
  return check(schema, value)
}

/** `depth`: steps of a path that name the field. */
function check(schema: z.ZodType, value: unknown, depth = Infinity): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  // In the words of the configuration, whose blocks some of the fields are.
  const faults = faultsOf(result.error.issues)
  const told = faults.slice(0, maxFaults)
  const params = told.map(({ path }) => shown(path.slice(0, depth).join('.')))
  const lines = told.map((fault, at) => messageOf(fault, params[at]!))
  if (faults.length > told.length) lines.push(`And ${faults.length - told.length} more faults.`)
  const message = lines.join(' ')
  const { path, atKey } = faults[0]!
  const missing = !atKey && path.length > 0 && valueAt(value, path) === undefined
  throw new Refusal(missing ? 'missing_required_parameter' : 'invalid_value', message, params[0] || null)
}

function messageOf({ path, message, expected, atKey }: SchemaFault, param: string): string {
  if (atKey && path.length === 1) return `'${param}' is no parameter of this route.`
  if (param !== '') return `'${param}': ${message}${/[.?]$/.test(message) ? '' : '.'}`
  return `The body is not what this route takes: ${expected === 'object' ? 'expected an object' : message}.`
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((part, step) => (part as Record<PropertyKey, unknown> | undefined)?.[step], value)
}

/** Names of fields may be anything that a client sends. */
const shown = (name: string): string => (name.length > 64 ? `${name.slice(0, 64)}…` : name)
