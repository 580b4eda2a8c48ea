// Keeps which targets are shut, so that a restart does not send them everything at once.
import type { Store } from './open.ts'
import { writeSteadily } from './steady.ts'

export type SavedState = 'closed' | 'open' | 'half_open' | 'disabled'

export interface SavedTarget {
  readonly target: string
  readonly state: SavedState
  readonly reason: string
  /** Unix milliseconds until which it stays open, where there is such a time. */
  readonly until: number | undefined
}

export interface SavedTargets {
  /** Those that are not closed. */
  list(): SavedTarget[]
  /** Resolves when it is written; a closed target is forgotten. Rejects with `LedgerError`. */
  save(target: SavedTarget): Promise<void>
}

/** The saved states of an open database. @param now Unix milliseconds */
export function openSavedHealth(store: Store, now: () => number = Date.now): SavedTargets {
  const { db } = store
  // One after the other: an older state that had to wait must not overwrite a newer one.
  let last: Promise<void> = Promise.resolve()
  const inTurn = (work: () => void): Promise<void> => {
    const done = last.then(() => writeSteadily(store, work))
    last = done.catch(() => {})
    return done
  }
  return {
    list: () =>
      (
        db.prepare('SELECT target, state, reason, until FROM target_health ORDER BY target').all() as {
          target: string
          state: SavedState
          reason: string
          until: number | null
        }[]
      ).map((row) => ({ ...row, until: row.until ?? undefined })),
    save: ({ target, state, reason, until }) =>
      inTurn(() => {
        if (state === 'closed') db.prepare('DELETE FROM target_health WHERE target = ?').run(target)
        else
          db.prepare(
            `INSERT INTO target_health (target, state, reason, until, at) VALUES (@target, @state, @reason, @until, @at)
             ON CONFLICT DO UPDATE SET state = @state, until = @until, at = @at,
               -- Why it was shut stays the reason while it is tried again.
               reason = CASE @state WHEN 'half_open' THEN reason ELSE @reason END`,
          ).run({ target, state, reason, until: until ?? null, at: now() })
      }),
  }
}
