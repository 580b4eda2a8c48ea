// Temporary blocks of an address, an end user or a key: set by an operator, gone by themselves.
import { addressKey } from './address.ts'

export type BlockKind = 'ip' | 'user' | 'key'

export interface Block {
  readonly kind: BlockKind
  /** As `addressKey` writes it for addresses. */
  readonly value: string
  readonly reason: string
  /** Unix milliseconds. */
  readonly until: number
}

export interface Blocks {
  /** Blocks for `seconds` from now; a block of the same one is replaced. @throws RangeError when there are too many */
  add(kind: BlockKind, value: string, seconds: number, reason: string): Block
  /** False when there was none. */
  remove(kind: BlockKind, value: string): boolean
  /** The block that holds a request back. `ip` must come from `addressKey`, `user` be the same hash that was blocked. */
  find(who: { ip?: string | undefined; user?: string | undefined; key?: string | undefined }): Block | undefined
  /** Those in force, the next to end first. */
  list(): Block[]
}

const MAX_BLOCKS = 100_000

/** @param now Unix milliseconds */
export function createBlocks(now: () => number = Date.now): Blocks {
  const blocks = new Map<string, Block>()
  const idOf = (kind: BlockKind, value: string): string => `${kind} ${value}`
  const forgetEnded = (): void => {
    const at = now()
    for (const [id, { until }] of blocks) if (until <= at) blocks.delete(id)
  }
  const inForce = (kind: BlockKind, value: string | undefined): Block | undefined => {
    if (value === undefined) return undefined
    const block = blocks.get(idOf(kind, value))
    return block && block.until > now() ? block : undefined
  }
  return {
    add(kind, given, seconds, reason) {
      if (!(seconds > 0) || !Number.isFinite(seconds)) throw new RangeError('a block lasts some seconds')
      const value = kind === 'ip' ? addressKey(given) : given
      if (blocks.size >= MAX_BLOCKS) forgetEnded()
      if (blocks.size >= MAX_BLOCKS && !blocks.has(idOf(kind, value)))
        throw new RangeError(`there are ${MAX_BLOCKS} blocks already`)
      const block: Block = { kind, value, reason, until: now() + seconds * 1000 }
      blocks.set(idOf(kind, value), block)
      return block
    },
    remove: (kind, value) => blocks.delete(idOf(kind, kind === 'ip' ? addressKey(value) : value)),
    find({ ip, user, key }) {
      // Nearly always there is none: then nobody pays for it.
      if (blocks.size === 0) return undefined
      return inForce('key', key) ?? inForce('ip', ip) ?? inForce('user', user)
    },
    list() {
      forgetEnded()
      return [...blocks.values()].sort((a, b) => a.until - b.until)
    },
  }
}
