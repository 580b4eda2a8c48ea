// Remembers commands on rollouts by their `Idempotency-Key`, so that a repeated one acts once.
import type { CommandKey, RememberedCommand } from '../config/rolloutTypes.ts'
import type { Sqlite } from './driver.ts'

/** How long, and how many at most: those who repeat a command do so soon. */
const kept = { ms: 86_400_000, count: 1000 }

export function findCommand(db: Sqlite, id: string, now = Date.now()): RememberedCommand | undefined {
  const row = db
    .prepare('SELECT fingerprint, rollout, reply FROM rollout_command WHERE id = ? AND at > ?')
    .get(id, now - kept.ms) as { fingerprint: string; rollout: number; reply: string | null } | undefined
  if (!row) return undefined
  const { fingerprint, rollout, reply } = row
  return { fingerprint, rollout, reply: reply === null ? undefined : (JSON.parse(reply) as unknown) }
}

/** Within the transaction of what it has done. Forgets what is too old or too much. */
export function rememberCommand(db: Sqlite, { id, fingerprint }: CommandKey, rollout: number, now = Date.now()): void {
  db.prepare('DELETE FROM rollout_command WHERE at <= ? OR id = ?').run(now - kept.ms, id)
  db.prepare('INSERT INTO rollout_command (id, fingerprint, rollout, at) VALUES (?, ?, ?, ?)').run(
    id,
    fingerprint,
    rollout,
    now,
  )
  db.prepare(
    'DELETE FROM rollout_command WHERE rowid NOT IN (SELECT rowid FROM rollout_command ORDER BY at DESC, rowid DESC LIMIT ?)',
  ).run(kept.count)
}

/** Adds the answer; also where nothing was done, because there was nothing to do. */
export function answerCommand(db: Sqlite, key: CommandKey, rollout: number, reply: unknown, now = Date.now()): void {
  const add = db.prepare('UPDATE rollout_command SET reply = ? WHERE id = ?')
  const text = JSON.stringify(reply)
  if (add.run(text, key.id).changes > 0) return
  rememberCommand(db, key, rollout, now)
  add.run(text, key.id)
}
