// The key of an answer: who may share it, what was asked in full, and of whom. What can change an answer has to be in here.
import { hash } from 'node:crypto'
import type { ApiKey, Target } from '../config/snapshot.ts'
import type { Inspected } from '../dialects/dialect.ts'
import { CanonicalDigest, ignoreNames } from '../state/cache/canonical.ts'
import { onlyCapName } from './capName.ts'
import { refusedBy } from './foreignFields.ts'

/** What of a request does not change its answer: framing, whose request it is, notes for others. All that is not named here counts. */
const ignored = ignoreNames({
  stream: true,
  stream_options: ignoreNames({ include_usage: true }),
  user: true,
  safety_identifier: true,
  metadata: true,
  prompt_cache_key: true,
  prompt_cache_retention: true,
  trace: true,
})

export interface KeyParts {
  /** From `tenantOf`. */
  readonly tenant: string
  readonly route: string
  readonly dialect: string
  readonly target: Target
  /** The model that the target is asked for. */
  readonly model: string
  /** Headers of the client that reach the target. */
  readonly headers: readonly string[]
  /** The client wants an error where the target cannot be told all. */
  readonly strict: boolean
}

const canonical = new CanonicalDigest()

/** 43 characters of base64url. */
export function keyOf(parts: KeyParts, { raw, fields }: Pick<Inspected, 'raw' | 'fields'>): string {
  const { tenant, route, dialect, target, model, headers, strict } = parts
  let prefix = text(tenant) + askedOf(route, dialect, target, model) + (strict ? '!' : '.')
  for (const header of headers) prefix += text(header)
  return canonical.of(prefix, raw, fields, ignored)
}

/** Who shares answers with whom. Names of keys, teams and users never meet: each begins with its kind. */
export function tenantOf(key: ApiKey | undefined, scope: 'key' | 'team' | 'global'): string {
  if (scope === 'global') return 'global'
  if (scope === 'team' && key?.team !== undefined) return `team:${key.team}`
  if (key === undefined) return 'nobody'
  // Whoever gets a name, or after a restore the number, that was another key's gets nothing else of it.
  const holder = key.id === undefined ? text(key.name) + (key.digest ?? '') : `#${key.id}@${key.createdAt}`
  // Tokens of end users may all stand for one key: they are other people all the same.
  return key.user === undefined ? `key:${holder}` : `user:${text(holder)}${key.user}`
}

/** The last way in which each target was asked: most are asked in one. */
const asked = new WeakMap<Target, { route: string; dialect: string; model: string; text: string }>()

function askedOf(route: string, dialect: string, target: Target, model: string): string {
  const last = asked.get(target)
  if (last && last.route === route && last.dialect === dialect && last.model === model) return last.text
  const whole = text(route) + text(dialect) + printOf(target) + text(model)
  asked.set(target, { route, dialect, model, text: whole })
  return whole
}

/** With its length before it, so that two texts cannot be cut in another place. */
const text = (part: string): string => `${part.length}:${part}`

const prints = new WeakMap<Target, string>()

/** Of everything about a target that its answers depend on, credentials included: another account may have other models. */
function printOf(target: Target): string {
  let print = prints.get(target)
  if (print === undefined) {
    const { id, provider, model, params, systemPrefix } = target
    const { name, kind, dialect, origin, basePath, apiVersion, headers, quirks } = provider
    const told = [id, model, params, name, kind.name, dialect, origin, basePath, apiVersion, headers, quirks]
    if (systemPrefix !== undefined) told.push({ systemPrefix })
    const capName = onlyCapName(provider, model)
    if (capName !== undefined) told.push({ capName })
    const refused = refusedBy(provider, model).fields
    if (refused.length > 0) told.push({ refused })
    print = hash('sha256', JSON.stringify(told), 'base64url')
    prints.set(target, print)
  }
  return print
}
