// Remembers the requests that were answered out of the cache, by their bytes: whoever asks the same again need not be read again.
import type { ApiKey, Route, Snapshot, Target } from '../../config/snapshot.ts'
import type { Dialect, Inspected } from '../../dialects/dialect.ts'

/** Who asked, under which configuration, in which dialect: what was found out once holds for nobody else. */
export interface Asker {
  readonly snapshot: Snapshot
  readonly key: ApiKey | undefined
  readonly dialect: Dialect
}

/** The answer's key in the cache, and what it was made of beside the request's bytes and its asker. */
export interface KnownKey {
  readonly route: Route
  readonly target: Target
  readonly strict: boolean
  readonly answer: string
}

export interface Repeat extends Asker, KnownKey {
  /** Its bytes are a copy in memory of their own. Nobody may change anything in it: requests share it. */
  readonly inspected: Inspected
}

interface Slot extends Repeat {
  /** Since the last sweep. */
  used: boolean
  /** Other requests that would have had its place since it was used. */
  strikes: number
}

/** Half a megabyte of requests at most, and what is parsed of them: too little to be bounded by the operator. */
const SLOTS = 128
const LONGEST = 4096
/** Bytes of a request that are looked at to find its slot. */
const SAMPLES = 64
const MAX_STRIKES = 4

export class Repeats {
  readonly #slots: (Slot | undefined)[] = new Array<Slot | undefined>(SLOTS).fill(undefined)
  #held = 0

  /** A request of the same asker with the same bytes, if one is known. */
  find({ snapshot, key, dialect }: Asker, raw: Buffer): Repeat | undefined {
    if (this.#held === 0 || raw.length > LONGEST) return undefined
    const slot = this.#slots[slotOf(raw)]
    if (slot === undefined) return undefined
    const known = slot.inspected.raw
    if (
      slot.snapshot === snapshot &&
      slot.key === key &&
      slot.dialect === dialect &&
      known.length === raw.length &&
      known.equals(raw)
    ) {
      slot.used = true
      slot.strikes = 0
      return slot
    }
    slot.strikes++
    return undefined
  }

  /** Remembers a request, unless one that comes more often has its place. */
  remember({ snapshot, key, dialect }: Asker, inspected: Inspected, known: KnownKey): void {
    const { raw } = inspected
    if (raw.length > LONGEST) return
    const at = slotOf(raw)
    const there = this.#slots[at]
    if (there && there.strikes < MAX_STRIKES && there.snapshot === snapshot) return
    const copy = Buffer.allocUnsafeSlow(raw.length)
    raw.copy(copy)
    if (!there) this.#held++
    this.#slots[at] = {
      snapshot,
      key,
      dialect,
      route: known.route,
      target: known.target,
      strict: known.strict,
      inspected: { ...inspected, raw: copy },
      answer: known.answer,
      used: true,
      strikes: 0,
    }
  }

  /** Forgets those that did not come again since the last time. */
  sweep(): void {
    this.#slots.forEach((slot, at) => {
      if (slot?.used === false) this.#empty(at)
      else if (slot) slot.used = false
    })
  }

  /** Forgets all: what is removed from the cache must not stay here. */
  clear(): void {
    this.#slots.fill(undefined)
    this.#held = 0
  }

  /** How many are remembered. */
  get held(): number {
    return this.#held
  }

  #empty(at: number): void {
    this.#slots[at] = undefined
    this.#held--
  }
}

/** Equal for equal bytes. Others may share a slot, and take turns in it. */
function slotOf(raw: Buffer): number {
  const step = Math.max(1, Math.floor(raw.length / SAMPLES))
  let hash = raw.length
  for (let at = raw.length - 1; at >= 0; at -= step) hash = (Math.imul(hash, 31) + raw[at]!) | 0
  return (hash ^ (hash >>> 15)) & (SLOTS - 1)
}
