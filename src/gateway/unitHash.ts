// Hashes units for the ledger: who they are, and what they have said, must not be in it, nor to be found by trying.
import { createHmac } from 'node:crypto'
import type { Opening } from '../rollouts/opening.ts'
import { TextHash } from '../rollouts/textHash.ts'

/**
 * The installation's hash of a unit, 64 bits as base64url. Computed anew each time: to remember units would cost more, and would keep their words.
 * @param secret of the installation; what is derived of it here is used for nothing else
 * @returns a function of the unit, and of the API key that the opening of a conversation came with
 */
export function unitHasher(secret: Buffer): (unit: string | Opening, apiKey?: string) => string {
  const hash = new TextHash(createHmac('sha256', secret).update('unit').digest().subarray(0, 16))
  return (unit, apiKey) => (typeof unit === 'string' ? hash.ofText(unit) : hash.ofOpening(unit, apiKey))
}
