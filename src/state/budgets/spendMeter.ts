// Keeps the spending of the last two days by five minutes, which is what alerts are judged by.
import type { Spending, SpendView } from './alerts.ts'

export interface SpendMeter {
  /** One attempt, settled. Null = the cost is not known: the request counts, money does not. */
  add(spent: { nano: number | null; target: string; route: string }): void
  view(): SpendView
}

const step = 300_000
const stepsPerHour = 12
const stepsPerDay = 288
/** Yesterday's hour begins 25 hours ago. */
const kept = stepsPerDay + stepsPerHour
/** Names told apart in each five minutes: those of pattern routes come from clients. */
const MAX_NAMES = 1_000

interface Slice {
  number: number
  nano: number
  requests: number
  targets: Map<string, Spending>
  routes: Map<string, Spending>
}

/** Memory: 300 slices of two numbers; names only of the last hour, at most 1,000 in each slice. `now`: Unix milliseconds. */
export function createSpendMeter(now: () => number = Date.now): SpendMeter {
  const slices: (Slice | undefined)[] = Array(kept)

  function current(): Slice {
    const number = Math.floor(now() / step)
    const place = number % kept
    const known = slices[place]
    if (known?.number === number) return known
    const slice: Slice = { number, nano: 0, requests: 0, targets: new Map(), routes: new Map() }
    slices[place] = slice
    for (const old of slices) {
      if (!old || old.number > number - stepsPerHour) continue
      old.targets.clear()
      old.routes.clear()
    }
    return slice
  }

  /** The slices with these numbers, both included. */
  function between(first: number, last: number): Slice[] {
    return slices.filter(
      (slice): slice is Slice => slice !== undefined && slice.number >= first && slice.number <= last,
    )
  }

  return {
    add({ nano, target, route }) {
      const slice = current()
      const amount = nano ?? 0
      slice.nano += amount
      slice.requests++
      count(slice.targets, target, amount)
      count(slice.routes, route, amount)
    },
    view() {
      const last = Math.floor(now() / step)
      const lastHour = between(last - stepsPerHour + 1, last)
      return {
        hour: sum(lastHour),
        day: sum(between(last - stepsPerDay + 1, last)),
        hourYesterday: sum(between(last - stepsPerDay - stepsPerHour + 1, last - stepsPerDay)),
        targets: merge(lastHour.map(({ targets }) => targets)),
        routes: merge(lastHour.map(({ routes }) => routes)),
      }
    },
  }
}

function count(names: Map<string, Spending>, name: string, nano: number): void {
  const known = names.get(name)
  if (!known && names.size >= MAX_NAMES) return
  names.set(name, { nano: (known?.nano ?? 0) + nano, requests: (known?.requests ?? 0) + 1 })
}

const sum = (parts: Iterable<Spending>): Spending => {
  let nano = 0
  let requests = 0
  for (const part of parts) {
    nano += part.nano
    requests += part.requests
  }
  return { nano, requests }
}

function merge(parts: readonly ReadonlyMap<string, Spending>[]): Map<string, Spending> {
  const merged = new Map<string, Spending>()
  for (const part of parts)
    for (const [name, spending] of part) merged.set(name, sum([merged.get(name) ?? sum([]), spending]))
  return merged
}
