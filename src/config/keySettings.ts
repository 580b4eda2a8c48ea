// The keys that clients show: which secrets are good enough, and their digests.
import { createHash } from 'node:crypto'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import { buildOwnRules } from './limitSettings.ts'
import type { Report } from './problem.ts'
import type { KeySettings } from './schema.ts'
import type { ApiKey } from './snapshot.ts'

/** The key of `turnout demo`. Everybody knows it, so it opens nothing but loopback: see binding.ts. */
export const demoKey = 'tk-demo'

/** SHA-256 as hex: how keys are looked up. Keys are long and random, so a slow hash would add nothing. */
export const digestOf = (key: string): string => createHash('sha256').update(key).digest('hex')

/** Keys of the file and TURNOUT_MASTER_KEY, by digest. Secrets that can be guessed are told of: with them nothing starts. */
export function buildKeys(
  list: readonly KeySettings[],
  env: Env,
  report: Report,
  routes?: readonly string[],
): Map<string, ApiKey> {
  const keys = new Map<string, ApiKey>()
  const names = new Set<string>()
  list.forEach(({ name, key, role = 'app', team, routes: mayAsk, models, expiresAt, disabled, ...rules }, index) => {
    const path = ['keys', index]
    const weak = weaknessOf(key)
    if (weak) report([...path, 'key'], weak)
    if (names.has(name)) report([...path, 'name'], `another key is called "${name}" already`)
    const digest = digestOf(key)
    const twin = keys.get(digest)
    if (twin) report([...path, 'key'], `the same secret as that of "${twin.name}"`)
    names.add(name)
    const hasRules = rules.limits !== undefined || rules.budgets !== undefined
    keys.set(digest, {
      name,
      digest,
      role,
      team,
      routes: mayAsk,
      models,
      expiresAt: expiresAt === undefined ? undefined : Date.parse(expiresAt),
      disabled,
      ...(hasRules ? buildOwnRules(rules, { kind: 'key', name, path, routes }, report) : {}),
    })
  })
  // Set but blank is not "no key": someone meant to lock the door.
  const master = env.TURNOUT_MASTER_KEY
  if (master === undefined) return keys
  const weak = weaknessOf(firstSet(env, ['TURNOUT_MASTER_KEY'])?.value ?? '')
  if (weak) report(['TURNOUT_MASTER_KEY'], weak)
  const digest = digestOf(master.trim())
  const twin = keys.get(digest)
  // The variable is also what the command line shows at a gateway: an operator's own key may stand there, whose name is in the audit.
  if (twin?.role === 'admin' && twin.expiresAt === undefined && !twin.disabled) return keys
  if (names.has('master')) report(['TURNOUT_MASTER_KEY'], 'the file has a key called "master" too: rename that one')
  if (twin) report(['TURNOUT_MASTER_KEY'], `the same secret as that of "${twin.name}"`)
  keys.set(digest, { name: 'master', digest, role: 'admin' })
  return keys
}

/** Why a secret will not do, or undefined. Catches the empty, the short and the typed-in, not every bad idea. */
export function weaknessOf(secret: string): string | undefined {
  if (secret === demoKey) return undefined
  if (secret === '') return 'an empty secret would let everybody in: set it, or leave the key out'
  if (secret.length < 16) return 'a secret needs at least 16 characters: `openssl rand -hex 32` makes one'
  if (new Set(secret).size < 5) return 'a secret of so few different characters can be guessed'
  return /^[\x21-\x7e]+$/.test(secret) ? undefined : 'a secret may hold no spaces, line breaks or non-ASCII characters'
}
