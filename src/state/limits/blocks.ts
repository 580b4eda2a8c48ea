// Temporary blocks of an address, an end user or a key: set by an operator, gone by themselves.
import { addressKey } from './address.ts'

export const blockKinds = ['ip', 'user', 'key'] as const
export type BlockKind = (typeof blockKinds)[number]

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
  /** What was taken away; undefined when there was none. */
  remove(kind: BlockKind, value: string): Block | undefined
  /** Whether there may be any of a kind: nearly always there is none, and then nobody needs to find out who asks. */
  holds(kind: BlockKind): boolean
  /** The block that holds a request back. `ip` must come from `addressKey`, `user` be the same hash that was blocked. */
  find(kind: BlockKind, value: string): Block | undefined
  /** Those in force, the next to end first. */
  list(): Block[]
}

/** Of each kind. */
const MAX_BLOCKS = 100_000

/** @param now Unix milliseconds */
export function createBlocks(now: () => number = Date.now): Blocks {
  const blocks = { ip: new Map<string, Block>(), user: new Map<string, Block>(), key: new Map<string, Block>() }
  const nameOf = (kind: BlockKind, value: string): string => (kind === 'ip' ? addressKey(value) : value)
  const forgetEnded = (): void => {
    const at = now()
    for (const kind of blockKinds)
      for (const [name, { until }] of blocks[kind]) if (until <= at) blocks[kind].delete(name)
  }
  const find = (kind: BlockKind, name: string): Block | undefined => {
    const block = blocks[kind].get(name)
    if (!block || block.until > now()) return block
    blocks[kind].delete(name)
    return undefined
  }
  return {
    add(kind, given, seconds, reason) {
      if (!(seconds > 0) || !Number.isFinite(seconds)) throw new RangeError('a block lasts some seconds')
      const value = nameOf(kind, given)
      const known = blocks[kind]
      if (known.size >= MAX_BLOCKS) forgetEnded()
      if (known.size >= MAX_BLOCKS && !known.has(value)) throw new RangeError(`there are ${MAX_BLOCKS} blocks already`)
      const block: Block = { kind, value, reason, until: now() + seconds * 1000 }
      known.set(value, block)
      return block
    },
    remove(kind, given) {
      const value = nameOf(kind, given)
      const block = find(kind, value)
      blocks[kind].delete(value)
      return block
    },
    holds: (kind) => blocks[kind].size > 0,
    find,
    list() {
      forgetEnded()
      return blockKinds.flatMap((kind) => [...blocks[kind].values()]).sort((a, b) => a.until - b.until)
    },
  }
}
