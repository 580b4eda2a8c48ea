// Proofs of thought: a vendor gives them with its thoughts and wants them back unchanged. Ours can be checked without remembering them.
import { digest } from './random.ts'

/** Base64, as vendors write theirs. Says by whom and for what it was made. */
export function sign(vendor: string, ...what: string[]): string {
  return Buffer.concat([Buffer.from(`${vendor}:`), digest(vendor, ...what)]).toString('base64')
}

/** Whether the vendor made it, for whatever it was. */
export function isOurs(signature: string, vendor: string): boolean {
  const bytes = Buffer.from(signature, 'base64')
  return bytes.length === vendor.length + 33 && bytes.toString('latin1', 0, vendor.length + 1) === `${vendor}:`
}
