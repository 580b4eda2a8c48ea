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
  cacheFollowers: {
    kind: 'gauge',
    name: 'turnout_cache_followers',
    help: 'Requests that wait for the call of another one at the moment.',
    labels: [],
  },
} as const satisfies Record<string, MetricSpec>
