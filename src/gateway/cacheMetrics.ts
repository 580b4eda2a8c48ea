// Shows the response cache on /metrics.
import type { CacheDisk } from '../state/cache/disk.ts'
import type { CacheCounts, ResponseCache } from '../state/cache/responseCache.ts'
import type { Sample } from '../telemetry/families.ts'
import type { Metrics } from '../telemetry/metrics.ts'

const NANO = 1_000_000_000

/** Call once. Only routes that have a cache, or had one, have series. */
export function showCache(metrics: Metrics, cache: ResponseCache): void {
  const each = (of: (counts: Readonly<CacheCounts>, route: string) => Sample[]): Sample[] =>
    [...cache.counts()].flatMap(([route, counts]) => of(counts, route))
  metrics.gauge('cacheRequests', () =>
    each(({ requests }, route) =>
      Object.entries(requests).map(([status, value]) => ({ labels: { route, status }, value })),
    ),
  )
  metrics.gauge('cacheStored', () => each(({ stored: value }, route) => [{ labels: { route }, value }]))
  metrics.gauge('cacheUnkept', () =>
    each(({ unkept }, route) =>
      Object.entries(unkept).map(([reason, value]) => ({ labels: { route, reason }, value })),
    ),
  )
  metrics.gauge('cacheSaved', () => each(({ saved }, route) => [{ labels: { route }, value: saved / NANO }]))
  metrics.gauge('cacheRemoved', () =>
    Object.entries(cache.farewells).map(([reason, value]) => ({ labels: { reason }, value })),
  )
  const holdings = (name: 'entries' | 'bytes') => (): Sample[] =>
    each((_, route) => [{ labels: { route }, value: cache.store.holdings().get(route)?.[name] ?? 0 }])
  metrics.gauge('cacheEntries', holdings('entries'))
  metrics.gauge('cacheBytes', holdings('bytes'))
  metrics.gauge('cacheSize', () => [{ labels: {}, value: cache.size }])
  const ofDisk = (of: (disk: CacheDisk) => number) => (): Sample[] =>
    cache.disk ? [{ labels: {}, value: of(cache.disk) }] : []
  metrics.gauge(
    'cacheDiskEntries',
    ofDisk(({ entries }) => entries),
  )
  metrics.gauge(
    'cacheDiskBytes',
    ofDisk(({ bytes }) => bytes),
  )
  metrics.gauge(
    'cacheDiskSize',
    ofDisk(({ size }) => size),
  )
  metrics.gauge(
    'cacheDiskWorking',
    ofDisk(({ working }) => (working ? 1 : 0)),
  )
  metrics.gauge('cacheDiskAnswers', () =>
    Object.entries(cache.disk?.counts ?? {}).map(([event, value]) => ({ labels: { event }, value })),
  )
  metrics.gauge('cacheFollowers', () => [{ labels: {}, value: cache.followers }])
}
