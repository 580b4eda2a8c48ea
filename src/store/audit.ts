// The audit trail: who did what to the gateway. Rows are added and never changed; the database itself refuses that.
import type { Store } from './open.ts'
import { writeSteadily } from './steady.ts'

export interface AuditEntry {
  /** Name and role of the key that did it. */
  readonly actor: string
  readonly role: string
  /** What was done: `set-primary`, `bypass`, … */
  readonly verb: string
  /** To what: a route, a target, a version; may be empty. */
  readonly subject: string
  /** How it was and how it is now. Handed in without secrets and before variables are replaced. */
  readonly before: unknown
  readonly after: unknown
}

export interface AuditRow extends AuditEntry {
  readonly id: number
  /** Unix milliseconds. */
  readonly at: number
}

export interface Audit {
  /** Resolves when the row is written; rejects with `LedgerError`. */
  add(entry: AuditEntry): Promise<void>
  /** Newest first, those below `before`. */
  list(limit: number, before?: number): AuditRow[]
}

/** The audit trail of an open database. @param now Unix milliseconds */
export function openAudit(store: Store, now: () => number = Date.now): Audit {
  const { db } = store
  return {
    add: ({ before, after, ...entry }) =>
      writeSteadily(store, () => {
        db.prepare(
          'INSERT INTO audit (at, actor, role, verb, subject, before, after) VALUES (@at, @actor, @role, @verb, @subject, @before, @after)',
        ).run({ ...entry, at: now(), before: JSON.stringify(before ?? null), after: JSON.stringify(after ?? null) })
      }),
    list: (limit, before) =>
      (
        db
          .prepare('SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?')
          .all(before ?? Number.MAX_SAFE_INTEGER, limit) as (AuditRow & { before: string; after: string })[]
      ).map((row) => ({ ...row, before: JSON.parse(row.before), after: JSON.parse(row.after) })),
  }
}
