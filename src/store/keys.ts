// Keeps virtual keys: small rows, read once at start, written when an operator changes one.
import type { ApiKey } from '../config/snapshot.ts'
import type { Store } from './open.ts'
import { writeSteadily } from './steady.ts'

/** One virtual key as it is kept. Times in Unix milliseconds. */
export interface KeyRow {
  id: number
  digest: string
  oldDigest: string | undefined
  oldUntil: number | undefined
  /** The last four characters of the secret. */
  hint: string
  name: string
  team: string | undefined
  role: ApiKey['role'] | undefined
  tags: Readonly<Record<string, string>> | undefined
  /** Names and patterns that a client may ask for; undefined = all. */
  routes: readonly string[] | undefined
  /** `provider/model` patterns that may serve it, checked on every hop; undefined = all. */
  models: readonly string[] | undefined
  /** Settings in the configuration's form. */
  limits: unknown
  budgets: unknown
  expiresAt: number | undefined
  disabled: boolean
  createdAt: number
  updatedAt: number
}

/** Writes wait for a locked database; they reject with `LedgerError`, and then nothing was written. */
export interface KeyStore {
  all(): KeyRow[]
  insert(row: Omit<KeyRow, 'id'>): Promise<KeyRow>
  update(row: KeyRow): Promise<void>
  remove(id: number): Promise<void>
}

type Stored = Record<string, string | number | null>

const columns = [
  'digest',
  'old_digest',
  'old_until',
  'hint',
  'name',
  'team',
  'role',
  'tags',
  'routes',
  'models',
  'limits',
  'budgets',
  'expires_at',
  'disabled',
  'created_at',
  'updated_at',
] as const

/** The virtual keys in the table `api_key`. */
export function makeKeyStore(store: Store): KeyStore {
  const { db } = store
  const insert = db.prepare(
    `INSERT INTO api_key (${columns.join(', ')}) VALUES (${columns.map((name) => `@${name}`).join(', ')})`,
  )
  const update = db.prepare(
    `UPDATE api_key SET ${columns.map((name) => `${name} = @${name}`).join(', ')} WHERE id = @id`,
  )
  const remove = db.prepare('DELETE FROM api_key WHERE id = ?')
  const all = db.prepare('SELECT * FROM api_key ORDER BY id')
  return {
    all: () => (all.all() as Stored[]).map(readRow),
    insert: (row) =>
      writeSteadily(store, () => ({ ...row, id: Number(insert.run(writeRow({ ...row, id: 0 })).lastInsertRowid) })),
    update: (row) => writeSteadily(store, () => void update.run(writeRow(row))),
    remove: (id) => writeSteadily(store, () => void remove.run(id)),
  }
}

function writeRow(row: KeyRow): Stored {
  const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))
  return {
    id: row.id,
    digest: row.digest,
    old_digest: row.oldDigest ?? null,
    old_until: row.oldUntil ?? null,
    hint: row.hint,
    name: row.name,
    team: row.team ?? null,
    role: row.role ?? 'app',
    tags: json(row.tags),
    routes: json(row.routes),
    models: json(row.models),
    limits: json(row.limits),
    budgets: json(row.budgets),
    expires_at: row.expiresAt ?? null,
    disabled: row.disabled ? 1 : 0,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
  }
}

function readRow(stored: Stored): KeyRow {
  const json = (value: string | number | null | undefined): never =>
    (typeof value === 'string' ? JSON.parse(value) : undefined) as never
  return {
    id: stored.id as number,
    digest: stored.digest as string,
    oldDigest: (stored.old_digest as string | null) ?? undefined,
    oldUntil: (stored.old_until as number | null) ?? undefined,
    hint: stored.hint as string,
    name: stored.name as string,
    team: (stored.team as string | null) ?? undefined,
    role: stored.role as ApiKey['role'],
    tags: json(stored.tags),
    routes: json(stored.routes),
    models: json(stored.models),
    limits: json(stored.limits),
    budgets: json(stored.budgets),
    expiresAt: (stored.expires_at as number | null) ?? undefined,
    disabled: stored.disabled === 1,
    createdAt: stored.created_at as number,
    updatedAt: stored.updated_at as number,
  }
}
