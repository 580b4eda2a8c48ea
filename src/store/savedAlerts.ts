// Keeps what was told of alerts last, across restarts.
import type { Store } from './open.ts'
import { writeSteadily } from './steady.ts'

export interface SavedAlert {
  readonly rule: string
  readonly entity: string
  readonly firing: boolean
  /** Unix milliseconds. */
  readonly since: number
  readonly toldAt: number
  readonly value: number
  readonly threshold: number
  readonly level?: number | undefined
  readonly reset?: number | null | undefined
  readonly limit?: number | undefined
}

export interface SavedAlerts {
  load(): SavedAlert[]
  save(alert: SavedAlert): void
  forget(rule: string, entity: string): void
  /** Resolves when all of it is written, or was given up. */
  settled(): Promise<void>
}

/** Writes go one after the other in the background; `failed` is told of each that was given up. */
export function openSavedAlerts(store: Store, failed: (error: unknown) => void): SavedAlerts {
  const { db } = store
  let last: Promise<void> = Promise.resolve()
  const later = (work: () => unknown): void => {
    last = last.then(() => writeSteadily(store, () => void work())).catch(failed)
  }
  return {
    load: () =>
      (
        db
          .prepare(
            `SELECT rule, entity, firing, since, told_at AS toldAt, value, threshold, level, reset, budget_limit AS "limit" FROM alert`,
          )
          .all() as (Omit<SavedAlert, 'firing'> & { firing: number })[]
      ).map(({ firing, level, limit, ...row }) => ({
        ...row,
        firing: firing === 1,
        level: level ?? undefined,
        limit: limit ?? undefined,
      })),
    save: ({ firing, level, reset, limit, ...alert }) =>
      later(() =>
        db
          .prepare(
            `INSERT OR REPLACE INTO alert (rule, entity, firing, since, told_at, value, threshold, level, reset, budget_limit)
             VALUES (@rule, @entity, @firing, @since, @toldAt, @value, @threshold, @level, @reset, @limit)`,
          )
          .run({ ...alert, firing: firing ? 1 : 0, level: level ?? null, reset: reset ?? null, limit: limit ?? null }),
      ),
    forget: (rule, entity) =>
      later(() => db.prepare('DELETE FROM alert WHERE rule = ? AND entity = ?').run(rule, entity)),
    settled: () => last,
  }
}
