// Compresses large answers, off the event loop.
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import type { CacheEntry } from './entry.ts'

const deflate = promisify(deflateRaw)
const inflate = promisify(inflateRaw)

/** The packed form of an entry; undefined where that would save less than an eighth. */
export async function pack(entry: CacheEntry): Promise<CacheEntry | undefined> {
  // Level 1: JSON and event streams shrink to a fifth at once, and little more at a multiple of the time.
  const packed = await deflate(entry.body, { level: 1 })
  if (packed.length > entry.body.length * 0.875) return undefined
  return { ...entry, body: exactly(packed), packed: true }
}

/** The body of an entry as it was. */
export function unpack({ body, packed }: CacheEntry): Buffer | Promise<Buffer> {
  return packed ? inflate(body) : body
}

/** A copy in memory of its own: a view of a larger buffer would keep all of that alive. */
export function exactly(...pieces: readonly Uint8Array[]): Buffer {
  let length = 0
  for (const piece of pieces) length += piece.length
  const whole = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
