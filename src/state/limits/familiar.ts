// Which right keys have come from which addresses: they stay welcome where somebody else behind the same address shows wrong ones.

export interface Familiar {
  note(address: string, key: string): void
  knows(address: string, key: string): boolean
  readonly size: number
}

/** About 150 bytes each. */
const MAX_PAIRS = 50_000

/** The pair that was noted first goes first. */
export function createFamiliar(max: number = MAX_PAIRS): Familiar {
  const pairs = new Set<string>()
  const nameOf = (address: string, key: string): string => `${address}\0${key}`
  return {
    note(address, key) {
      const name = nameOf(address, key)
      if (pairs.has(name)) return
      if (pairs.size >= max) for (const oldest of pairs) if (pairs.delete(oldest)) break
      pairs.add(name)
    },
    knows: (address, key) => pairs.has(nameOf(address, key)),
    get size() {
      return pairs.size
    },
  }
}
