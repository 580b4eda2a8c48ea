// Turns texts that come again and again (routes, models, keys) into small numbers, so that ledger rows stay narrow.
import type { Sqlite, Statement } from './driver.ts'

/** Texts kept in memory. The table holds all; one that fell out costs one look-up. */
const maxCached = 20_000
const maxLength = 200

export interface Numbers {
  /** The number of a text, made if need be. Call inside a transaction. */
  idOf(text: string): number
  /** Call after a rollback: numbers made since the last `keep` are void. */
  forget(): void
  /** Call after a commit. */
  keep(): void
}

/** A table that gives numbers to texts. */
export interface Numbering {
  find(text: string): number | undefined
  make(text: string): number
}

/** A cache over a table that numbers texts. What was made in a transaction counts only after `keep`. */
export function makeNumbers({ find, make }: Numbering): Numbers {
  const cache = new Map<string, number>()
  const fresh: string[] = []

  function load(text: string): number {
    const found = find(text)
    if (cache.size >= maxCached) cache.clear()
    const id = found ?? make(text)
    cache.set(text, id)
    if (found === undefined) fresh.push(text)
    return id
  }

  return {
    idOf: (text) => cache.get(text) ?? load(text),
    forget() {
      for (const text of fresh) cache.delete(text)
      fresh.length = 0
    },
    keep() {
      fresh.length = 0
    },
  }
}

export interface Names extends Omit<Numbers, 'idOf'> {
  /** 0 for none. */
  idOf(text: string | undefined): number
}

/** The numbers of the table `name`. Texts beyond 200 characters are cut. */
export function makeNames(db: Sqlite): Names {
  const find: Statement = db.prepare('SELECT id FROM name WHERE text = ?').pluck()
  const insert: Statement = db.prepare('INSERT INTO name (text) VALUES (?)')
  const { idOf, ...rest } = makeNumbers({
    find: (text) => find.get(text) as number | undefined,
    make: (text) => Number(insert.run(text).lastInsertRowid),
  })
  return {
    idOf: (text) => (!text ? 0 : idOf(text.length > maxLength ? text.slice(0, maxLength) : text)),
    ...rest,
  }
}
