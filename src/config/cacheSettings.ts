// Makes the response cache's settings of what the document says.
import type { CacheFields, RouteCacheFields } from './cacheSchema.ts'
import { defaults } from './defaults.ts'

/** How answers of one route are kept. Milliseconds and bytes. */
export interface RouteCache {
  readonly ttl: number
  /** Who shares answers. A key without a team shares with nobody. */
  readonly scope: 'key' | 'team' | 'global'
  readonly maxEntryBytes: number
  readonly deterministicOnly: boolean
  readonly toolCalls: boolean
  /** 0 = never. */
  readonly staleIfError: number
  readonly staleWhileRevalidate: number
  readonly coalesce: boolean
}

/** What all routes share. Bytes. */
export interface CacheSettings {
  readonly size: number
  readonly compressAbove: number
  /** Answers outlive the process. */
  readonly persist: boolean
  /** Most bytes of the file that they are kept in then. */
  readonly diskSize: number
}

/** Undefined = the route keeps nothing. */
export function buildRouteCache(fields: RouteCacheFields): RouteCache | undefined {
  if (fields === undefined || fields === false) return undefined
  const told = fields === true ? {} : fields
  const base = defaults.cache
  return {
    ttl: told.ttl ?? base.ttl,
    scope: told.scope ?? base.scope,
    maxEntryBytes: told.maxEntryBytes ?? base.maxEntryBytes,
    deterministicOnly: told.deterministicOnly ?? true,
    toolCalls: told.toolCalls ?? false,
    staleIfError: told.staleIfError ?? 0,
    staleWhileRevalidate: told.staleWhileRevalidate ?? 0,
    coalesce: told.coalesce ?? true,
  }
}

/** The `cache` section, with gaps filled. */
export function buildCache(fields: CacheFields): CacheSettings {
  const { size, compressAbove } = defaults.cache
  const memory = fields?.size ?? size
  return {
    size: memory,
    compressAbove: fields?.compressAbove ?? compressAbove,
    persist: fields?.persist ?? false,
    diskSize: fields?.diskSize ?? memory,
  }
}
