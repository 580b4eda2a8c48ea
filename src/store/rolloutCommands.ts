// Remembers commands on rollouts by their `Idempotency-Key`, so that a repeated one acts once.
import type { CommandKey, RememberedCommand } from '../config/rolloutTypes.ts'
import type { Sqlite } from './driver.ts'

/** How long, and how many at most: those who repeat a command do so soon. */
const kept = { ms: 86_400_000, count: 1000 }

export function findCommand(db: Sqlite, id: string, now = Date.now()): RememberedCommand | undefined {
  const row = db
    .prepare('SELECT fingerprint, rollout, reply FROM rollout_command WHERE id = ? AND at > ?')
    .get(id, now - kept.ms) as { fingerprint: string; rollout: number | null; reply: string | null } | undefined
  if (!row) return undefined
  const { fingerprint, rollout, reply } = row
  return {
    fingerprint,
    rollout: rollout ?? undefined,
    reply: reply === null ? undefined : (JSON.parse(reply) as unknown),
  }
}

/** Within the transaction of what it has done. Forgets what is too old or too much. @param rollout undefined = all */
export function rememberCommand(db: Sqlite, key: CommandKey, rollout: number | undefined, now = Date.now()): void {
  const { id, fingerprint, reply } = key
  db.prepare('DELETE FROM rollout_command WHERE at <= ? OR id = ?').run(now - kept.ms, id)
  db.prepare('INSERT INTO rollout_command (id, fingerprint, rollout, at, reply) VALUES (?, ?, ?, ?, ?)').run(
    id,
    fingerprint,
    rollout ?? null,
    now,
    reply === undefined ? null : JSON.stringify(reply),
  )
  db.prepare(
    'DELETE FROM rollout_command WHERE rowid NOT IN (SELECT rowid FROM rollout_command ORDER BY at DESC, rowid DESC LIMIT ?)',
  ).run(kept.count)
}

/** Adds the answer; also where nothing was done, because there was nothing to do. */
export function answerCommand(
  db: Sqlite,
  key: CommandKey,
  rollout: number | undefined,
  reply: unknown,
  now = Date.now(),
): void {
  const add = db.prepare('UPDATE rollout_command SET reply = ? WHERE id = ?')
  if (add.run(JSON.stringify(reply), key.id).changes === 0) rememberCommand(db, { ...key, reply }, rollout, now)
}
