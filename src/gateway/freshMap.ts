// A bounded map that forgets what nobody asked for lately, at the price of a plain lookup.

export interface FreshMap<Value> {
  get(name: string): Value | undefined
  set(name: string, value: Value): void
  delete(name: string): void
  clear(): void
  readonly size: number
}

/**
 * Two generations: what is asked for moves into the younger one, and when that is full or `maxAge` milliseconds old, the older one is
 * dropped whole. So at most `2 * capacity` entries are held, and one that nobody asked for is gone after `2 * maxAge` at the next write or
 * lookup. An exact LRU list would pay two more map operations for each hit.
 */
export function createFreshMap<Value>(capacity: number, maxAge: number, now: () => number = Date.now): FreshMap<Value> {
  let young = new Map<string, Value>()
  let old = new Map<string, Value>()
  let turnAt = now() + maxAge

  const turn = (at: number): void => {
    // Nobody has asked for a whole generation: the younger one is as old as the older one should be.
    old = at - turnAt > maxAge ? new Map() : young
    young = new Map()
    turnAt = at + maxAge
  }
  const add = (name: string, value: Value): void => {
    if (young.size >= capacity) turn(now())
    young.set(name, value)
  }

  return {
    get(name) {
      const at = now()
      if (at >= turnAt) turn(at)
      const found = young.get(name)
      if (found !== undefined) return found
      const older = old.get(name)
      if (older !== undefined) {
        old.delete(name)
        add(name, older)
      }
      return older
    },
    set(name, value) {
      old.delete(name)
      add(name, value)
    },
    delete(name) {
      young.delete(name)
      old.delete(name)
    },
    clear() {
      young = new Map()
      old = new Map()
      turnAt = now() + maxAge
    },
    get size() {
      return young.size + old.size
    },
  }
}
