// Freezes a whole snapshot, maps included, so that no request can change what another one sees.

const refuse = () => {
  throw new TypeError('A snapshot is frozen: build a new one and swap it in.')
}

/** Freezes the value and everything reachable from it, and returns it. Functions are left alone. */
export function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (value instanceof Map) {
    for (const [key, entry] of value) {
      freezeDeep(key)
      freezeDeep(entry)
    }
    // `Object.freeze` does not reach a map's entries: its writers have to go.
    for (const writer of ['set', 'delete', 'clear']) Object.defineProperty(value, writer, { value: refuse })
  }
  Object.freeze(value)
  for (const key of Reflect.ownKeys(value)) freezeDeep((value as Record<PropertyKey, unknown>)[key])
  return value
}
