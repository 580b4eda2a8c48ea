// Finds the names that a mistyped one was probably meant to be.

/** Longer names are compared by their beginning only, so that a hostile name costs no more than a long one. */
const maxLength = 96

/** Up to `count` of `known` by edit distance from `name`, nearest first; equal distances keep the order of `known`. */
export function nearestNames(name: string, known: Iterable<string>, count = 3): string[] {
  const wanted = name.slice(0, maxLength).toLowerCase()
  const best: { name: string; distance: number }[] = []
  for (const candidate of known) {
    const worst = best.length < count ? Number.POSITIVE_INFINITY : best[best.length - 1]!.distance
    const distance = editDistance(wanted, candidate.slice(0, maxLength).toLowerCase(), worst)
    if (distance >= worst) continue
    const at = best.findIndex((entry) => entry.distance > distance)
    best.splice(at === -1 ? best.length : at, 0, { name: candidate, distance })
    if (best.length > count) best.pop()
  }
  return best.map((entry) => entry.name)
}

/** The one known name that is so near that it must have been meant, for "did you mean". */
export function likelyName(name: string, known: Iterable<string>): string | undefined {
  const [nearest] = nearestNames(name, known, 1)
  if (nearest === undefined) return undefined
  const allowed = Math.max(2, Math.floor(Math.min(name.length, nearest.length) / 3))
  const distance = editDistance(name.slice(0, maxLength).toLowerCase(), nearest.toLowerCase(), allowed + 1)
  return distance <= allowed && distance < nearest.length ? nearest : undefined
}

/** Insertions, deletions and substitutions from `a` to `b`; gives up with `limit` once it cannot be less. */
function editDistance(a: string, b: string, limit: number): number {
  if (a === b) return 0
  if (Math.abs(a.length - b.length) >= limit) return limit
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1]! + (a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1)
      const value = Math.min(change, previous[j]! + 1, row[j - 1]! + 1)
      row.push(value)
      if (value < least) least = value
    }
    if (least >= limit) return limit
    previous = row
  }
  return Math.min(previous[b.length]!, limit)
}
