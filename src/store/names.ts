// Turns names that come again and again (routes, models, keys) into small numbers, so that ledger rows stay narrow.
import type { Sqlite, Statement } from './driver.ts'

/** Names kept in memory. The table holds all; a name that fell out costs one look-up. */
const maxCached = 20_000
const maxLength = 200

export interface Names {
  /** The number of a name, made if need be; 0 for none. Call inside a transaction. */
  idOf(text: string | undefined): number
  /** Call after a rollback: numbers made since the last `keep` are void. */
  forget(): void
  /** Call after a commit. */
  keep(): void
}

export function makeNames(db: Sqlite): Names {
  const find: Statement = db.prepare('SELECT id FROM name WHERE text = ?').pluck()
  const insert: Statement = db.prepare('INSERT INTO name (text) VALUES (?)')
  const cache = new Map<string, number>()
  const fresh: string[] = []

  function load(text: string): number {
    const found = find.get(text) as number | undefined
    if (cache.size >= maxCached) cache.clear()
    if (found !== undefined) {
      cache.set(text, found)
      return found
    }
    const made = Number(insert.run(text).lastInsertRowid)
    cache.set(text, made)
    fresh.push(text)
    return made
  }

  return {
    idOf(text) {
      if (!text) return 0
      const known = cache.get(text)
      if (known !== undefined) return known
      return load(text.length > maxLength ? text.slice(0, maxLength) : text)
    },
    forget() {
      for (const text of fresh) cache.delete(text)
      fresh.length = 0
    },
    keep() {
      fresh.length = 0
    },
  }
}
