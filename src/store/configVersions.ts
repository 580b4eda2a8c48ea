// Keeps versions of the configuration, the overlay of admin writes and the bypass switch in the database.
import type { ConfigMemory, Overlay, Version, VersionLine } from '../config/memory.ts'
import type { Store } from './open.ts'
import { writeSteadily } from './steady.ts'

/** Versions kept; documents that several of them share are kept once. */
const maxVersions = 1000

const line = 'v.number, v.at, v.hash, v.source, v.actor, v.note'
const whole = `SELECT ${line}, d.text AS document FROM config_version v JOIN config_document d ON d.hash = v.hash`

/** @param store open as long as this is used; read-only stores can read */
export function openConfigVersions(store: Store): ConfigMemory {
  const { db } = store
  const writeOverlay = (overlay: Overlay | undefined): void => {
    if (!overlay) {
      db.prepare('DELETE FROM config_overlay').run()
      return
    }
    db.prepare(
      `INSERT INTO config_overlay (id, base_hash, document, primaries, changes) VALUES (1, @base, @document, @primaries, @changes)
       ON CONFLICT DO UPDATE SET base_hash = @base, document = @document, primaries = @primaries, changes = @changes`,
    ).run({
      base: overlay.baseHash,
      document: overlay.document ?? null,
      primaries: JSON.stringify(overlay.primaries),
      changes: JSON.stringify(overlay.changes),
    })
  }
  return {
    newest: () => db.prepare(`${whole} ORDER BY v.number DESC LIMIT 1`).get() as Version | undefined,
    version: (number) => db.prepare(`${whole} WHERE v.number = ?`).get(number) as Version | undefined,
    versions: (limit, before) =>
      db
        .prepare(`SELECT ${line} FROM config_version v WHERE v.number < ? ORDER BY v.number DESC LIMIT ?`)
        .all(before ?? Number.MAX_SAFE_INTEGER, limit) as VersionLine[],
    overlay() {
      const row = db.prepare('SELECT base_hash, document, primaries, changes FROM config_overlay').get() as
        | { base_hash: string; document: string | null; primaries: string; changes: string }
        | undefined
      return (
        row && {
          baseHash: row.base_hash,
          document: row.document ?? undefined,
          primaries: JSON.parse(row.primaries) as Record<string, string>,
          changes: JSON.parse(row.changes) as string[],
        }
      )
    },
    bypass: () =>
      db.prepare("SELECT reason, actor, at FROM operator_switch WHERE name = 'bypass'").get() as
        | { reason: string; actor: string; at: number }
        | undefined,
    save: (version, overlay) =>
      writeSteadily(store, () => {
        const { document, ...row } = version
        db.prepare('INSERT INTO config_document (hash, text) VALUES (?, ?) ON CONFLICT DO NOTHING').run(
          row.hash,
          document,
        )
        db.prepare(
          'INSERT INTO config_version (number, at, hash, source, actor, note) VALUES (@number, @at, @hash, @source, @actor, @note)',
        ).run(row)
        writeOverlay(overlay)
        const { changes } = db.prepare('DELETE FROM config_version WHERE number <= ?').run(row.number - maxVersions)
        if (changes > 0)
          db.prepare('DELETE FROM config_document WHERE hash NOT IN (SELECT hash FROM config_version)').run()
      }),
    saveOverlay: (overlay) => writeSteadily(store, () => writeOverlay(overlay)),
    saveBypass: (bypass) =>
      writeSteadily(store, () => {
        db.prepare("DELETE FROM operator_switch WHERE name = 'bypass'").run()
        if (bypass)
          db.prepare(
            "INSERT INTO operator_switch (name, reason, actor, at) VALUES ('bypass', @reason, @actor, @at)",
          ).run(bypass)
      }),
  }
}
