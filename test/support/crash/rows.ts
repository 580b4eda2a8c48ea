// Reads the ledger from outside the gateway's process, as it lies in the file.
import { loadDriver } from '../../../src/store/driver.ts'
import type { StoredAttempt, StoredRequest } from '../../../src/store/requestRead.ts'
import { type Verification, verifyLedger } from '../../../src/store/verify.ts'

export interface Rows {
  /** By the user's hash: what makes a second row of the same request visible. */
  readonly requests: Map<string, StoredRequest[]>
  readonly attempts: Map<number, StoredAttempt[]>
  /** The greatest id of a request. */
  readonly last: number
}

/** All requests after an id, with their attempts. */
export function readRows(file: string, after: number): Rows {
  return reading(file, (db) => {
    const requests = db.prepare('SELECT * FROM requests WHERE id > ? ORDER BY id').all(after) as StoredRequest[]
    const attempts = db.prepare('SELECT * FROM attempts WHERE id > ? ORDER BY id').all(after) as StoredAttempt[]
    return {
      requests: groupBy(requests, ({ user }) => user ?? ''),
      attempts: groupBy(attempts, ({ request }) => request),
      last: requests.at(-1)?.id ?? after,
    }
  })
}

/** `turnout ledger verify`, without a process for it. */
export function verifyFile(file: string): Verification {
  return reading(file, verifyLedger)
}

/** Intents of calls that are neither settled nor in flight any more are damage. */
export function countOpen(file: string): number {
  const open = 'SELECT count(*) FROM intent i WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.id = i.id)'
  return reading(file, (db) => db.prepare(open).pluck().get() as number)
}

function reading<T>(file: string, read: (db: InstanceType<ReturnType<typeof loadDriver>>) => T): T {
  const Database = loadDriver()
  const db = new Database(file, { readonly: true, fileMustExist: true, timeout: 5000 })
  try {
    return read(db)
  } finally {
    db.close()
  }
}

/** Lists by key, in the order that they came in. */
export function groupBy<K, T>(list: readonly T[], keyOf: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const one of list) {
    const key = keyOf(one)
    const group = groups.get(key)
    if (group) group.push(one)
    else groups.set(key, [one])
  }
  return groups
}
