// The sockets to upstreams: one undici pool per origin, kept across swaps, never destroyed with requests in flight.
import { createRequire } from 'node:module'
import type { Pool as UndiciPool } from 'undici'

/** undici in whole is 110 files, of which a pool needs 22: that is an eighth of the time until the first answer. */
const Pool = createRequire(import.meta.url)('undici/lib/dispatcher/pool.js') as typeof UndiciPool

export interface Pools {
  /** The pool for a target's origin. */
  of(origin: string, connectTimeout: number): UndiciPool
  /** Counts of sockets for `/status`. */
  stats(): { origin: string; connected: number; free: number; running: number; queued: number }[]
  /** Waits for what runs, then closes. */
  close(): Promise<void>
}

/** `connections`: most sockets to one origin. */
export function createPools(connections: number): Pools {
  const pools = new Map<string, UndiciPool>()
  return {
    of(origin, connectTimeout) {
      const key = `${origin} ${connectTimeout}`
      let pool = pools.get(key)
      if (!pool) {
        pool = new Pool(origin, {
          connections,
          pipelining: 1,
          connect: { timeout: connectTimeout, noDelay: true },
          // Deadlines are ours: the first token, the gap between tokens and the whole, which undici cannot tell apart.
          headersTimeout: 0,
          bodyTimeout: 0,
          keepAliveTimeout: 30_000,
          keepAliveMaxTimeout: 300_000,
          maxHeaderSize: 64 * 1024,
        })
        pools.set(key, pool)
      }
      return pool
    },
    stats() {
      return [...pools].map(([key, pool]) => {
        const { connected, free, running, queued } = pool.stats
        return { origin: key.split(' ', 1)[0]!, connected, free, running, queued }
      })
    },
    async close() {
      await Promise.all([...pools.values()].map(closeIdle))
    },
  }
}

/** Waits for what runs. A connection that is still being dialled for somebody who has gone is not waited for: that may take seconds. */
async function closeIdle(pool: UndiciPool): Promise<void> {
  while (pool.stats.running > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await pool.destroy()
}
