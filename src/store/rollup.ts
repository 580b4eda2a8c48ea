// Adds up the daily sums of one transaction in memory, and writes each sum once.
import type { Sqlite, Statement } from './driver.ts'
import type { AttemptRow } from './ledgerRow.ts'

const sums = [
  'requests',
  'failed',
  'attempts',
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'reasoning',
  'audio_in',
  'audio_out',
  'cost',
  'unpriced',
  'estimated',
] as const

/** What a sum is kept for: a day (YYYYMMDD, UTC) and numbers of names. */
export interface RollupKey {
  day: number
  route: number
  key: number
  team: number
  model: number
  provider: number
}

export interface Rollup {
  addRequest(key: RollupKey, failed: boolean): void
  addAttempt(key: RollupKey, attempt: AttemptRow): void
  /** Writes what was added and forgets it. Call inside the transaction. */
  write(): void
  /** Forgets what was added. */
  clear(): void
}

interface Sum extends RollupKey {
  readonly values: number[]
  isPending: boolean
}

const maxKnown = 1_000

/** The daily sums (UTC) of one transaction at a time. */
export function makeRollup(db: Sqlite): Rollup {
  const marks = Array(6 + sums.length)
    .fill('?')
    .join(', ')
  const upsert: Statement = db.prepare(`
    INSERT INTO rollup (day, route, key, team, model, provider, ${sums.join(', ')}) VALUES (${marks})
    ON CONFLICT DO UPDATE SET ${sums.map((name) => `${name} = ${name} + excluded.${name}`).join(', ')}`)
  /** Kept from one transaction to the next, which most often adds to the same ones. */
  let known = new Map<string, Sum>()
  /** Those that were added to. */
  const pending: Sum[] = []
  /** The one that was added to last: most often it is the next one, too. */
  let last: Sum | undefined

  function find(key: RollupKey): number[] {
    const sum = last && isSame(last, key) ? last : findByText(key)
    last = sum
    if (!sum.isPending) {
      sum.isPending = true
      pending.push(sum)
    }
    return sum.values
  }

  function findByText(key: RollupKey): Sum {
    const text = `${key.day},${key.route},${key.key},${key.team},${key.model},${key.provider}`
    let sum = known.get(text)
    if (!sum) {
      sum = { ...key, values: new Array<number>(sums.length).fill(0), isPending: false }
      if (known.size >= maxKnown) known = new Map()
      known.set(text, sum)
    }
    return sum
  }

  function write(): void {
    for (const { day, route, key, team, model, provider, values } of pending) {
      upsert.run(day, route, key, team, model, provider, ...values)
    }
    clear()
  }

  function clear(): void {
    for (const sum of pending) {
      sum.values.fill(0)
      sum.isPending = false
    }
    pending.length = 0
  }

  return {
    addRequest(key, failed) {
      const values = find(key)
      values[0]! += 1
      if (failed) values[1]! += 1
    },
    addAttempt(key, { tokens, cost, estimated }) {
      const added = find(key)
      // The database adds in 64 bits; here a sum must not leave the whole numbers of a double.
      if (cost !== null && added[11]! + cost > Number.MAX_SAFE_INTEGER) write()
      const values = find(key)
      values[2]! += 1
      values[3]! += tokens.input
      values[4]! += tokens.cacheRead
      values[5]! += tokens.cacheWrite5m
      values[6]! += tokens.cacheWrite1h
      values[7]! += tokens.output
      values[8]! += tokens.reasoning
      values[9]! += tokens.audioIn
      values[10]! += tokens.audioOut
      if (cost === null) values[12]! += 1
      else values[11]! += cost
      if (estimated) values[13]! += 1
    },
    write,
    clear,
  }
}

const isSame = (a: RollupKey, b: RollupKey): boolean =>
  a.model === b.model &&
  a.key === b.key &&
  a.route === b.route &&
  a.provider === b.provider &&
  a.team === b.team &&
  a.day === b.day
