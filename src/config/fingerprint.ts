// Tells whether two snapshots are the same configuration: everything counts but the version's number and the bypass switch.
import { createHash } from 'node:crypto'
import type { Snapshot } from './snapshot.ts'

/** Not to be shown or stored: it is made of secrets too. */
export function fingerprintOf(snapshot: Snapshot): string {
  const hash = createHash('sha256')
  // Kinds are the program's own tables, patterns and dialects follow from names: their methods and expressions need no look.
  const text = JSON.stringify({ ...snapshot, version: 0, bypass: false }, (_, value: unknown) =>
    value instanceof Map ? [...value] : value instanceof RegExp ? value.source : value,
  )
  return hash.update(text).digest('hex')
}
