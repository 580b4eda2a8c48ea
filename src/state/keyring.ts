// The virtual keys in memory: found by digest, changed at once, kept in the store behind it.
import { createHmac, randomBytes } from 'node:crypto'
import { ownRulesSchema } from '../config/limitSchema.ts'
import { buildOwnRules } from '../config/limitSettings.ts'
import type { TeamLimits } from '../config/limitTypes.ts'
import type { Report } from '../config/problem.ts'
import type { ApiKey } from '../config/snapshot.ts'

/** What a key may do and where it belongs, as an operator sets it. Times in Unix milliseconds. */
export interface KeyFacts {
  readonly name: string
  readonly team?: string | undefined
  /** `app` unless given: calls models and operates nothing. */
  readonly role?: ApiKey['role'] | undefined
  readonly tags?: Readonly<Record<string, string>> | undefined
  readonly routes?: readonly string[] | undefined
  readonly models?: readonly string[] | undefined
  /** In the form of the configuration's `keys[].limits` and `keys[].budgets`. */
  readonly limits?: unknown
  readonly budgets?: unknown
  readonly expiresAt?: number | undefined
  readonly disabled: boolean
}

/** One key; the secret is not in it. */
export interface VirtualKey extends KeyFacts {
  readonly id: number
  readonly hint: string
  readonly digest: string
  readonly oldDigest: string | undefined
  readonly oldUntil: number | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

/** Where keys are kept: the store's, or nothing. What rejects was not written. */
export interface KeyKeeper {
  all(): VirtualKey[]
  insert(row: Omit<VirtualKey, 'id'>): Promise<VirtualKey>
  update(row: VirtualKey): Promise<void>
  remove(id: number): Promise<void>
}

/** A key, and how long the secret that was shown is good for it. */
export interface FoundKey {
  readonly key: ApiKey
  /** Unix milliseconds; undefined = as long as the key. */
  readonly until: number | undefined
}

/** How a key was and how it is now. */
export interface KeyChange {
  readonly before: VirtualKey
  readonly after: VirtualKey
}

/** Writes happen one after the other, and hold from the moment that their promise resolves. They reject with the keeper's error. */
export interface Keyring {
  readonly size: number
  /** Another number after every change: what was found before may not be so any more. */
  readonly revision: number
  /** The key of a shown secret, also one that is switched off. By digest alone, so that the secret's characters mean nothing. */
  find(secret: string): FoundKey | undefined
  /** The key of a name, for tokens that stand for one. */
  named(name: string): ApiKey | undefined
  list(): readonly VirtualKey[]
  get(id: number): VirtualKey | undefined
  /** Makes a key; the secret is returned here and never again. @throws NameTaken */
  create(facts: KeyFacts): Promise<{ key: VirtualKey; secret: string }>
  /** @returns undefined when there is no such key. @throws NameTaken */
  change(id: number, facts: Partial<KeyFacts>): Promise<KeyChange | undefined>
  /** A new secret; the old one is good for `grace` milliseconds more, the one before it no longer. */
  rotate(id: number, grace: number): Promise<(KeyChange & { secret: string }) | undefined>
  remove(id: number): Promise<VirtualKey | undefined>
}

/** Another virtual key has the name: the ledger could not tell the two apart. */
export class NameTaken extends Error {
  constructor(name: string) {
    super(`Another key is called '${name}'.`)
    this.name = 'NameTaken'
  }
}

export interface KeyringOptions {
  now?: () => number
  /** Told of keys whose limits or budgets cannot be read: they are not let in, because nothing would hold them. */
  unreadable?: (key: VirtualKey) => void
}

/** `tk-` and 256 random bits, URL-safe. */
const newSecret = (): string => `tk-${randomBytes(32).toString('base64url')}`

/** @param pepper the installation's secret: without it the stored digests are of no use to a thief */
export function createKeyring(keeper: KeyKeeper, pepper: Buffer, options: KeyringOptions = {}): Keyring {
  const { now = Date.now, unreadable } = options
  const byId = new Map<number, VirtualKey>()
  const byName = new Map<string, ApiKey>()
  /** What requests carry is made once a change, not once a request. */
  const byDigest = new Map<string, FoundKey>()
  let revision = 0
  /** In order of ids, as long as nothing has changed: pages of a long list are asked for one after the other. */
  let ordered: { readonly revision: number; readonly keys: readonly VirtualKey[] } | undefined
  const digestOf = (secret: string): string =>
    createHmac('sha256', pepper).update('key\0').update(secret).digest('base64url')

  const forget = (key: VirtualKey): void => {
    byId.delete(key.id)
    byName.delete(key.name)
    byDigest.delete(key.digest)
    if (key.oldDigest) byDigest.delete(key.oldDigest)
    revision++
  }
  const know = (key: VirtualKey): VirtualKey => {
    byId.set(key.id, key)
    const carried = carriedOf(key, unreadable)
    byName.set(key.name, carried)
    byDigest.set(key.digest, { key: carried, until: undefined })
    if (key.oldDigest) byDigest.set(key.oldDigest, { key: carried, until: key.oldUntil })
    revision++
    return key
  }
  const replace = async (before: VirtualKey, after: VirtualKey): Promise<KeyChange> => {
    await keeper.update(after)
    forget(before)
    return { before, after: know(after) }
  }
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = last.then(work, work)
    last = result.catch(() => {})
    return result
  }
  for (const key of keeper.all()) know(key)

  return {
    get size() {
      return byId.size
    },
    get revision() {
      return revision
    },
    find(secret) {
      const found = byDigest.get(digestOf(secret))
      return found && (found.until === undefined || found.until > now()) ? found : undefined
    },
    named: (name) => byName.get(name),
    list() {
      if (ordered?.revision !== revision) ordered = { revision, keys: [...byId.values()].sort((a, b) => a.id - b.id) }
      return ordered.keys
    },
    get: (id) => byId.get(id),
    create: (facts) =>
      inTurn(async () => {
        if (byName.has(facts.name)) throw new NameTaken(facts.name)
        const secret = newSecret()
        const at = now()
        const made = { oldDigest: undefined, oldUntil: undefined, createdAt: at, updatedAt: at }
        const key = await keeper.insert({ ...facts, ...made, digest: digestOf(secret), hint: secret.slice(-4) })
        return { key: know(key), secret }
      }),
    change: (id, facts) =>
      inTurn(async () => {
        const old = byId.get(id)
        if (!old) return undefined
        if (facts.name !== undefined && facts.name !== old.name && byName.has(facts.name))
          throw new NameTaken(facts.name)
        return replace(old, { ...old, ...facts, updatedAt: now() })
      }),
    rotate: (id, grace) =>
      inTurn(async () => {
        const old = byId.get(id)
        if (!old) return undefined
        const secret = newSecret()
        const at = now()
        const change = await replace(old, {
          ...old,
          digest: digestOf(secret),
          hint: secret.slice(-4),
          oldDigest: grace > 0 ? old.digest : undefined,
          oldUntil: grace > 0 ? at + grace : undefined,
          updatedAt: at,
        })
        return { ...change, secret }
      }),
    remove: (id) =>
      inTurn(async () => {
        const old = byId.get(id)
        if (!old) return undefined
        await keeper.remove(id)
        forget(old)
        return old
      }),
  }
}

/** What a key's limits and budgets mean. Tells `report` what is wrong with them; `routes` undefined = they are not looked up. */
export function readRules(
  { name, limits, budgets }: Pick<KeyFacts, 'name' | 'limits' | 'budgets'>,
  report: Report,
  routes?: readonly string[],
): TeamLimits {
  const written = ownRulesSchema.safeParse({ limits, budgets })
  if (written.success) return buildOwnRules(written.data, { kind: 'key', name, path: [], routes }, report)
  for (const { path, message } of written.error.issues) report(path as (string | number)[], message)
  return { limits: [], budgets: [] }
}

function carriedOf(key: VirtualKey, unreadable: KeyringOptions['unreadable']): ApiKey {
  const { id, createdAt, name, team, role = 'app', tags, routes, models, expiresAt } = key
  let sound = true
  const rules =
    key.limits === undefined && key.budgets === undefined
      ? undefined
      : readRules(key, () => {
          sound = false
        })
  if (!sound) unreadable?.(key)
  return {
    id,
    createdAt,
    name,
    role,
    team,
    tags,
    routes,
    models,
    ...rules,
    expiresAt,
    disabled: key.disabled || !sound,
  }
}
