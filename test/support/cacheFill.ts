// Stores ten times what fits into a cache, in a process of its own, and prints how much memory that took at most.
import { randomBytes } from 'node:crypto'
import { ENTRY_OVERHEAD } from '../../src/state/cache/entry.ts'
import { exactly } from '../../src/state/cache/pack.ts'
import { createResponseCache } from '../../src/state/cache/responseCache.ts'

const [size, body] = process.argv.slice(2, 4).map(Number) as [number, number]
const compressAbove = process.argv[4] === 'compressed' ? 16 * 1024 : Number.POSITIVE_INFINITY
const cache = createResponseCache({
  settings: { size, compressAbove, persist: false, diskSize: size },
})
globalThis.gc!()
const before = process.memoryUsage().rss
let most = 0
let bytes = 0
let over = 0
// Half of it can be compressed away.
const vendors = Buffer.concat([randomBytes(32 * 1024), Buffer.alloc(32 * 1024, 'x')])
/** Answers of one turn of the event loop: many more than ever come in one. */
const TURN = body > 50_000 ? 20 : 1000
for (let n = 0; bytes < 10 * size; n++) {
  // Lengths differ, as answers do, which is hard on the allocator.
  const length = Math.floor(body * (0.5 + ((n * 7919) % 1000) / 1000))
  const pieces: Buffer[] = []
  for (let left = length; left > 0; left -= vendors.length) pieces.push(vendors.subarray(0, left))
  bytes += length + ENTRY_OVERHEAD
  const at = Date.now()
  cache.stored({
    key: `key-${n}`.padEnd(43, 'k'),
    route: 'route',
    target: 'provider/model',
    provider: 'provider',
    model: 'model',
    framing: 'json',
    contentType: 'application/json',
    body: exactly(...pieces),
    packed: false,
    replyId: `chatcmpl-${n}`.padEnd(38, 'i'),
    usage: {
      input: n,
      cacheRead: 0,
      cacheWrite5m: 0,
      cacheWrite1h: 0,
      output: n,
      reasoning: 0,
      audioIn: 0,
      audioOut: 0,
    },
    cost: n,
    dropped: '',
    owner: undefined,
    storedAt: at,
    expiresAt: at + 3_600_000,
    deadAt: at + 3_600_000,
  })
  if (cache.bytes > size) over++
  if (n % TURN === 0) {
    // Between requests the event loop turns, and memory of buffers is given back.
    await new Promise((resolve) => setImmediate(resolve))
    most = Math.max(most, process.memoryUsage().rss)
  }
}
console.log(JSON.stringify({ grown: most - before, bytes: cache.bytes, entries: cache.entries, over }))
cache.close()
