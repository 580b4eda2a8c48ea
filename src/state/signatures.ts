// Keeps vendors' thought signatures by tool-call id, for clients whose wire format has no place for them. Bounded; tenants apart.
import type { SignatureStore } from '../dialects/dialect.ts'

export interface Signatures {
  /** The view of one tenant: it finds only what it put. */
  of(tenant: string): SignatureStore
}

/** Signatures are a few kilobytes; a tool loop needs its last turns only. */
const MAX_BYTES = 32 * 1024 * 1024

/** Least recently used out first. A lost signature costs quality, not correctness: the dialect has a documented stand-in. */
export function createSignatures(maxBytes = MAX_BYTES): Signatures {
  const kept = new Map<string, string>()
  let bytes = 0
  const drop = (key: string): void => {
    const value = kept.get(key)
    if (value === undefined) return
    kept.delete(key)
    bytes -= key.length + value.length
  }
  return {
    of(tenant) {
      const keyOf = (id: string): string => `${tenant}\u0000${id}`
      return {
        get(id) {
          const key = keyOf(id)
          const value = kept.get(key)
          if (value === undefined) return undefined
          kept.delete(key)
          kept.set(key, value)
          return value
        },
        put(id, signature) {
          const key = keyOf(id)
          drop(key)
          if (key.length + signature.length > maxBytes / 16) return
          kept.set(key, signature)
          bytes += key.length + signature.length
          while (bytes > maxBytes) drop(kept.keys().next().value!)
        },
      }
    },
  }
}
