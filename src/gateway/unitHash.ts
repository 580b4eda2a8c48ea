// Hashes units for the ledger: who they are must not be in it, and the same one comes back with every request.
import { createHmac } from 'node:crypto'

/** Units of the recent past; conversations and users come back within minutes. */
const most = 10_000

/** `n_` and 128 bits of HMAC-SHA-256. The recent ones are remembered, because a hash costs more than all the rest of an assignment. */
export function unitHasher(secret: Buffer): (unit: string) => string {
  const known = new Map<string, string>()
  return (unit) => {
    let hash = known.get(unit)
    if (hash === undefined) {
      const digest = createHmac('sha256', secret).update('unit\0').update(unit).digest()
      hash = `n_${digest.subarray(0, 16).toString('base64url')}`
      if (known.size >= most) known.delete(known.keys().next().value!)
      known.set(unit, hash)
    }
    return hash
  }
}
