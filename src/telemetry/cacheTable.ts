// The metrics of the response cache.
import type { MetricSpec } from './metricTable.ts'

export const cacheTable = {
  cacheRequests: {
    kind: 'counter',
    name: 'turnout_cache_requests_total',
    help: 'Requests on routes with a cache, by route and what it did: hit, stale, coalesced (shared the call of another one), miss, bypass (not asked), refresh (its own call for a stale answer).',
    labels: ['route', 'status'],
    read: true,
  },
  cacheStored: {
    kind: 'counter',
    name: 'turnout_cache_stored_total',
    help: 'Answers that the cache took in, by route.',
    labels: ['route'],
    read: true,
  },
  cacheUnkept: {
    kind: 'counter',
    name: 'turnout_cache_unkept_total',
    help: 'Answers that were not good enough to be kept, by route and reason.',
    labels: ['route', 'reason'],
    read: true,
  },
  cacheSaved: {
    kind: 'counter',
    name: 'turnout_cache_saved_usd_total',
    help: 'What requests did not cost because the cache answered them, in USD, by route. Of answers with a known price.',
    labels: ['route'],
    read: true,
  },
  cacheRemoved: {
    kind: 'counter',
    name: 'turnout_cache_removed_total',
    help: 'Answers that left the cache, by reason: room (their place was needed), expired, replaced, removed (by an operator or an aborted rollout).',
    labels: ['reason'],
    read: true,
  },
  cacheEntries: {
    kind: 'gauge',
    name: 'turnout_cache_entries',
    help: 'Answers in the cache, by route.',
    labels: ['route'],
  },
  cacheBytes: {
    kind: 'gauge',
    name: 'turnout_cache_bytes',
    help: 'Memory that the answers of a route take in the cache, in bytes.',
    labels: ['route'],
  },
  cacheSize: {
    kind: 'gauge',
    name: 'turnout_cache_size_bytes',
    help: 'Memory that all answers in the cache may take, in bytes.',
    labels: [],
  },
  cacheDiskEntries: {
    kind: 'gauge',
    name: 'turnout_cache_disk_entries',
    help: 'Answers in the file that keeps them for the next process. No series where `cache.persist` is off.',
    labels: [],
  },
  cacheDiskBytes: {
    kind: 'gauge',
    name: 'turnout_cache_disk_bytes',
    help: 'Size of that file, in bytes.',
    labels: [],
  },
  cacheDiskSize: {
    kind: 'gauge',
    name: 'turnout_cache_disk_size_bytes',
    help: 'Most bytes that the file may take.',
    labels: [],
  },
  cacheDiskWorking: {
    kind: 'gauge',
    name: 'turnout_cache_disk_working',
    help: '1 while the file can be used, 0 after it could not.',
    labels: [],
  },
  cacheDiskAnswers: {
    kind: 'counter',
    name: 'turnout_cache_disk_answers_total',
    help: 'Answers and the file, by event: written, read (taken up after the start), skipped (more came than the disk takes, or one too large for it), failed (the file could not be written), damaged (not what was written, and deleted).',
    labels: ['event'],
    read: true,
  },
  cacheFollowers: {
    kind: 'gauge',
    name: 'turnout_cache_followers',
    help: 'Requests that wait for the call of another one at the moment.',
    labels: [],
  },
} as const satisfies Record<string, MetricSpec>
