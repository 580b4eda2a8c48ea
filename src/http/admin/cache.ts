// GET /admin/cache/stats, DELETE /admin/cache: what the response cache holds and did, and taking answers out of it.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import { formatUsd } from '../../pricing/decimal.ts'
import type { CacheDisk } from '../../state/cache/disk.ts'
import type { EntryFilter } from '../../state/cache/entry.ts'
import type { CacheCounts, ResponseCache } from '../../state/cache/responseCache.ts'
import { type AdminDeps, defineRoute } from './route.ts'
import { named, nanoUsd, usd, whole, word } from './shape.ts'

const counts = {
  hits: whole,
  misses: whole,
  stale: whole,
  coalesced: whole,
  bypassed: whole,
  refreshed: whole,
  stored: whole,
  saved_usd: usd,
  saved_nano_usd: nanoUsd,
}
const held = { entries: whole, bytes: whole }
const onDisk = { ...held, size_bytes: whole, working: z.boolean() }
const diskCounts = { written: whole, read: whole, skipped: whole, failed: whole, damaged: whole }

export const showCacheStats = defineRoute({
  method: 'GET',
  path: '/cache/stats',
  role: 'viewer',
  summary: 'What the response cache holds, what it did since the start, and what that saved, in all and by route.',
  reply: named('CacheStats', {
    object: word('cache_stats'),
    ...held,
    size_bytes: whole,
    ...counts,
    evictions: whole,
    expired: whole,
    replaced: whole,
    removed: whole,
    waiting: whole,
    disk: z.object({ ...onDisk, ...diskCounts }).nullable(),
    routes: z.array(z.object({ route: z.string(), ...held, ...counts })),
  }),
  async answer({ deps }) {
    const cache = cacheOf(deps)
    const routes = [...cache.counts()].map(([route, counts]) => ({
      route,
      entries: cache.store.holdings().get(route)?.entries ?? 0,
      bytes: cache.store.holdings().get(route)?.bytes ?? 0,
      ...presentCounts(counts),
    }))
    const { room, expired, replaced, removed } = cache.farewells
    return {
      json: {
        object: 'cache_stats',
        entries: cache.entries,
        bytes: cache.bytes,
        size_bytes: cache.size,
        ...presentCounts(sumOf(cache)),
        evictions: room,
        expired,
        replaced,
        removed,
        waiting: cache.followers,
        disk: cache.disk ? presentDisk(cache.disk) : null,
        routes,
      },
    }
  },
})

const text = z.string().min(1).max(256).optional()

export const clearCache = defineRoute({
  method: 'DELETE',
  path: '/cache',
  role: 'responder',
  summary:
    'Takes answers out of the response cache, those on their way included: all, those of a `route`, or the one whose `key` replies tell.',
  verb: 'cache-clear',
  query: z.strictObject({ route: text, key: text }),
  reply: named('CacheRemoval', {
    object: word('cache_removal'),
    route: z.string().nullable(),
    key: z.string().nullable(),
    removed: whole,
    removed_from_disk: whole.nullable(),
  }),
  async answer({ query: { route, key }, deps }) {
    const gone = await forgetAnswers(cacheOf(deps), { route, key })
    // After: answers of a route that is gone may still be in the file.
    if (route !== undefined && !gone.removed && !gone.removed_from_disk && !deps.snapshot().routes.has(route))
      throw new Refusal('not_found', `There is no route '${route}'.`, 'route')
    const facts = { route: route ?? null, key: key ?? null, ...gone }
    return {
      json: { object: 'cache_removal', ...facts },
      audit: { subject: route ?? key ?? '', before: null, after: facts },
    }
  },
})

/**
 * Takes answers out of memory and of the disk; `removed_from_disk` is null where none is used.
 * @throws Refusal `not_available` when they are out of memory, but could not be taken out of the file
 */
export async function forgetAnswers(cache: ResponseCache, filter: EntryFilter) {
  const gone = await cache.forget(filter).catch(() => {
    throw new Refusal(
      'not_available',
      "The answers are out of memory, but the cache's file could not be changed: delete `cache.db` in the data folder.",
    )
  })
  return { removed: gone.memory, removed_from_disk: gone.disk ?? null }
}

const presentDisk = ({ entries, bytes, size, working, counts }: CacheDisk) => ({
  entries,
  bytes,
  size_bytes: size,
  working,
  ...counts,
})

function cacheOf({ cache }: AdminDeps): ResponseCache {
  if (!cache) throw new Refusal('not_available', 'This server has no response cache.')
  return cache
}

type Sums = Pick<CacheCounts, 'requests' | 'stored' | 'saved'>

function sumOf(cache: ResponseCache): Sums {
  const sum: Sums = {
    requests: { hit: 0, miss: 0, stale: 0, coalesced: 0, bypass: 0, refresh: 0 },
    stored: 0,
    saved: 0,
  }
  for (const { requests, stored, saved } of cache.counts().values()) {
    for (const status of Object.keys(sum.requests) as (keyof Sums['requests'])[])
      sum.requests[status] += requests[status]
    sum.stored += stored
    sum.saved += saved
  }
  return sum
}

const presentCounts = ({ requests, stored, saved }: Sums) => ({
  hits: requests.hit,
  misses: requests.miss,
  stale: requests.stale,
  coalesced: requests.coalesced,
  bypassed: requests.bypass,
  refreshed: requests.refresh,
  stored,
  saved_usd: formatUsd(saved),
  saved_nano_usd: saved,
})
