// The copy of the cache's answers that outlives the process: what the cache asks of it, and the form in which it gets them.
import type { CacheEntry, EntryFilter } from './entry.ts'
import { exactly } from './pack.ts'

/** An answer as the copy keeps it. Times are Unix milliseconds. */
export interface DiskRow {
  readonly key: string
  readonly route: string
  readonly target: string
  readonly owner: string | null
  readonly storedAt: number
  readonly deadAt: number
  /** The rest of the entry, as JSON. */
  readonly facts: string
  readonly body: Uint8Array
}

/** What was done since the start, in answers. */
export type DiskEvent = 'written' | 'read' | 'skipped' | 'failed' | 'damaged'

/** It may lose any answer at any time, but gives none back in part, and none that was removed. */
export interface CacheDisk {
  /** Returns at once. */
  put(row: DiskRow): void
  /** Resolves to how many there were, when they are gone for good. Rejects when that cannot be. */
  remove(filter: EntryFilter): Promise<number>
  /** The latest answers that fit in `room` bytes, with `each` bytes on top of every one; oldest first. Never throws. */
  load(room: number, each: number): AsyncIterable<readonly DiskRow[]>
  /** Resolves when what was put is there, or cannot be. */
  flushed(): Promise<void>
  sweep(): void
  /** Another bound, in bytes. */
  resize(size: number): void
  readonly counts: Readonly<Record<DiskEvent, number>>
  readonly entries: number
  readonly bytes: number
  readonly size: number
  readonly working: boolean
  close(): Promise<void>
}

/** Where the copy may be. */
export interface DiskPlace {
  open(size: number): CacheDisk
  /** Deletes a copy that is no longer wanted. */
  discard(): Promise<void>
}

/** What of an entry is not said by the row itself. */
type Facts = Pick<
  CacheEntry,
  'provider' | 'model' | 'framing' | 'contentType' | 'packed' | 'replyId' | 'usage' | 'cost' | 'dropped' | 'expiresAt'
>

export function rowOf(entry: CacheEntry): DiskRow {
  const { key, route, target, owner = null, storedAt, deadAt, body } = entry
  const { provider, model, framing, contentType, packed, replyId, usage, cost, dropped, expiresAt } = entry
  const facts: Facts = { provider, model, framing, contentType, packed, replyId, usage, cost, dropped, expiresAt }
  return { key, route, target, owner, storedAt, deadAt, facts: JSON.stringify(facts), body }
}

/** The bytes are copied: those of the row may be part of a larger piece of memory. */
export function entryOfRow({ key, route, target, owner, storedAt, deadAt, facts, body }: DiskRow): CacheEntry {
  const { replyId, usage, ...rest } = JSON.parse(facts) as Facts
  return {
    ...rest,
    key,
    route,
    target,
    replyId,
    usage,
    owner: owner ?? undefined,
    storedAt,
    deadAt,
    body: exactly(body),
  }
}
