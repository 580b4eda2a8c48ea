// The virtual keys in memory: found by digest, changed at once, kept in the store behind it.
import { createHmac, randomBytes } from 'node:crypto'
import type { ApiKey } from '../config/snapshot.ts'

/** What a key may do and where it belongs, as an operator sets it. Times in Unix milliseconds. */
export interface KeyFacts {
  readonly name: string
  readonly team?: string | undefined
  readonly tags?: Readonly<Record<string, string>> | undefined
  readonly routes?: readonly string[] | undefined
  readonly models?: readonly string[] | undefined
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

/** Where keys are kept: the store's, or nothing. */
export interface KeyKeeper {
  all(): VirtualKey[]
  insert(row: Omit<VirtualKey, 'id'>): VirtualKey
  update(row: VirtualKey): void
  remove(id: number): void
}

export interface Keyring {
  readonly size: number
  /** The key of a shown secret, whether or not it may be used now. By digest alone, so that the secret's characters mean nothing. */
  find(secret: string): ApiKey | undefined
  list(): readonly VirtualKey[]
  get(id: number): VirtualKey | undefined
  /** Makes a key; the secret is returned here and never again. */
  create(facts: KeyFacts): { key: VirtualKey; secret: string }
  /** @returns undefined when there is no such key */
  change(id: number, facts: Partial<KeyFacts>): VirtualKey | undefined
  /** A new secret; the old one is good for `grace` milliseconds more. */
  rotate(id: number, grace: number): { key: VirtualKey; secret: string } | undefined
  remove(id: number): VirtualKey | undefined
}

/** `tk-` and 256 random bits, URL-safe. */
const newSecret = (): string => `tk-${randomBytes(32).toString('base64url')}`

/** @param pepper the installation's secret: without it the stored digests are of no use to a thief */
export function createKeyring(keeper: KeyKeeper, pepper: Buffer, now: () => number = Date.now): Keyring {
  const byId = new Map<number, VirtualKey>()
  /** What requests carry is made once a change, not once a request. */
  const byDigest = new Map<string, { key: ApiKey; until: number | undefined }>()
  const digestOf = (secret: string): string =>
    createHmac('sha256', pepper).update('key\0').update(secret).digest('base64url')

  const forget = (key: VirtualKey): void => {
    byId.delete(key.id)
    byDigest.delete(key.digest)
    if (key.oldDigest) byDigest.delete(key.oldDigest)
  }
  const know = (key: VirtualKey): VirtualKey => {
    byId.set(key.id, key)
    const carried = carriedOf(key)
    byDigest.set(key.digest, { key: carried, until: undefined })
    if (key.oldDigest) byDigest.set(key.oldDigest, { key: carried, until: key.oldUntil })
    return key
  }
  const replace = (old: VirtualKey, next: VirtualKey): VirtualKey => {
    keeper.update(next)
    forget(old)
    return know(next)
  }
  for (const key of keeper.all()) know(key)

  return {
    get size() {
      return byId.size
    },
    find(secret) {
      const found = byDigest.get(digestOf(secret))
      return found && (found.until === undefined || found.until > now()) ? found.key : undefined
    },
    list: () => [...byId.values()],
    get: (id) => byId.get(id),
    create(facts) {
      const secret = newSecret()
      const at = now()
      const made = { oldDigest: undefined, oldUntil: undefined, createdAt: at, updatedAt: at }
      const key = keeper.insert({ ...facts, ...made, digest: digestOf(secret), hint: secret.slice(-4) })
      return { key: know(key), secret }
    },
    change(id, facts) {
      const old = byId.get(id)
      return old && replace(old, { ...old, ...facts, updatedAt: now() })
    },
    rotate(id, grace) {
      const old = byId.get(id)
      if (!old) return undefined
      const secret = newSecret()
      const at = now()
      const key = replace(old, {
        ...old,
        digest: digestOf(secret),
        hint: secret.slice(-4),
        oldDigest: grace > 0 ? old.digest : undefined,
        oldUntil: grace > 0 ? at + grace : undefined,
        updatedAt: at,
      })
      return { key, secret }
    },
    remove(id) {
      const old = byId.get(id)
      if (!old) return undefined
      keeper.remove(id)
      forget(old)
      return old
    },
  }
}

function carriedOf(key: VirtualKey): ApiKey {
  return {
    name: key.name,
    role: 'app',
    team: key.team,
    tags: key.tags,
    routes: key.routes,
    models: key.models,
    expiresAt: key.expiresAt,
    disabled: key.disabled,
  }
}
